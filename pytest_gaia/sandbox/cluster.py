"""A cluster with the platform's tables: unpacked from the cache, or made.

A cluster's ``home`` holds ``data`` and ``password``, the one of the superuser, which only the supervisor uses. Clusters
that were unpacked from one archive share it; the role of the services and the tests gets a new one in every run.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from pytest_gaia.errors import SandboxError
from pytest_gaia.sandbox.archive import Archive
from pytest_gaia.sandbox.directories import cache_directory
from pytest_gaia.sandbox.processes import Child, spawn

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_gaia.sandbox.binaries import PostgresBinaries
    from pytest_gaia.sandbox.processes import Account

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
    answer = subprocess.run([initdb, "--version"], capture_output=True, text=True, check=False)  # noqa: S603
    found = re.search(r"\d+", answer.stdout)
    return int(found.group()) if found else 0
