"""One PostgreSQL server: started for speed, not for safety, with a cluster from the cache or from nothing."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import time
from collections.abc import Awaitable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_gaia.errors import SandboxError
from pytest_gaia.sandbox._cluster import FIRST, OWNER, SUPERUSER, TEMPLATE, Cluster
from pytest_gaia.sandbox._ports import HOST, ReservedPort
from pytest_gaia.sandbox._processes import NO_SPACE, Account, Child, ended, failed, spawn, succeeded
from pytest_gaia.sandbox.binaries import PostgresBinaries

if TYPE_CHECKING:
    # A thread imports it while the server starts.
    from pytest_gaia.clients.database.driver import Connection

_SETTINGS = {
    # Reachable from this machine only, and with a password only.
    "listen_addresses": HOST,
    "unix_socket_directories": "",
    # What is lost in a crash is thrown away at the end of the run anyhow.
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_wal_size": "4GB",
    "checkpoint_timeout": "1h",
    # Short queries on small tables: nothing to vacuum, compile or spread.
    "autovacuum": "off",
    "jit": "off",
    "max_parallel_workers_per_gather": "0",
    "max_logical_replication_workers": "0",
    # A run that is killed leaves nothing in /dev/shm outside of its own directory, and a small /dev/shm does not matter.
    "dynamic_shared_memory_type": "mmap",
    "shared_buffers": "32MB",
    "huge_pages": "off",
    "max_connections": "500",
    "timezone": "UTC",
    "log_timezone": "UTC",
}

# The passwords are 128 random bits, which no number of rounds makes harder to guess; each round costs every connection.
_SETTINGS_SINCE = {16: {"scram_iterations": "1"}, 18: {"io_method": "sync"}}

_READY_LINE = 7
_START_SECONDS = 20.0
_STOP_SECONDS = 5.0
_CONNECT_SECONDS = 10.0
_ATTEMPTS = 3

_CONNECTIONS = "SELECT count(*) FROM pg_stat_activity WHERE datname = $1"
_log = logging.getLogger(__name__)
_UNPACK_SECONDS = 30.0
_FULL = 1024 * 1024
"""bytes"""
_MAKE_SECONDS = 120.0


class PostgresServer:
    """The server of one cluster. ``home`` holds the cluster in ``data``; it belongs to ``account`` if one is given."""

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
        """Whether the server's process is there."""
        return self._child is not None and self._child.running

    def dsn(self, user: str, password: str, database: str) -> str:
        """Return where a database of this server is reached."""
        return f"postgresql://{user}:{password}@{HOST}:{self.port.number}/{database}"

    async def connect(self, user: str, password: str, database: str) -> Connection:
        """Connect to a database of this server."""
        from pytest_gaia.clients.database import driver

        return await driver.connect(self.dsn(user, password, database), ssl=False, timeout=_CONNECT_SECONDS)

    async def start(self) -> None:
        """Start the server and wait until it takes connections. Raises ``SandboxError`` with the end of its log."""
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
        """Stop the server at once, closing every connection in order. What it holds is kept."""
        if self._child is not None:
            await ended(self._child, signal.SIGINT, _STOP_SECONDS)

    def _launch(self) -> Child:
        (self._data / "postmaster.pid").unlink(missing_ok=True)
        options = {**_SETTINGS, **_since(self._data), "port": str(self.port.number)}
        arguments = [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
        command: list[str | Path] = [self._binaries.postgres, "-D", self._data, *arguments]
        # SIGQUIT: PostgreSQL ends its own processes and gives its shared memory back, without a checkpoint.
        return spawn(self._run, "postgres", command, account=self._account, on_death=signal.SIGQUIT)

    async def _accepts(self, child: Child) -> bool:
        """Wait until the server says that it is ready, in the file that pg_ctl reads. False if it ended instead."""
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
    """Return the settings that this cluster's version knows and an older one does not."""
    version = int((data / "PG_VERSION").read_text().split(".")[0])
    return {
        name: value for since, known in _SETTINGS_SINCE.items() if version >= since for name, value in known.items()
    }


async def clone(admin: Connection, database: str) -> None:
    """Make ``database`` as a copy of the template."""
    # A clone would wait a tenth of a second for a connection to the template that is still on its way out.
    # The server tells nobody when that is gone: it has to be asked.
    while await admin.fetchval(_CONNECTIONS, TEMPLATE):  # noqa: ASYNC110
        await asyncio.sleep(0.001)
    # Copying files takes a third of the time that writing their pages to the log does.
    await admin.execute(f'CREATE DATABASE "{database}" TEMPLATE {TEMPLATE} OWNER {OWNER} STRATEGY FILE_COPY')


async def started_server(cluster: Cluster, unpacking: Child | None, libraries: Awaitable[None]) -> PostgresServer:
    """Return the running server of ``cluster``, which may already be unpacking.

    A cluster that is not in the cache, or is damaged there, is made; ``libraries`` is awaited before asyncpg is used.
    Raises ``SandboxError`` with the end of the log of what failed.
    """
    server = PostgresServer(cluster.binaries, cluster.run, cluster.home, cluster.account)
    if unpacking is None or not await _started(cluster, server, unpacking):
        await _make_once(cluster, server, libraries)
    return server


async def _started(cluster: Cluster, server: PostgresServer, unpacking: Child) -> bool:
    """Start the server on what was in the cache; False, and nothing is left in the cache, if that is damaged."""
    unpacked = await succeeded(unpacking, "Unpacking the cluster", _UNPACK_SECONDS)
    if not unpacked and _is_full(cluster.home):
        raise failed(f"The cluster could not be unpacked in {cluster.home}", unpacking.tail() or NO_SPACE)
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
    """Whether there is no room left, not even for the log that would say so."""
    room = os.statvfs(directory)
    return room.f_bavail * room.f_frsize < _FULL


async def _make_once(cluster: Cluster, server: PostgresServer, libraries: Awaitable[None]) -> None:
    """Make the cluster, unless another run is about to: then wait for it and take what it made."""
    while True:
        with cluster.archive.try_lock() as mine:
            if mine:
                unpacking = cluster.unpack()
                if unpacking is None or not await _started(cluster, server, unpacking):
                    await _make(cluster, server, libraries)
                return
        await asyncio.sleep(0.005)


async def _make(cluster: Cluster, server: PostgresServer, libraries: Awaitable[None]) -> None:
    what = f"Making a cluster with {cluster.binaries.initdb}"
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
    """Make the template and the first database, both with the platform's tables.

    A new cluster has three databases, of three hundred files each. One becomes the template, and one that nobody needs
    goes: every later run unpacks what is left.
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
    """Pack the stopped cluster for the next runs. What goes wrong is logged: this run does not need it."""
    try:
        with cluster.archive.draft() as file:
            packing = cluster.archive.pack(cluster.run, cluster.home, file, cluster.account)
            if not await succeeded(packing, "Packing the cluster", _UNPACK_SECONDS):
                raise OSError(packing.tail())
    except (OSError, SandboxError) as error:
        _log.warning("The cluster could not be kept for the next run: %s", error)
