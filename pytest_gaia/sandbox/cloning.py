"""Cloning the template database."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from pytest_gaia.sandbox.cluster import OWNER, TEMPLATE

if TYPE_CHECKING:
    from asyncpg import Connection

_CONNECTIONS = "SELECT count(*) FROM pg_stat_activity WHERE datname = $1"


async def clone(admin: Connection, database: str) -> None:
    """Make ``database`` as a copy of the template."""
    # A clone would wait a tenth of a second for a connection to the template that is still on its way out.
    # The server tells nobody when that is gone: it has to be asked.
    while await admin.fetchval(_CONNECTIONS, TEMPLATE):  # noqa: ASYNC110
        await asyncio.sleep(0.001)
    # Copying files takes a third of the time that writing their pages to the log does.
    await admin.execute(f'CREATE DATABASE "{database}" TEMPLATE {TEMPLATE} OWNER {OWNER} STRATEGY FILE_COPY')
