"""Run a deploy tool with a deadline, stream its output, and leave no process behind."""

# It adds handlers of forks, which a fork in another thread must find from its start.
import concurrent.futures.thread  # noqa: F401
import ctypes
import logging
import os
import queue
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TypeAlias

from pytest_gaia.config.platform import GENERAL_SECRETS
from pytest_gaia.config.variables import passed_on
from pytest_gaia.errors import ConfigError
from pytest_gaia.secrets.redaction import masker
from pytest_gaia.system.signals import held_back

ending = threading.Event()
"""Set when this process is about to exit: running tools are stopped, and none is started."""

_Line: TypeAlias = tuple[str, str | None]
"""name of the stream, and a line of it; None for its end"""

TAIL = 40
"""lines of standard error that are kept"""
_KEPT = 32 * 1024 * 1024
"""last characters of standard output that are kept"""
_LONGEST_LINE = 1024 * 1024
_GRACE = 5.0
"""seconds for a tool to clean up (such as to release a lease) before it is killed"""
_LOOK = 0.2
_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True, slots=True)
class Finished:
    """The result of a tool. Lines of standard error are masked; standard output is not, so ``repr`` omits it."""

    argv: tuple[str, ...]
    exit_code: int | None
    """None after the deadline; negative after a signal"""
    stdout: str = field(repr=False)
    stderr_tail: tuple[str, ...] = ()
    timed_out: bool = False
    elapsed: float = 0.0
    """seconds"""

    @property
    def ok(self) -> bool:
        """Whether it ended with exit code 0."""
        return self.exit_code == 0


def find_tool(*names: str, install: str = "") -> str:
    """Return the path of the first of ``names`` on PATH; ``install`` is a sentence with the way to install it.

    Raises ``ConfigError``.
    """
    for name in names:
        if path := shutil.which(name):
            return path
    tried = " and ".join(names)
    raise ConfigError(
        f"{names[0]} is not installed, or not on PATH: looked for {tried} in {os.environ.get('PATH', '(empty)')}. "
        f"{install or f'Install {names[0]}, or add its folder to PATH.'} Nothing was changed."
    )


def run_tool(
    argv: Sequence[str],
    *,
    deadline: float,
    cwd: Path | None = None,
    stdin: str | None = None,
    env: Mapping[str, str] | None = None,
    environment: str | None = None,
    secrets: Sequence[str] | None = None,
    ends: Collection[str] = GENERAL_SECRETS,
    log: Callable[[str], None] = lambda _: None,
    out: Callable[[str], None] | None = None,
    redact: Callable[[str], str] | None = None,
    grace: float = _GRACE,
) -> Finished:
    """Run ``argv`` for at most ``deadline`` seconds, and return its result.

    ``log`` gets the lines of standard error, ``out`` those of standard output, both masked, on the thread of the caller.
    ``stdin`` is the standard input (empty by default, so a prompt fails instead of waiting). ``redact`` masks the lines
    (default: ``masker()``).

    The tool gets ``env`` and the variables of this process for ``environment``; ``ends`` is the platform's
    ``variable_ends``, by which those of other environments are recognized. With ``secrets``, it gets variables with
    the name of a secret only if they begin with one of ``secrets`` (see ``config.variables.passed_on``).

    The tool runs in its own session. At the deadline, and after an exception here (Ctrl-C), its process group gets SIGTERM,
    and SIGKILL after ``grace`` seconds. Processes that it leaves in its group are stopped in the same way. A second Ctrl-C
    kills immediately. Other threads get ``KeyboardInterrupt`` when ``ending`` is set. Raises ``ConfigError`` if the tool
    cannot be run.
    """
    _check_ending()
    began = time.monotonic()
    mask = redact or masker()
    tail: deque[str] = deque(maxlen=TAIL)
    output = _Output()

    def take(stream: str, line: str) -> None:
        if stream == "stdout":
            output.add(line)
        if (sink := log if stream == "stderr" else out) is None:
            return
        shown = mask(line.rstrip("\n"))
        if stream == "stderr" and shown.strip():
            tail.append(shown)
        sink(shown)

    variables = passed_on(os.environ, environment, secrets, ends) | dict(env or {})
    with _running(lambda: _start(argv, cwd, stdin, variables, mask), grace) as (process, lines):
        in_time = _follow(process, lines, began + deadline, take)
    if not in_time:
        # Its last lines often contain the reason.
        _follow(process, lines, time.monotonic() + _LOOK, take)
    code = process.returncode if in_time else None
    shown = tuple(mask(part) for part in argv)
    elapsed = time.monotonic() - began
    # `gaia -v` prints it.
    logging.getLogger("pytest_gaia").debug("+ %s  (exit code %s, %.1f s)", shlex.join(shown), code, elapsed)
    return Finished(shown, code, output.text(), tuple(tail), not in_time, elapsed)


