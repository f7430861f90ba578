"""Writing files: whole or not at all, through no link, and readable by their owner alone where they hold answers of services."""

import os
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PRIVATE, PUBLIC = 0o600, 0o666
"""modes of new files, before the umask"""
_STREAMS = ("/dev/std", "/dev/fd/", "/proc/")
"""names of what this process has open: a link there leads to a file that its user has opened"""


def write_file(
    path: Path, content: str | bytes | Iterable[bytes], *, mode: int = PUBLIC, durable: bool = False
) -> None:
    """Write a new file, and put it in the place of what has the name ``path``. Raises ``OSError``.

    A link is replaced, and what it leads to stays as it is: links come with a repository. A device or a pipe is written to.
    ``durable``: on the disk, before this returns.
    """
    plain = content.encode() if isinstance(content, str) else content
    pieces = [plain] if isinstance(plain, bytes) else plain
    if is_stream(path):
        with path.open("wb") as stream:
            stream.writelines(pieces)
        return
    draft = path.with_name(f".{path.name[:200]}.{secrets.token_hex(4)}.draft")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode), "wb") as file:
            file.writelines(pieces)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        draft.replace(path)
    finally:
        with suppress(OSError):
            draft.unlink()


def is_stream(path: Path) -> bool:
    """Whether ``path`` takes what is written to it, and cannot be replaced: a device, a pipe; and so a folder."""
    return (path.exists() and not path.is_file()) or str(Path(os.path.abspath(path))).startswith(_STREAMS)  # noqa: PTH100 - follows no link


def make_folder(folder: Path) -> None:
    """Make a folder, and those above it. ``.gaia`` is its owner's alone. Raises ``OSError``."""
    for each in (*reversed(folder.parents), folder):
        if each.name == ".gaia" and not each.exists():
            each.parent.mkdir(parents=True, exist_ok=True)
            each.mkdir(mode=0o700, exist_ok=True)
    folder.mkdir(parents=True, exist_ok=True)


def make_ignored_folder(folder: Path) -> None:
    """Make a folder that git leaves out: what is kept there may be no one's business. Raises ``OSError``."""
    make_folder(folder)
    ignore = folder / ".gitignore"
    if not ignore.exists():
        write_file(ignore, "*\n")


@contextmanager
def private_files() -> Iterator[None]:
    """Let files that others write meanwhile be their owner's alone."""
    before = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(before)
