"""What commands write to a terminal, byte for byte, and when."""

from __future__ import annotations

import errno
import fcntl
import os
import pty
import select
import shutil
import signal
import struct
import subprocess
import termios
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ci.pictures.missing import Missing

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

COLUMNS, ROWS = 100, 30
LONGEST = 180.0
"""seconds that a command may take"""
_GRACE = 15.0
"""seconds in which an interrupted command tidies up"""
_CHUNK = 65536


@dataclass(frozen=True, slots=True)
class Written:
    """Bytes that came at once, ``at`` so many seconds after the start."""

    at: float
    data: bytes


@dataclass(frozen=True, slots=True)
class Recording:
    """One command, what it wrote, and how it ended."""

    shown: str
    """the command line, as people type it"""
    written: tuple[Written, ...]
    exit_code: int


def record(shown: str, words: Sequence[str], *, cwd: Path, environ: Mapping[str, str]) -> Recording:
    """Run a command in a terminal of 100×30 and keep what it writes.

    Raises ``Missing`` where there is no such command, ``TimeoutError`` where it does not end. However this ends, the
    command has ended before.
    """
    executable = shutil.which(words[0], path=environ.get("PATH"))
    if executable is None:
        raise Missing(f"{words[0]} is not on PATH, so `{shown}` cannot be recorded. Set up .venv: ci/setup pictures.")
    with _terminal() as (ours, theirs), ExitStack() as stack:
        with _uninterrupted():
            try:
                process = subprocess.Popen(
                    [executable, *words[1:]],
                    stdin=theirs,
                    stdout=theirs,
                    stderr=theirs,
                    cwd=cwd,
                    env={**environ, "TERM": "xterm-256color", "COLUMNS": str(COLUMNS), "LINES": str(ROWS)},
                    start_new_session=True,
                )
            finally:
                os.close(theirs)
            stack.callback(_end, process)
        written = tuple(_read(ours, process))
        return Recording(shown, written, process.wait(_GRACE))


@contextmanager
def _terminal() -> Iterator[tuple[int, int]]:
    """Both ends of a terminal; who is given the second one closes it."""
    ours, theirs = pty.openpty()
    try:
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        yield ours, theirs
    finally:
        os.close(ours)


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Put off Ctrl-C and SIGTERM: one that comes while a process is being started would leave it to nobody."""
    caught: list[int] = []
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, lambda found, _: caught.append(found)) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    for number in caught:
        signal.raise_signal(number)


def _read(ours: int, process: subprocess.Popen[bytes]) -> Iterator[Written]:
    start = time.monotonic()
    while (now := time.monotonic() - start) < LONGEST:
        ready, _, _ = select.select([ours], [], [], 0.2)
        if ready:
            data = _chunk(ours)
            if not data:
                return
            yield Written(time.monotonic() - start, data)
        # What it has left behind in the background may hold the terminal open for ever.
        elif process.poll() is not None:
            return
    raise TimeoutError(f"{process.args!r} still runs after {now:.0f} s")


def _chunk(ours: int) -> bytes:
    try:
        return os.read(ours, _CHUNK)
    except OSError as error:
        # How Linux says that nobody holds the other end any more.
        if error.errno == errno.EIO:
            return b""
        raise


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a command that still runs, with all that it has started: as Ctrl-C does, then for good."""
    with process:
        if process.poll() is not None:
            return
        os.killpg(process.pid, signal.SIGINT)
        try:
            process.wait(_GRACE)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
