"""Running a deploy tool: with a deadline, its lines as they come, and nothing left behind however it ends."""

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
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TypeAlias

from pytest_gaia.config.variables import passed_on
from pytest_gaia.errors import ConfigError
from pytest_gaia.secrets.redaction import masker
from pytest_gaia.system.signals import held_back

ending = threading.Event()
"""Set when this process is about to end: tools that other threads wait for are ended then, and none is started."""

_Line: TypeAlias = tuple[str, str | None]
"""name of the stream, and a line of it; None for its end"""

TAIL = 40
"""lines of standard error that are kept"""
_KEPT = 32 * 1024 * 1024
"""characters of standard output that are kept; of more, the last"""
_LONGEST_LINE = 1024 * 1024
_GRACE = 5.0
"""seconds in which a tool may tidy up (give back a lease) before it is killed"""
_LOOK = 0.2
_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True, slots=True)
class Finished:
    """How a tool ended. The lines of standard error are masked; standard output is raw, and so never in ``repr``."""

    argv: tuple[str, ...]
    exit_code: int | None
    """None where it was ended at the deadline; negative where a signal ended it"""
    stdout: str = field(repr=False)
    stderr_tail: tuple[str, ...] = ()
    timed_out: bool = False
    elapsed: float = 0.0
    """seconds"""

    @property
    def ok(self) -> bool:
        """Whether it ended by itself, and with 0."""
        return self.exit_code == 0


def find_tool(*names: str, install: str = "") -> str:
    """Return the path of the first of ``names`` that is on PATH; ``install`` is a sentence on how to get it.

    Raises ``ConfigError``.
    """
    for name in names:
        if path := shutil.which(name):
            return path
    tried = " and ".join(names)
    raise ConfigError(
        f"{names[0]} is not installed, or not on PATH: looked for {tried} in {os.environ.get('PATH', '(empty)')}. "
        f"{install or f'Install {names[0]}, or put its folder on PATH.'} Nothing was changed."
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
    log: Callable[[str], None] = lambda _: None,
    out: Callable[[str], None] | None = None,
    redact: Callable[[str], str] | None = None,
    grace: float = _GRACE,
) -> Finished:
    """Run ``argv`` to its end, at most ``deadline`` seconds, and return how it ended.

    ``log`` takes the lines of standard error as they come, ``out`` those of standard output, both masked, on the
    thread of the caller. ``stdin`` is what it can read (nothing by default, so a question fails at once instead of
    waiting); ``redact`` masks (default: ``masker()``).

    The tool gets ``env`` and those of this process's variables that are for ``environment``; of all whose names are names
    of secrets only those that begin with one of ``secrets``, if that is given (see ``config.variables.passed_on``).

    The tool runs in a session of its own. At the deadline, and when anything is raised here (Ctrl-C), its whole group
    gets SIGTERM and after ``grace`` seconds SIGKILL; the same goes for what it leaves in its group when it ends. A
    second Ctrl-C kills at once. A thread that Ctrl-C does not reach gets ``KeyboardInterrupt`` once ``ending`` is set.
    Raises ``ConfigError`` where it cannot be run.
    """
    _go_on()
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

    variables = passed_on(os.environ, environment, secrets) | dict(env or {})
    with _running(lambda: _start(argv, cwd, stdin, variables, mask), grace) as (process, lines):
        in_time = _follow(process, lines, began + deadline, take)
    if not in_time:
        # Its last words say what it was about.
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
    """Start a process, and end its whole group with the block: SIGTERM, and after ``grace`` seconds SIGKILL."""
    started: list[subprocess.Popen[str]] = []
    try:
        try:
            # A process that was started, and is not known yet, would be left running, and its streams open.
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
        # Whatever interrupts the wait above.
        for process in started:
            _signal(process.pid, signal.SIGKILL)
            process.wait()


class _Output:
    """The end of standard output, bounded."""

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
    # A file, not a pipe: a tool that does not read could not hold us up.
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
                f"{mask(str(argv[0]))} cannot be run: {problem}. Give an executable file (chmod +x, with a #! line if "
                "it is a script) and its arguments."
            ) from None


def _read_all(process: subprocess.Popen[str]) -> queue.SimpleQueue[_Line]:
    lines: queue.SimpleQueue[_Line] = queue.SimpleQueue()
    for name, stream in (("stdout", process.stdout), ("stderr", process.stderr)):
        # A daemon: a grandchild that keeps the pipe open must not hold up the end of the run.
        threading.Thread(target=_read, args=(name, stream, lines), daemon=True, name=f"gaia-{name}").start()
    return lines


def _read(name: str, stream: IO[str], lines: queue.SimpleQueue[_Line]) -> None:
    # A pipe that is closed under its reader ends as it does by itself.
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
    """Hand every line to ``take`` until both streams have ended; return whether the process ended in time."""
    streams, ended = 2, False
    while streams and (left := until - time.monotonic()) > 0:
        _go_on()
        if not ended and process.poll() is not None:
            # What it left running would keep the streams open.
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


def _go_on() -> None:
    if ending.is_set():
        raise KeyboardInterrupt


def _signal(group: int, number: signal.Signals) -> None:
    # macOS says "not permitted" of a group whose members have all ended.
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def _follow_parent() -> Callable[[], None] | None:
    """On Linux the kernel ends the tool when this process is killed."""
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None).prctl
    parent = os.getpid()

    def follow() -> None:
        prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM))
        if os.getppid() != parent:
            os.kill(os.getpid(), signal.SIGTERM)

    return follow
