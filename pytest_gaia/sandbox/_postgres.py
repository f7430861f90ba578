"""One PostgreSQL server, configured for speed, with a cluster from the cache or a new one.

The ``home`` of a cluster contains ``data`` and ``password``: the password of the superuser, which only the supervisor
uses. Clusters from one archive share it. The role of services and tests gets a new password in every run.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import platform
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Awaitable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO, TYPE_CHECKING

from pytest_gaia.errors import SandboxError
from pytest_gaia.sandbox._processes import HOST, NO_SPACE, Account, Child, ReservedPort, ended, failed, spawn, succeeded
from pytest_gaia.sandbox.binaries import PostgresBinaries
from pytest_gaia.sandbox.directories import cache_directory
from pytest_gaia.system.processes import try_hold

if TYPE_CHECKING:
    # A thread imports it while the server starts.
    from pytest_gaia.clients.database.driver import Connection

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

_SETTINGS = {
    # Reachable from this machine only, and with a password only.
    "listen_addresses": HOST,
    "unix_socket_directories": "",
    # The data is deleted at the end of the run anyway.
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_wal_size": "4GB",
    "checkpoint_timeout": "1h",
    # For short queries on small tables vacuuming, compiling and parallel workers only cost time.
    "autovacuum": "off",
    "jit": "off",
    "max_parallel_workers_per_gather": "0",
    "max_logical_replication_workers": "0",
    # A killed run leaves nothing in /dev/shm outside of its folder, and a small /dev/shm is enough.
    "dynamic_shared_memory_type": "mmap",
    "shared_buffers": "32MB",
    "huge_pages": "off",
    "max_connections": "500",
    "timezone": "UTC",
    "log_timezone": "UTC",
}

# Passwords have 128 random bits, so more rounds add no security, but slow down every connection.
_SETTINGS_SINCE = {16: {"scram_iterations": "1"}, 18: {"io_method": "sync"}}

_READY_LINE = 7
_START_SECONDS = 20.0
_STOP_SECONDS = 5.0
_CONNECT_SECONDS = 10.0
_ATTEMPTS = 3

_CONNECTIONS = "SELECT count(*) FROM pg_stat_activity WHERE datname = $1 AND pid <> pg_backend_pid()"
_log = logging.getLogger(__name__)
_UNPACK_SECONDS = 30.0
_FULL = 1024 * 1024
"""bytes"""
_MAKE_SECONDS = 120.0


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


class PostgresServer:
    """The server of one cluster. The cluster is in ``home/data``, owned by ``account`` if there is one."""

    def __init__(self, binaries: PostgresBinaries, run: Path, home: Path, account: Account | None) -> None:
        self.port = ReservedPort()
        self._run = run
        self._binaries = binaries
        self._data = home / "data"
        self._account = account
        self._child: Child | None = None
        self._started = False

    @property
    def running(self) -> bool:
        """Whether the server's process runs."""
        return self._child is not None and self._child.running

    def dsn(self, user: str, password: str, database: str) -> str:
        """Return the DSN of a database of this server."""
        return f"postgresql://{user}:{password}@{HOST}:{self.port.number}/{database}"

    async def connect(self, user: str, password: str, database: str) -> Connection:
        """Connect to a database of this server."""
        from pytest_gaia.clients.database import driver

        return await driver.connect(self.dsn(user, password, database), ssl=False, timeout=_CONNECT_SECONDS)

    async def start(self) -> None:
        """Start the server and wait until it accepts connections. Raises ``SandboxError`` with the end of its log."""
        for attempt in range(1, _ATTEMPTS + 1):
            self._child = self._launch()
            if await self._accepts(self._child):
                self._started = True
                return
            message = self._child.tail()
            if self._started or "could not bind" not in message or attempt == _ATTEMPTS:
                raise failed(f"PostgreSQL did not start ({self._binaries.postgres})", message)
            self.port.release()
            self.port = ReservedPort()

    async def stop(self) -> None:
        """Stop the server and close all connections. Its data is kept."""
        if self._child is not None:
            await ended(self._child, signal.SIGINT, _STOP_SECONDS)

    def _launch(self) -> Child:
        (self._data / "postmaster.pid").unlink(missing_ok=True)
        options = {**_SETTINGS, **_since(self._data), "port": str(self.port.number)}
        arguments = [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
        command: list[str | Path] = [self._binaries.postgres, "-D", self._data, *arguments]
        # At SIGQUIT, PostgreSQL ends its processes and frees its shared memory without a checkpoint.
        return spawn(self._run, "postgres", command, account=self._account, on_death=signal.SIGQUIT)

    async def _accepts(self, child: Child) -> bool:
        """Wait until the server's status file, which pg_ctl reads, is ready. False if the server exited."""
        deadline = time.monotonic() + _START_SECONDS
        status = self._data / "postmaster.pid"
        while child.running:
            try:
                lines = status.read_text().splitlines()
            except OSError:
                lines = []
            if lines[_READY_LINE:] and lines[_READY_LINE].strip() == "ready":
                return True
            if time.monotonic() > deadline:
                await ended(child, signal.SIGQUIT, _STOP_SECONDS)
                raise failed(f"PostgreSQL was not ready after {_START_SECONDS:.0f} s", child.tail())
            await asyncio.sleep(0.001)
        return False


def _since(data: Path) -> Mapping[str, str]:
    """Return the settings that need the version of this cluster."""
    version = int((data / "PG_VERSION").read_text().split(".")[0])
    return {
        name: value for since, known in _SETTINGS_SINCE.items() if version >= since for name, value in known.items()
    }


async def clone(admin: Connection, database: str, template: str = TEMPLATE) -> None:
    """Create ``database`` as a copy of ``template``."""
    # A clone would wait 0.1 s for a closing connection to the template. Polling is the only way to detect its end.
    while await admin.fetchval(_CONNECTIONS, template):  # noqa: ASYNC110
        await asyncio.sleep(0.001)
    # Copying files takes a third of the time of writing pages to the log.
    await admin.execute(f'CREATE DATABASE "{database}" TEMPLATE "{template}" OWNER {OWNER} STRATEGY FILE_COPY')


async def started_server(cluster: Cluster, unpacking: Child | None, libraries: Awaitable[None]) -> PostgresServer:
    """Return the running server of ``cluster``, which may already be unpacking.

    Creates the cluster if it is not in the cache, or damaged; waits for ``libraries`` before using asyncpg. Raises
    ``SandboxError`` with the end of the log of the failed program.
    """
    server = PostgresServer(cluster.binaries, cluster.run, cluster.home, cluster.account)
    if unpacking is None or not await _started(cluster, server, unpacking):
        await _make_once(cluster, server, libraries)
    return server


async def _started(cluster: Cluster, server: PostgresServer, unpacking: Child) -> bool:
    """Start the server with the cached cluster; if it is damaged, delete it from the cache and return False."""
    unpacked = await succeeded(unpacking, "Unpacking the cluster", _UNPACK_SECONDS)
    if not unpacked and _is_full(cluster.home):
        raise failed(f"Cannot unpack the cluster in {cluster.home}", unpacking.tail() or NO_SPACE)
    if unpacked and cluster.complete:
        try:
            await server.start()
        except SandboxError as error:
            _log.warning("The cluster in the cache is damaged: %s", error)
        else:
            return True
    cluster.archive.discard()
    return False


def _is_full(directory: Path) -> bool:
    """Whether the disk is full; then the log may be empty."""
    room = os.statvfs(directory)
    return room.f_bavail * room.f_frsize < _FULL


async def _make_once(cluster: Cluster, server: PostgresServer, libraries: Awaitable[None]) -> None:
    """Create the cluster; if another run is creating it, wait for that one and use it."""
    while True:
        with cluster.archive.try_lock() as mine:
            if mine:
                unpacking = cluster.unpack()
                if unpacking is None or not await _started(cluster, server, unpacking):
                    await _make(cluster, server, libraries)
                return
        await asyncio.sleep(0.005)


async def _make(cluster: Cluster, server: PostgresServer, libraries: Awaitable[None]) -> None:
    what = f"Creating a cluster with {cluster.binaries.initdb}"
    making = cluster.initialise()
    if not await succeeded(making, what, _MAKE_SECONDS):
        raise failed(f"{what} in {cluster.home} failed", making.tail())
    await server.start()
    await libraries
    await _create_databases(cluster, server)
    await server.stop()
    await _store(cluster)
    await server.start()


async def _create_databases(cluster: Cluster, server: PostgresServer) -> None:
    """Create the template and the first database with the platform's tables.

    A new cluster has three databases of three hundred files. One becomes the template and one is dropped, because every
    later run unpacks them all.
    """
    admin = await server.connect(SUPERUSER, cluster.password, "postgres")
    await admin.execute(f"CREATE ROLE {OWNER} LOGIN")
    await admin.execute("ALTER DATABASE template0 WITH IS_TEMPLATE false")
    await admin.execute("DROP DATABASE template0")
    await admin.execute(f"ALTER DATABASE template1 RENAME TO {TEMPLATE}")
    await admin.execute(f"ALTER DATABASE {TEMPLATE} OWNER TO {OWNER}")
    template = await server.connect(SUPERUSER, cluster.password, TEMPLATE)
    await template.execute(f"SET ROLE {OWNER}")
    await template.execute(cluster.schema)
    await template.close()
    await clone(admin, FIRST)
    await admin.close()


async def _store(cluster: Cluster) -> None:
    """Pack the stopped cluster for later runs. Errors are only logged."""
    try:
        with cluster.archive.draft() as file:
            packing = cluster.archive.pack(cluster.run, cluster.home, file, cluster.account)
            if not await succeeded(packing, "Packing the cluster", _UNPACK_SECONDS):
                raise OSError(packing.tail())
    except (OSError, SandboxError) as error:
        _log.warning("Cannot store the cluster in the cache: %s", error)
