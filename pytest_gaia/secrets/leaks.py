"""Scan the files that a run has written for secrets that the run knows."""

import gzip
import re
import stat
import zipfile
import zlib
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import IO

from pytest_gaia.files.writing import write_file
from pytest_gaia.secrets.redaction import Redactor

_CHUNK = 1 << 20
"""bytes that are scanned at once, up to the end of a line"""


@dataclass(frozen=True, slots=True)
class Leak:
    """A secret in a file: its place and name, without its value."""

    path: Path
    line: int
    """0 for a compressed file, which was removed"""
    name: str
    """name of the secret: ``GAIA_STAGING_API_KEY``, ``database (password)``"""


def leaks(
    paths: Iterable[Path], redactor: Redactor, *, since: float = 0, traces: Collection[str] = frozenset()
) -> list[Leak]:
    """Remove the secrets from the files in ``paths`` and below folders in it, and return them.

    A short secret that a test has created may be part of a random ID by chance: the IDs of requests in these ``traces``
    (trace IDs of the run) are not searched.

    In folders, only files that changed ``since`` (seconds since the epoch) are scanned. A secret is masked in its file; a
    compressed file with a secret is removed. Raises ``OSError``.
    """
    files = dict.fromkeys(file for path in paths for file in _files(path, since))
    secrets = _Secrets(redactor, frozenset(trace_id[:_HALF] for trace_id in traces))
    return [leak for file in files for leak in _in_file(file, secrets)]


_HALF = 16
"""digits of a trace ID with which a request ID begins"""
_ID = re.compile(
    r"(?<![0-9a-f])(?P<trace>[0-9a-f]{32})(?:-[0-9a-f]{16}-01)?(?![0-9a-f])|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
)


@dataclass(frozen=True, slots=True)
class _Secrets:
    """Finds secrets that the run knows."""

    redactor: Redactor
    halves: frozenset[str]

    def found(self, text: str) -> Iterable[tuple[int, str]]:
        """Return start and name of each secret in ``text`` outside of the IDs of the run."""
        found = list(self.redactor.found(text))
        # Nearly no text contains one, and only then the IDs matter.
        return self.redactor.found(_ID.sub(self._blank, text)) if found and self.halves else found

    def _blank(self, found: re.Match[str]) -> str:
        is_own = found[0].replace("-", "")[:_HALF] in self.halves
        return "\0" * len(found[0]) if is_own else found[0]


def _files(path: Path, since: float) -> Iterator[Path]:
    if not path.is_dir():
        # The run wrote the target of a link in ``paths``, but not necessarily the target of a link in a folder.
        return iter([path.resolve() if path.is_symlink() else path] if path.is_file() else [])
    return (file for file in sorted(path.rglob("*")) if _changed(file) >= since)


def _changed(path: Path) -> float:
    # Another run in the same folder may have removed it.
    with suppress(FileNotFoundError):
        return path.stat().st_mtime if path.is_file() else -inf
    return -inf


def _in_file(path: Path, secrets: _Secrets) -> list[Leak]:
    with suppress(FileNotFoundError):
        return _scanned(path, secrets)
    return []


def _scanned(path: Path, secrets: _Secrets) -> list[Leak]:
    with path.open("rb") as file:
        magic = file.read(4)
        file.seek(0)
        if magic[:2] == b"\x1f\x8b" or magic == b"PK\x03\x04":
            found = [Leak(path, 0, name) for name in _packed(file, magic, secrets)]
        else:
            found = [Leak(path, line, name) for line, name in _hits(file, secrets)]
    if found and not found[0].line:
        path.unlink()
    elif found:
        _mask(path, secrets.redactor)
    return found


def _packed(file: IO[bytes], magic: bytes, secrets: _Secrets) -> list[str]:
    """Return the names of the secrets in a compressed file, as far as it can be read."""
    names: dict[str, None] = {}
    # Truncated, or with a password: scan the readable part.
    with suppress(EOFError, OSError, RuntimeError, zipfile.BadZipFile, zlib.error):
        for line in _unpacked(file, magic):
            names |= {name: None for _, name in secrets.found(_text(line))}
    return list(names)


def _unpacked(file: IO[bytes], magic: bytes) -> Iterator[bytes]:
    if magic[:2] == b"\x1f\x8b":
        with gzip.open(file) as stream:
            yield from stream
        return
    with zipfile.ZipFile(file) as archive:
        for entry in archive.infolist():
            yield entry.filename.encode(errors="surrogateescape")
            with archive.open(entry) as member:
                yield from member


def _hits(stream: IO[bytes], secrets: _Secrets) -> Iterator[tuple[int, str]]:
    """Yield (line, name) of each secret. Reads whole lines, so that no secret is split."""
    number = 1
    while lines := stream.readlines(_CHUNK):
        text, line, done = _text(b"".join(lines)), number, 0
        hits: dict[tuple[int, str], None] = {}
        for start, name in sorted(secrets.found(text)):
            line += text.count("\n", done, start)
            done = start
            hits[line, name] = None
        yield from hits
        number += len(lines)


def _text(content: bytes) -> str:
    return content.decode(errors="surrogateescape")


def _mask(path: Path, redactor: Redactor) -> None:
    with path.open("rb") as read:
        masked = (redactor.known(_text(line)).encode(errors="surrogateescape") for line in read)
        write_file(path, masked, mode=stat.S_IMODE(path.stat().st_mode))