@contextmanager
def _running(
    start: Callable[[], subprocess.Popen[str]], grace: float
) -> Iterator[tuple[subprocess.Popen[str], queue.SimpleQueue[_Line]]]:
    """Start a process, and stop its group at the end of the block: SIGTERM, and SIGKILL after ``grace`` seconds."""
    started: list[subprocess.Popen[str]] = []
    try:
        try:
            # Without this, a signal right after the start would leave the process running.
            with held_back():
                started.append(start())
                lines = _read_all(started[0])
            yield started[0], lines
        finally:
            for process in started:
                _signal(process.pid, signal.SIGTERM)
                with suppress(subprocess.TimeoutExpired):
                    process.wait(grace)
    finally:
        # Also after an interrupt of the wait above.
        for process in started:
            _signal(process.pid, signal.SIGKILL)
            process.wait()


class _Output:
    """The last part of standard output."""

    def __init__(self) -> None:
        self._lines: deque[str] = deque()
        self._size = 0

    def add(self, line: str) -> None:
        self._lines.append(line)
        self._size += len(line)
        while self._size > _KEPT:
            self._size -= len(self._lines.popleft())

    def text(self) -> str:
        return "".join(self._lines)


def _start(
    argv: Sequence[str],
    cwd: Path | None,
    stdin: str | None,
    env: Mapping[str, str],
    mask: Callable[[str], str],
) -> subprocess.Popen[str]:
    # A file, not a pipe, because a tool that does not read it would block this process.
    with tempfile.TemporaryFile("w+", encoding="utf-8") as source:
        source.write(stdin or "")
        source.seek(0)
        try:
            # The command is the user's own, or built by an adapter; no shell reads it. Between fork and exec the
            # function makes two system calls and takes no lock, which is safe in spite of threads.
            return subprocess.Popen(  # noqa: S603
                list(argv),
                cwd=cwd,
                stdin=source,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=env,
                encoding="utf-8",
                errors="replace",
                start_new_session=True,
                preexec_fn=_follow_parent(),  # noqa: PLW1509
            )
        except (OSError, ValueError) as problem:
            raise ConfigError(
                f"{mask(str(argv[0]))} cannot be run: {problem}. Use an executable file (chmod +x, and a #! line in "
                "a script)."
            ) from None


def _read_all(process: subprocess.Popen[str]) -> queue.SimpleQueue[_Line]:
    lines: queue.SimpleQueue[_Line] = queue.SimpleQueue()
    for name, stream in (("stdout", process.stdout), ("stderr", process.stderr)):
        # A daemon, because a grandchild that keeps the pipe open must not delay the end of the run.
        threading.Thread(target=_read, args=(name, stream, lines), daemon=True, name=f"gaia-{name}").start()
    return lines


def _read(name: str, stream: IO[str], lines: queue.SimpleQueue[_Line]) -> None:
    # The pipe may be closed while it is read.
    with stream, suppress(OSError, ValueError):
        for line in iter(lambda: stream.readline(_LONGEST_LINE), ""):
            lines.put((name, line))
    lines.put((name, None))


def _follow(
    process: subprocess.Popen[str],
    lines: queue.SimpleQueue[_Line],
    until: float,
    take: Callable[[str, str], None],
) -> bool:
    """Pass every line to ``take`` until both streams end; return whether the process ended in time."""
    streams, ended = 2, False
    while streams and (left := until - time.monotonic()) > 0:
        _check_ending()
        if not ended and process.poll() is not None:
            # Processes that it left running would keep the streams open.
            ended = True
            _signal(process.pid, signal.SIGKILL)
        try:
            name, line = lines.get(timeout=min(_LOOK, left))
        except queue.Empty:
            if ended:
                break
            continue
        if line is None:
            streams -= 1
        else:
            take(name, line)
    with suppress(subprocess.TimeoutExpired):
        process.wait(max(0.0, until - time.monotonic()))
    return process.poll() is not None


def _check_ending() -> None:
    if ending.is_set():
        raise KeyboardInterrupt


def _signal(group: int, number: signal.Signals) -> None:
    # macOS reports "not permitted" for a group without running processes.
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def _follow_parent() -> Callable[[], None] | None:
    """Return a function that makes the Linux kernel stop the tool when this process dies; None elsewhere."""
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None).prctl
    parent = os.getpid()

    def follow() -> None:
        prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM))
        if os.getppid() != parent:
            os.kill(os.getpid(), signal.SIGTERM)

    return follow
