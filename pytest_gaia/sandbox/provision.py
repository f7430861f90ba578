"""From nothing, or from the cache, to a PostgreSQL server that runs and holds the template of the platform's tables."""

from __future__ import annotations

import asyncio
import logging
import os
from typing import TYPE_CHECKING

from pytest_gaia.errors import SandboxError
from pytest_gaia.sandbox.cloning import clone
from pytest_gaia.sandbox.cluster import FIRST, OWNER, SUPERUSER, TEMPLATE
from pytest_gaia.sandbox.failures import NO_SPACE, failed
from pytest_gaia.sandbox.postgres import PostgresServer
from pytest_gaia.sandbox.waiting import succeeded

if TYPE_CHECKING:
    from collections.abc import Awaitable
    from pathlib import Path

    from pytest_gaia.sandbox.cluster import Cluster
    from pytest_gaia.sandbox.processes import Child

_log = logging.getLogger(__name__)

_UNPACK_SECONDS = 30.0
_FULL = 1024 * 1024
"""bytes"""
_MAKE_SECONDS = 120.0


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
