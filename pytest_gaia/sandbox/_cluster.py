"""A PostgreSQL cluster with the platform's tables, unpacked from the cache or newly created.

The ``home`` of a cluster contains ``data`` and ``password``: the password of the superuser, which only the supervisor
uses. Clusters from one archive share it. The role of services and tests gets a new password in every run.
"""

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
"""part of every key: increase it after a change of the content of archives"""

_KEPT = 4
"""number of archives to keep, by last use"""

SUPERUSER = "postgres"
OWNER = "gaia"
"""the role of services and tests: it owns the databases and is not a superuser"""
TEMPLATE = "platform"
EMPTY = "postgres"
"""a database without tables, to which only the supervisor connects"""
FIRST = "gaia_main"
"""a database that exists from the start, so that the first stack need not wait for a clone"""
_INITDB = (
    "--no-sync",
    "--no-instructions",
    "--wal-segsize=1",
    "--encoding=UTF8",
    "--auth=scram-sha-256",
    "--no-locale",
)
# The first one also applies to initdb's own servers, so that a crash leaves nothing outside of their folder.
_SINCE = {
    16: ("-c", "dynamic_shared_memory_type=mmap"),
    17: ("--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
}


class Archive:
    """One packed cluster in the user's cache. ``directory`` is None if there is no cache."""

    def __init__(self, directory: Path | None, parts: tuple[str, ...]) -> None:
        text = "\0".join((_LAYOUT, platform.machine(), *parts))
        name = f"cluster-{hashlib.sha256(text.encode()).hexdigest()[:20]}.tar"
        self.path = directory / name if directory else None

    def unpack(self, run: Path, home: Path, account: Account | None) -> Child | None:
        """Start to unpack the archive into ``home``; None without an archive or without ``tar``.

        ``account`` needs no access to the cache, because this process opens the archive.
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
        """Yield a file that replaces the archive if the block succeeds. Raises ``OSError``."""
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
        """Delete the damaged archive."""
        if self.path is not None:
            with suppress(OSError):
                self.path.unlink()

    @contextmanager
    def try_lock(self) -> Iterator[bool]:
        """Yield whether this process should create the archive; also true if there is no lock file."""
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
        """Delete the least recently used archives, and drafts of killed runs."""
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
    """The cluster of one run: its folder, programs and schema."""

    binaries: PostgresBinaries
    account: Account | None
    run: Path
    schema: str

    @property
    def home(self) -> Path:
        """The folder of the cluster, owned by the server's user."""
        return self.run / "postgres"

    @property
    def password(self) -> str:
        """The superuser's password."""
        return (self.home / "password").read_text("utf-8")

    @cached_property
    def archive(self) -> Archive:
        """The archive of the cluster in the cache."""
        return Archive(cache_directory(), (self.binaries.version, *_INITDB, OWNER, self.schema))

    def unpack(self) -> Child | None:
        """Start to unpack the cluster; None if it is not in the cache."""
        self._empty_home()
        return self.archive.unpack(self.run, self.home, self.account)

    def initialise(self) -> Child:
        """Start to create a new cluster. Raises ``SandboxError``."""
        self._empty_home()
        secret = self.home / "password"
        secret.write_text(os.urandom(16).hex(), "utf-8")
        self._give(secret)
        version = _major(self.binaries.initdb)
        newer = [word for since, words in _SINCE.items() if version >= since for word in words]
        # Shared memory of a crashed program is found through its files, so initdb must not delete them.
        where: tuple[str | Path, ...] = ("-D", self.home / "data", "-U", SUPERUSER, f"--pwfile={secret}", "--no-clean")
        try:
            command = (self.binaries.initdb, *where, *_INITDB, *newer)
            return spawn(self.run, "initdb", command, account=self.account)
        except OSError as error:
            raise SandboxError(f"{self.binaries.initdb} cannot be started: {error}") from error

    @property
    def complete(self) -> bool:
        """Whether all files that a server needs exist."""
        return (self.home / "data" / "PG_VERSION").is_file() and (self.home / "password").is_file()

    def _empty_home(self) -> None:
        shutil.rmtree(self.home, ignore_errors=True)
        self.home.mkdir(mode=0o700)
        self._give(self.home)

    def _give(self, path: Path) -> None:
        if self.account is not None:
            os.chown(path, self.account.uid, self.account.gid)


def _major(initdb: Path) -> int:
    # The program was found by this package, or set by the user.
    completed = subprocess.run([initdb, "--version"], capture_output=True, text=True, check=False)  # noqa: S603
    found = re.search(r"\d+", completed.stdout)
    return int(found.group()) if found else 0
