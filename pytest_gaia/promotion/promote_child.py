"""The two runs of pytest that a promotion is made of, as processes of their own."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress

from pytest_gaia.config.variables import RECORD_PIPE_VARIABLE, without_signing_key
from pytest_gaia.errors import ConfigError, EnvironmentUnavailable
from pytest_gaia.promotion.project import Promotion
from pytest_gaia.promotion.promote_commands import executed, shown
from pytest_gaia.system.signals import like_interrupts
from pytest_gaia.system.waiting import exit_code_of, output_of

_USAGE, _OUT_OF_REACH = 4, 12
_SHOWN_LINES = 12
_LONGEST = 1024
"""bytes of what pytest reports about its record that are looked at; it reports 64"""
_LOOK_EVERY = 2.0
"""seconds between two looks whether the lock is still held"""


class Interrupted(KeyboardInterrupt):
    """Ctrl-C, SIGTERM or SIGHUP came while pytest ran, and it has ended."""


def seal_plan(words: Sequence[str], promotion: Promotion, keep: int) -> None:
    """Have pytest write the plan. Raises ``ConfigError`` with its last lines where it does not."""
    with _started(words, promotion, keep, subprocess.PIPE) as process:
        code, output = _waited(process)
    if code == 0:
        return
    lines = [line for line in output.splitlines() if line.strip()][-_SHOWN_LINES:]
    error = EnvironmentUnavailable if code == _OUT_OF_REACH else ConfigError
    raise error(
        "the plan could not be sealed, so nothing was deployed. "
        f"{shown(words, promotion.rootdir)} ended with {code}:\n" + "\n".join(lines)
    )


def run_pytest(
    words: Sequence[str], promotion: Promotion, keep: int, output: int | None, lost: Callable[[], bool]
) -> tuple[int, str]:
    """Run it to its end; return its exit code and what it has reported as the digest of its record.

    ``lost`` says that the lock is gone: it is then interrupted.
    """
    with digest_pipe() as pipe:
        code = _ran(words, promotion, keep, output, lost, pipe)
        return code, pipe.reported()


class DigestPipe:
    """Where one run of pytest reports the digest of its record: only a process that has inherited it can."""

    def __init__(self) -> None:
        self._read, self._write = os.pipe()
        os.set_blocking(self._read, False)
        self.inherited = (self._write,)
        """the descriptors that pytest has to be given"""
        self.variables = {RECORD_PIPE_VARIABLE: str(self._write)}
        """the variables that tell pytest of them"""

    def reported(self) -> str:
        """Return what was reported, once pytest has ended; empty where it was nothing."""
        with suppress(BlockingIOError):
            return os.read(self._read, _LONGEST).decode(errors="replace")
        return ""

    def close(self) -> None:
        """Give the descriptors back."""
        os.close(self._read)
        os.close(self._write)


@contextmanager
def digest_pipe() -> Iterator[DigestPipe]:
    """Keep a pipe for as long as a run of pytest takes."""
    pipe = DigestPipe()
    try:
        yield pipe
    finally:
        pipe.close()


def _ran(
    words: Sequence[str],
    promotion: Promotion,
    keep: int,
    output: int | None,
    lost: Callable[[], bool],
    pipe: DigestPipe,
) -> int:
    with _started(words, promotion, keep, output, pipe) as process, like_interrupts():
        told = False
        while True:
            try:
                return process.wait(_LOOK_EVERY)
            except subprocess.TimeoutExpired:
                if lost() and not told:
                    told = True
                    _interrupt(process)
            except KeyboardInterrupt:
                _interrupt(process)
                exit_code_of(process)
                raise Interrupted from None


def _started(
    words: Sequence[str], promotion: Promotion, keep: int, output: int | None, pipe: DigestPipe | None = None
) -> subprocess.Popen[str]:
    # In a group of its own: Ctrl-C then reaches it once, through this process, and not twice.
    # S603: no shell, and the words are of this promotion.
    return subprocess.Popen(  # noqa: S603
        executed(words),
        cwd=promotion.rootdir,
        env=without_signing_key(os.environ | dict(promotion.environ)) | (pipe.variables if pipe else {}),
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT if output == subprocess.PIPE else None,
        text=True,
        pass_fds=(keep, *(pipe.inherited if pipe else ())),
        process_group=0,
    )


def _waited(process: subprocess.Popen[str]) -> tuple[int, str]:
    with like_interrupts():
        try:
            output = output_of(process)
        except KeyboardInterrupt:
            _interrupt(process)
            output_of(process)
            raise Interrupted from None
    return process.returncode, output


def _interrupt(process: subprocess.Popen[str]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGINT)
