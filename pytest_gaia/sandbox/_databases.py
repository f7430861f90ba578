"""Databases of one run: each a clone of the template, which is sealed so that nothing can disturb the cloning."""

import asyncio
import itertools
import os
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from pytest_gaia.clients.database.driver import Connection
from pytest_gaia.errors import ConfigError, SandboxError
from pytest_gaia.sandbox._cluster import FIRST, OWNER, SUPERUSER, TEMPLATE
from pytest_gaia.sandbox._postgres import PostgresServer, clone

Seed = Callable[[Connection, str], Awaitable[None]]

_PREFIX = "fresh_"
_AHEAD = 2
"""clones that are kept ready, once somebody has asked for one"""
_UNWANTED = 32
"""databases that may wait to be dropped, of eight megabytes each"""


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


class FreshDatabases:
    """A supply of databases. Cloning goes before dropping, because somebody may wait for a clone."""

    def __init__(self, databases: Databases) -> None:
        self._databases = databases
        self._ready: asyncio.Queue[str | Exception] = asyncio.Queue()
        self._unwanted: deque[str] = deque()
        self._numbers = itertools.count(1)
        self._more = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None

    async def take(self) -> str:
        """Return the name of a database that nobody else gets. Raises ``SandboxError`` while the server is stopped."""
        if not self._databases.available:
            raise SandboxError("PostgreSQL is stopped: no database can be made until it is started again.")
        self._wake()
        taken = await self._ready.get()
        self._more.set()
        if isinstance(taken, Exception):
            raise SandboxError(f"No database could be made: {taken}") from taken
        return taken

    def give_back(self, database: str) -> None:
        """Let a database be dropped, with whoever uses it. Raises ``ConfigError`` for any that was not taken here."""
        if not database.startswith(_PREFIX):
            raise ConfigError(f"{database!r} is no database that was made to be dropped.")
        self._unwanted.append(database)
        self._wake()

    async def close(self) -> None:
        """Stop making and dropping."""
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)

    def _wake(self) -> None:
        self._more.set()
        if self._keeper is None or self._keeper.done():
            self._keeper = asyncio.ensure_future(self._keep())

    async def _keep(self) -> None:
        """Make and drop one database after the other, and sleep when there is nothing to do."""
        while True:
            await self._more.wait()
            self._more.clear()
            while self._databases.available and (self._ready.qsize() < _AHEAD or self._unwanted):
                await self._step()

    async def _step(self) -> None:
        if len(self._unwanted) > _UNWANTED or self._ready.qsize() >= _AHEAD:
            await self._databases.drop(self._unwanted.popleft())
            return
        name = f"{_PREFIX}{next(self._numbers)}"
        try:
            await self._databases.create(name)
        # Whatever it is, it is for whoever waits for the database.
        except Exception as error:  # noqa: BLE001
            await self._ready.put(error)
        else:
            await self._ready.put(name)
