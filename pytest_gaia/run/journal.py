"""The journal of an environment's roll-outs: who did what, when, and what was seen to run afterwards.

One JSON object a line, in ``.gaia/deployments/<environment>.jsonl`` beside gaia.toml; lines are only ever added, and
each is on the disk before the next step is taken. A last line that was cut off is left out.
"""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from typing import TYPE_CHECKING, Literal

import msgspec

from pytest_gaia.outputs import make_folder, write_file

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

FOLDER = ".gaia/deployments"

_DECODER_LIMIT = 1024 * 1024
"""characters of a line; a longer one was not written here"""


class Entry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One line. Fields of later versions are left out when it is read."""

    event: Literal["begin", "start", "end", "finish"]
    """a roll-out begins; a service is about to be touched; what became of it; the roll-out has ended"""
    run: str
    """id of the roll-out"""
    when: str
    """ISO 8601, UTC"""
    action: str = "deploy"
    who: str = ""
    services: tuple[str, ...] = ()
    """``begin``: in their order"""
    targets: dict[str, str] = {}
    """``begin``: service → image asked for, or to go back to"""
    service: str = ""
    app: str = ""
    outcome: str = ""
    """``end``: of the service; ``finish``: of the roll-out"""
    reason: str = ""
    image: str = ""
    """``start``: what ran before; ``end``: what runs now; a reference, with a digest where one is known"""
    was: str = ""
    """``end``: what ran before"""
    digests: tuple[str, ...] = ()
    release: int | None = None
    well: bool = False
    """whether ``image`` was seen to run everywhere, with every check passing"""
    config: str = ""
    """name of the kept copy of the deploy file"""
    elapsed: float = 0.0


class Journal:
    """The journal of one environment. Raises ``OSError`` where it cannot be read or written."""

    def __init__(self, rootdir: Path, environment: str) -> None:
        self.folder = rootdir / FOLDER
        self.path = self.folder / f"{environment}.jsonl"

    def add(self, entry: Entry) -> None:
        """Add one line, and wait until it is on the disk."""
        new = not self.path.exists()
        self.prepare()
        # Readable by its owner alone: commands and reasons say much of an infrastructure.
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            line = msgspec.json.encode(entry) + b"\n"
            _write(descriptor, b"\n" + line if _cut_off(descriptor) else line)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        if new:
            _sync(self.folder)

    def entries(self) -> tuple[Entry, ...]:
        """Return all lines that can be read, the oldest first; none where there is no journal."""
        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            return ()
        found = []
        for line in content.split(b"\n"):
            if line and len(line) <= _DECODER_LIMIT:
                with suppress(msgspec.MsgspecError, UnicodeDecodeError):
                    found.append(msgspec.json.decode(line, type=Entry))
        return tuple(found)

    def prepare(self) -> None:
        """Make the folder, and keep it out of version control: copies of deploy files may hold what is no one's business."""
        make_folder(self.folder)
        ignore = self.folder / ".gitignore"
        if not ignore.exists():
            write_file(ignore, "*\n")


def unfinished(entries: tuple[Entry, ...]) -> tuple[Entry, ...]:
    """Return the lines of the last roll-out, if it never came to its end; to be asked while no other one can run."""
    begun = next((entry for entry in reversed(entries) if entry.event == "begin"), None)
    if begun is None:
        return ()
    lines = tuple(entry for entry in entries if entry.run == begun.run)
    return () if any(entry.event == "finish" for entry in lines) else lines


def outcomes(lines: tuple[Entry, ...]) -> Mapping[str, str]:
    """Return service → what became of it, of the lines of one roll-out."""
    found = dict.fromkeys((service for entry in lines for service in entry.services), "not begun")
    for entry in lines:
        if entry.event == "start":
            found[entry.service] = "in doubt"
        elif entry.event == "end":
            found[entry.service] = entry.outcome
    return found


def _write(descriptor: int, content: bytes) -> None:
    # In one call, so that lines of two processes cannot mix. A disk that is filling up may take a part of it.
    if os.write(descriptor, content) != len(content):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _cut_off(descriptor: int) -> bool:
    size = os.fstat(descriptor).st_size
    return size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"


def _sync(folder: Path) -> None:
    """Have the system write down that the folder holds a new file."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
