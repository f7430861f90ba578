"""A file of one JSON object a line, to which lines are only ever added: each is on the disk before the next step is taken.

A last line that was cut off is left out when it is read, and the next one begins on a line of its own.
"""

import errno
import os
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import msgspec

T = TypeVar("T", bound=msgspec.Struct)

_LONGEST = 1024 * 1024
"""bytes of a line; a longer one was not written here"""


def add_line(path: Path, value: msgspec.Struct) -> None:
    """Add one line, and wait until it is on the disk. The file is its owner's alone. Raises ``OSError``."""
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
    """Return all lines that can be read, the oldest first; none where there is no file. Raises ``OSError``."""
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
    # In one call, so that lines of two processes cannot mix. A disk that is filling up may take a part of it.
    if os.write(descriptor, content) != len(content):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _is_cancelled(descriptor: int) -> bool:
    size = os.fstat(descriptor).st_size
    return size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"


def _sync(folder: Path) -> None:
    """Have the system write down that the folder holds a new file."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
