"""Databases of one run: each a clone of the template, which is sealed so that nothing can disturb the cloning."""

from __future__ import annotations

import asyncio
import itertools
import os
from collections import deque
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from pytest_gaia.errors import ConfigError, SandboxError
from pytest_gaia.sandbox.cloning import clone
from pytest_gaia.sandbox.cluster import FIRST, OWNER, SUPERUSER, TEMPLATE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from asyncpg import Connection

    from pytest_gaia.sandbox.postgres import PostgresServer

    Seed = Callable[[Connection, str], Awaitable[None]]

_FRESH = "fresh_"
_AHEAD = 2
"""clones that are kept ready, once somebody has asked for one"""


class Databases:
    """Makes and drops databases on one server. All work goes over one connection, one statement at a time."""

    def __init__(self, server: PostgresServer, password: str) -> None:
        self._server = server
        self._password = password
        self._owner_password = os.urandom(16).hex()
        self._admin: Connection | None = None
        self._lock = asyncio.Lock()
        self._filling = asyncio.Lock()
        self._sealing: asyncio.Task[None] | None = None
        self._names: set[str] = set()
        self._missing: list[str] = []
        self._ready: deque[str] = deque()
        self._numbers = itertools.count(1)
        self._tasks: set[asyncio.Task[None]] = set()

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

    async def fresh(self) -> str:
        """Return the name of a new database, from those made ahead if there is one."""
        name = self._ready.popleft() if self._ready else await self._new()
        self._in_background(self._fill())
        return name

    def drop(self, database: str) -> None:
        """Drop a fresh database, without making anybody wait for it. Raises ``ConfigError`` for any other."""
        if not database.startswith(_FRESH):
            raise ConfigError(f"{database!r} is no database that was made to be dropped.")
        self._in_background(self._drop(database))

    async def close(self) -> None:
        """Let go of the server."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._admin is not None:
            self._admin.terminate()

    async def _new(self) -> str:
        if not self._server.running:
            raise SandboxError("PostgreSQL is stopped: no database can be made until it is started again.")
        name = f"{_FRESH}{next(self._numbers)}"
        await self.create(name)
        return name

    async def _fill(self) -> None:
        async with self._filling:
            while len(self._ready) < _AHEAD and self._server.running:
                self._ready.append(await self._new())

    async def _drop(self, database: str) -> None:
        async with self.turn():
            if self._server.running:
                await (await self._connection()).execute(f'DROP DATABASE IF EXISTS "{database}" WITH (FORCE)')

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

    def _in_background(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
