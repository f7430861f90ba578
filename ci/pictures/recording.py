"""Record the bytes that a command writes to a terminal, with their times."""

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
"""seconds for an interrupted command to clean up"""
_CHUNK = 65536


@dataclass(frozen=True, slots=True)
class Written:
    """Bytes that arrived together, ``at`` seconds after the start."""

    at: float
    data: bytes


@dataclass(frozen=True, slots=True)
class Recording:
    """One command, its output and its exit code."""

    shown: str
    """the command line, as people type it"""
    written: tuple[Written, ...]
    exit_code: int


def record(shown: str, words: Sequence[str], *, cwd: Path, environ: Mapping[str, str]) -> Recording:
    """Run a command in a terminal of 100×30, and record its output.

    Raise ``Missing`` if there is no such command, ``TimeoutError`` if it does not end. In any case, the command has ended
    when this returns.
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
    """Yield both ends of a terminal; the caller closes the second one."""
    ours, theirs = pty.openpty()
    try:
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        yield ours, theirs
    finally:
        os.close(ours)


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Delay Ctrl-C and SIGTERM while a process starts, so that it is not orphaned."""
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
        # A background process may keep the terminal open forever.
        elif process.poll() is not None:
            return
    raise TimeoutError(f"{process.args!r} still runs after {now:.0f} s")


def _chunk(ours: int) -> bytes:
    try:
        return os.read(ours, _CHUNK)
    except OSError as error:
        # Linux reports that the other end is closed.
        if error.errno == errno.EIO:
            return b""
        raise


def _end(process: subprocess.Popen[bytes]) -> None:
    """Stop a running command and its child processes: with SIGINT, then with SIGKILL."""
    with process:
        if process.poll() is not None:
            return
        os.killpg(process.pid, signal.SIGINT)
        try:
            process.wait(_GRACE)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
