"""A cluster with the platform's tables: unpacked from the cache, or made.

A cluster's ``home`` holds ``data`` and ``password``, the one of the superuser, which only the supervisor uses. Clusters
that were unpacked from one archive share it; the role of the services and the tests gets a new one in every run."""

import hashlib
import os
import platform
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO

from pytest_gaia.errors import SandboxError
from pytest_gaia.sandbox._processes import Account, Child, spawn
from pytest_gaia.sandbox.binaries import PostgresBinaries
from pytest_gaia.sandbox.directories import cache_directory
from pytest_gaia.system.locks import try_hold

_LAYOUT = "5"
"""Part of every key: raise it when what is packed changes its meaning."""

_KEPT = 4
"""archives that are kept, the ones used last"""

SUPERUSER = "postgres"
OWNER = "gaia"
"""the role of the services and the tests: it owns the databases, and is no superuser"""
TEMPLATE = "platform"
FIRST = "gaia_main"
"""a database that is there from the start: the first cell need not wait for a clone"""
_INITDB = (
    "--no-sync",
    "--no-instructions",
    "--wal-segsize=1",
    "--encoding=UTF8",
    "--auth=scram-sha-256",
    "--no-locale",
)
# The first also for initdb's own servers: one that crashes shall leave nothing outside of its folder.
_SINCE = {
    16: ("-c", "dynamic_shared_memory_type=mmap"),
    17: ("--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
}


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
        held, descriptor = True, None
        if self.path is not None:
            with suppress(OSError):
                descriptor = try_hold(self.path.with_suffix(".lock"))
                held = descriptor is not None
        try:
            yield held
        finally:
            if descriptor is not None:
                os.close(descriptor)

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


@dataclass(frozen=True)
class Cluster:
    """Where one run's cluster is, and what it is made with and of."""

    binaries: PostgresBinaries
    account: Account | None
    run: Path
    schema: str

    @property
    def home(self) -> Path:
        """The folder of the cluster, which belongs to the server's user."""
        return self.run / "postgres"

    @property
    def password(self) -> str:
        """The superuser's password."""
        return (self.home / "password").read_text("utf-8")

    @cached_property
    def archive(self) -> Archive:
        """The cluster's place in the cache."""
        return Archive(cache_directory(), (self.binaries.version, *_INITDB, OWNER, self.schema))

    def unpack(self) -> Child | None:
        """Start to unpack the cluster; None where that is not in the cache."""
        self._empty_home()
        return self.archive.unpack(self.run, self.home, self.account)

    def initialise(self) -> Child:
        """Start to make a new cluster. Raises ``SandboxError``."""
        self._empty_home()
        secret = self.home / "password"
        secret.write_text(os.urandom(16).hex(), "utf-8")
        self._give(secret)
        version = _major(self.binaries.initdb)
        newer = [word for since, words in _SINCE.items() if version >= since for word in words]
        # What a program that crashes leaves in shared memory is found by its files: initdb must not remove them.
        where: tuple[str | Path, ...] = ("-D", self.home / "data", "-U", SUPERUSER, f"--pwfile={secret}", "--no-clean")
        try:
            command = (self.binaries.initdb, *where, *_INITDB, *newer)
            return spawn(self.run, "initdb", command, account=self.account)
        except OSError as error:
            raise SandboxError(f"{self.binaries.initdb} does not run: {error}") from error

    @property
    def complete(self) -> bool:
        """Whether everything is there that a server needs."""
        return (self.home / "data" / "PG_VERSION").is_file() and (self.home / "password").is_file()

    def _empty_home(self) -> None:
        shutil.rmtree(self.home, ignore_errors=True)
        self.home.mkdir(mode=0o700)
        self._give(self.home)

    def _give(self, path: Path) -> None:
        if self.account is not None:
            os.chown(path, self.account.uid, self.account.gid)


def _major(initdb: Path) -> int:
    # The program was found by this package, or named by the user.
    completed = subprocess.run([initdb, "--version"], capture_output=True, text=True, check=False)  # noqa: S603
    found = re.search(r"\d+", completed.stdout)
    return int(found.group()) if found else 0
