"""Databases of one run: each a clone of the template, which is sealed so that nothing can disturb the cloning."""

from __future__ import annotations

import asyncio
import os
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from pytest_gaia.sandbox.cloning import clone
from pytest_gaia.sandbox.cluster import FIRST, OWNER, SUPERUSER, TEMPLATE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from asyncpg import Connection

    from pytest_gaia.sandbox.postgres import PostgresServer

    Seed = Callable[[Connection, str], Awaitable[None]]


class Databases:
    """Makes and drops databases on one server. All work goes over one connection, one statement at a time."""

    def __init__(self, server: PostgresServer, password: str) -> None:
        self._server = server
        self._password = password
        self._owner_password = os.urandom(16).hex()
        self._admin: Connection | None = None
        self._lock = asyncio.Lock()
        self._sealing: asyncio.Task[None] | None = None
        self._names: set[str] = set()
        self._missing: list[str] = []

    @property
    def available(self) -> bool:
        """Whether the server runs."""
        return self._server.running

    def dsn(self, database: str) -> str:
        """Return where the services and the tests reach a database."""
        return self._server.dsn(OWNER, self._owner_password, database)

    async def prepare(self, seed: Seed, api_key: str) -> None:
        """Once a run: give the owner a password, and put the first rows into the first database.

        The template gets them in the background; :meth:`create` waits for it.
        """
        first = await self._server.connect(SUPERUSER, self._password, FIRST)
        await first.execute(f"ALTER ROLE {OWNER} PASSWORD '{self._owner_password}'")
        await seed(first, api_key)
        await first.close()
        self._names.add(FIRST)
        self._sealing = asyncio.ensure_future(self._seal(seed, api_key))

    async def create(self, database: str) -> None:
        """Make a database if there is none of that name; while the server is stopped, remember it for :meth:`resume`."""
        if database in self._names:
            return
        async with self.turn():
            if not self._server.running:
                self._missing.append(database)
                return
            await clone(await self._connection(), database)
            self._names.add(database)

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait until the template is complete and nothing else is under way, and keep it so for the block."""
        if self._sealing is not None:
            await asyncio.shield(self._sealing)
        async with self._lock:
            yield

    async def resume(self) -> None:
        """Make what was asked for while the server was stopped."""
        while self._missing:
            await self.create(self._missing.pop())

    async def drop(self, database: str) -> None:
        """Drop a database, with whoever uses it; while the server is stopped, it stays."""
        async with self.turn():
            if self._server.running:
                await (await self._connection()).execute(f'DROP DATABASE IF EXISTS "{database}" WITH (FORCE)')
                self._names.discard(database)

    def close(self) -> None:
        """Let go of the server."""
        if self._admin is not None:
            self._admin.terminate()

    async def _seal(self, seed: Seed, api_key: str) -> None:
        """Put the first rows into the template and close it: a connection to it would disturb the cloning."""
        template = await self._server.connect(SUPERUSER, self._password, TEMPLATE)
        await seed(template, api_key)
        await template.close()
        admin = await self._connection()
        await admin.execute(f"ALTER DATABASE {TEMPLATE} WITH IS_TEMPLATE true ALLOW_CONNECTIONS false")

    async def _connection(self) -> Connection:
        if self._admin is None or self._admin.is_closed():
            self._admin = await self._server.connect(SUPERUSER, self._password, "postgres")
        return self._admin
