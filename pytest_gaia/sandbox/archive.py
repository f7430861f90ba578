"""The cache of clusters: a fresh cluster is made once for each version, packed, and unpacked for every later run."""

from __future__ import annotations

import fcntl
import hashlib
import os
import platform
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING

from pytest_gaia.sandbox.processes import Child, spawn

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_gaia.sandbox.processes import Account

_LAYOUT = "5"
"""Part of every key: raise it when what is packed changes its meaning."""

_KEPT = 4
"""archives that are kept, the ones used last"""


class Archive:
    """One packed cluster in the user's cache. ``directory`` is None where nothing can be kept."""

    def __init__(self, directory: Path | None, parts: tuple[str, ...]) -> None:
        text = "\0".join((_LAYOUT, platform.machine(), *parts))
        name = f"cluster-{hashlib.sha256(text.encode()).hexdigest()[:20]}.tar"
        self.path = directory / name if directory else None

    def unpack(self, run: Path, home: Path, account: Account | None) -> Child | None:
        """Start to unpack the archive into ``home``; None where there is none, or no ``tar``.

        ``account`` needs no access to the cache: the archive is opened here.
        """
        if self.path is None:
            return None
        with suppress(OSError), self.path.open("rb") as source:
            os.utime(source.fileno())
            return spawn(run, "tar", ("tar", "-xf", "-", "-C", home), account=account, source=source)
        return None

    def pack(self, run: Path, home: Path, sink: IO[bytes], account: Account | None) -> Child:
        """Start to pack ``home`` into ``sink``. Raises ``OSError``."""
        return spawn(run, "tar", ("tar", "-cf", "-", "-C", home, "."), account=account, sink=sink)

    @contextmanager
    def draft(self) -> Iterator[IO[bytes]]:
        """Give a file that takes the archive's place when the block ends well. Raises ``OSError``."""
        if self.path is None:
            raise FileNotFoundError("there is no cache directory")
        with tempfile.NamedTemporaryFile(dir=self.path.parent, prefix=f".{self.path.name}.", delete=False) as file:
            draft = Path(file.name)
            try:
                yield file.file
            except BaseException:
                draft.unlink()
                raise
        draft.replace(self.path)
        self._prune()

    def discard(self) -> None:
        """Remove the archive, because it is damaged."""
        if self.path is not None:
            with suppress(OSError):
                self.path.unlink()

    @contextmanager
    def try_lock(self) -> Iterator[bool]:
        """Say whether it is for this process to make the archive; True, too, where nobody can be asked."""
        descriptor = self._open_lock()
        try:
            yield descriptor is None or _locked(descriptor)
        finally:
            if descriptor is not None:
                os.close(descriptor)

    def _open_lock(self) -> int | None:
        if self.path is None:
            return None
        try:
            return os.open(self.path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError:
            return None

    def _prune(self) -> None:
        """Remove the archives of versions that have not been used for long, and drafts of killed runs."""
        if self.path is None:
            return
        with suppress(OSError):
            by_use = sorted(self.path.parent.glob("cluster-*.tar"), key=lambda each: each.stat().st_mtime, reverse=True)
            drafts = self.path.parent.glob(f".{self.path.name}.*")
            for old in (*by_use[_KEPT:], *drafts):
                old.unlink(missing_ok=True)
                old.with_suffix(".lock").unlink(missing_ok=True)


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
