"""Write files atomically, without following links, and with restricted permissions if they contain responses.

Also files to which lines are appended, one JSON object each. Each line is on the disk before the next step. Reading skips
a truncated last line, and the next one starts on a new line.
"""

import errno
import os
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

import msgspec

PRIVATE, PUBLIC = 0o600, 0o666
"""modes of new files, before the umask"""
_STREAMS = ("/dev/std", "/dev/fd/", "/proc/")
"""paths of open files of this process"""

T = TypeVar("T", bound=msgspec.Struct)

_BUFFER = 1024 * 1024
"""bytes that are written at once"""
_LONGEST = 1024 * 1024
"""maximum length of a line in bytes"""


def write_file(
    path: Path, content: str | bytes | Iterable[bytes], *, mode: int = PUBLIC, durable: bool = False
) -> None:
    """Write a new file and move it to ``path``. Raises ``OSError``.

    Replaces a link without changing its target, because links may come with a repository. Writes directly to a device or a
    pipe. ``durable``: wait until the file is on the disk.
    """
    plain = content.encode() if isinstance(content, str) else content
    pieces = [plain] if isinstance(plain, bytes) else plain
    if is_stream(path):
        with path.open("wb") as stream:
            stream.writelines(pieces)
        return
    draft = path.with_name(f".{path.name[:200]}.{secrets.token_hex(4)}.draft")
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        with os.fdopen(os.open(draft, flags, mode), "wb", _BUFFER) as file:
            file.writelines(pieces)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        draft.replace(path)
    finally:
        with suppress(OSError):
            draft.unlink()


def is_stream(path: Path) -> bool:
    """Whether ``path`` cannot be replaced by a file: a device, a pipe or a folder."""
    return (path.exists() and not path.is_file()) or str(Path(os.path.abspath(path))).startswith(_STREAMS)  # noqa: PTH100 - follows no link


def make_folder(folder: Path) -> None:
    """Create a folder and its parents. Only the owner can read ``.gaia``. Raises ``OSError``."""
    for each in (*reversed(folder.parents), folder):
        if each.name == ".gaia" and not each.exists():
            each.parent.mkdir(parents=True, exist_ok=True)
            each.mkdir(mode=0o700, exist_ok=True)
    folder.mkdir(parents=True, exist_ok=True)


def make_ignored_folder(folder: Path) -> None:
    """Create a folder that git ignores, because its contents may be private. Raises ``OSError``."""
    make_folder(folder)
    ignore = folder / ".gitignore"
    if not ignore.exists():
        write_file(ignore, "*\n")


@contextmanager
def private_files() -> Iterator[None]:
    """Make files that are created during the block readable only by their owner."""
    before = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(before)


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
