"""Append-only files with one JSON object per line. Each line is on the disk before the next step.

Reading skips a truncated last line, and the next one starts on a new line.
"""

import errno
import os
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import msgspec

T = TypeVar("T", bound=msgspec.Struct)

_LONGEST = 1024 * 1024
"""maximum length of a line in bytes"""


def add_line(path: Path, value: msgspec.Struct) -> None:
    """Append one line, and wait until it is on the disk. Only the owner can read the file. Raises ``OSError``."""
    new = not path.exists()
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        line = msgspec.json.encode(value) + b"\n"
        _write(descriptor, b"\n" + line if _is_cancelled(descriptor) else line)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    if new:
        _sync(path.parent)


def read_lines(path: Path, kind: type[T]) -> tuple[T, ...]:
    """Return all valid lines, the oldest first; none without a file. Raises ``OSError``."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return ()
    found = []
    for line in content.split(b"\n"):
        if line and len(line) <= _LONGEST:
            with suppress(msgspec.MsgspecError, UnicodeDecodeError):
                found.append(msgspec.json.decode(line, type=kind))
    return tuple(found)


def _write(descriptor: int, content: bytes) -> None:
    # In one call, so that lines of two processes do not mix. A full disk may accept only a part of it.
    if os.write(descriptor, content) != len(content):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _is_cancelled(descriptor: int) -> bool:
    size = os.fstat(descriptor).st_size
    return size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"


def _sync(folder: Path) -> None:
    """Flush the entry of a new file in ``folder`` to the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
