"""The databases of one run, cloned from a locked template."""

import asyncio
import itertools
import os
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from pytest_gaia.clients.database.driver import Connection
from pytest_gaia.errors import ConfigError, SandboxError
from pytest_gaia.sandbox._postgres import EMPTY, FIRST, OWNER, SUPERUSER, TEMPLATE, PostgresServer, clone

Seed = Callable[[Connection, str], Awaitable[None]]
Migrate = Callable[[str], Awaitable[None]]
"""creates the tables of a database, whose DSN it gets"""

_PREFIX = "fresh_"
_AHEAD = 2
"""clones that are kept ready after the first request"""
_UNWANTED = 32
"""limit of databases that wait to be dropped, of eight megabytes each"""


class Databases:
    """Creates and drops databases on one server, over one connection and one statement at a time."""

    def __init__(self, server: PostgresServer, password: str) -> None:
        self._server = server
        self._password = password
        self._owner_password = os.urandom(16).hex()
        self._admin: Connection | None = None
        self._lock = asyncio.Lock()
        self._locking: asyncio.Task[None] | None = None
        self._names: set[str] = set()
        self._missing: list[tuple[str, str]] = []

    @property
    def available(self) -> bool:
        """Whether the server runs."""
        return self._server.running

    def dsn(self, database: str) -> str:
        """Return the DSN of a database for services and tests."""
        return self._server.dsn(OWNER, self._owner_password, database)

    async def open(self) -> None:
        """Set the owner's password, once for a run."""
        await (await self._connection()).execute(self._new_password)

    async def prepare(self, seed: Seed, api_key: str) -> None:
        """Set the owner's password and insert the initial rows into the first database, once for a run.

        The template gets the rows in the background; :meth:`create` waits for it.
        """
        first = await self._server.connect(SUPERUSER, self._password, FIRST)
        await first.execute(self._new_password)
        await seed(first, api_key)
        await first.close()
        self._names.add(FIRST)
        self._locking = asyncio.ensure_future(self._lock_template(seed, api_key))

    async def create(self, database: str, template: str = TEMPLATE) -> None:
        """Create a database if it does not exist; while the server is stopped, :meth:`resume` creates it later."""
        if database in self._names:
            return
        async with self.turn():
            if not self._server.running:
                self._missing.append((database, template))
                return
            await clone(await self._connection(), database, template)
            self._names.add(database)

    async def create_template(self, template: str, migrate: Migrate) -> None:
        """Create a database, create its tables with ``migrate``, and forbid connections, which would prevent cloning."""
        await self.create(template, EMPTY)
        await migrate(self.dsn(template))
        async with self.turn():
            await self._forbid(template)

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait until the template is complete and no other work runs, and exclude other work during the block."""
        if self._locking is not None:
            await asyncio.shield(self._locking)
        async with self._lock:
            yield

    async def resume(self) -> None:
        """Create the databases that were requested while the server was stopped."""
        while self._missing:
            await self.create(*self._missing.pop())

    async def drop(self, database: str) -> None:
        """Drop a database and its connections; while the server is stopped, it stays."""
        async with self.turn():
            if self._server.running:
                await (await self._connection()).execute(f'DROP DATABASE IF EXISTS "{database}" WITH (FORCE)')
                self._names.discard(database)

    def close(self) -> None:
        """Close the connection to the server."""
        if self._admin is not None:
            self._admin.terminate()

    async def _lock_template(self, seed: Seed, api_key: str) -> None:
        """Insert the initial rows into the template and forbid connections, which would prevent cloning."""
        template = await self._server.connect(SUPERUSER, self._password, TEMPLATE)
        await seed(template, api_key)
        await template.close()
        await self._forbid(TEMPLATE)

    async def _forbid(self, template: str) -> None:
        admin = await self._connection()
        await admin.execute(f'ALTER DATABASE "{template}" WITH IS_TEMPLATE true ALLOW_CONNECTIONS false')

    @property
    def _new_password(self) -> str:
        return f"ALTER ROLE {OWNER} PASSWORD '{self._owner_password}'"

    async def _connection(self) -> Connection:
        if self._admin is None or self._admin.is_closed():
            self._admin = await self._server.connect(SUPERUSER, self._password, "postgres")
        return self._admin


class FreshDatabases:
    """A supply of copies of one template. Cloning takes precedence over dropping, because a test may wait for a clone."""

    def __init__(self, databases: Databases, template: str, name: str) -> None:
        """``name`` distinguishes this supply from others."""
        self._databases = databases
        self._template = template
        self._prefix = f"{_PREFIX}{name}_"
        self._ready: asyncio.Queue[str | Exception] = asyncio.Queue()
        self._unwanted: deque[str] = deque()
        self._numbers = itertools.count(1)
        self._more = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None

    async def take(self) -> str:
        """Return the name of a new database. Raises ``SandboxError`` while the server is stopped."""
        if not self._databases.available:
            raise SandboxError("PostgreSQL is stopped: start it to create a database.")
        self._wake()
        taken = await self._ready.get()
        self._more.set()
        if isinstance(taken, Exception):
            raise SandboxError(f"Cannot create a database: {taken}") from taken
        return taken

    def give_back(self, database: str) -> None:
        """Drop a database in the background. Raises ``ConfigError`` for any other than a fresh database."""
        if not database.startswith(_PREFIX):
            raise ConfigError(f"{database!r} is not a fresh database and cannot be dropped.")
        self._unwanted.append(database)
        self._wake()

    async def close(self) -> None:
        """Stop creating and dropping."""
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)

    def _wake(self) -> None:
        self._more.set()
        if self._keeper is None or self._keeper.done():
            self._keeper = asyncio.ensure_future(self._keep())

    async def _keep(self) -> None:
        """Create and drop databases one at a time; sleep without work."""
        while True:
            await self._more.wait()
            self._more.clear()
            while self._databases.available and (self._ready.qsize() < _AHEAD or self._unwanted):
                await self._step()

    async def _step(self) -> None:
        if len(self._unwanted) > _UNWANTED or self._ready.qsize() >= _AHEAD:
            await self._databases.drop(self._unwanted.popleft())
            return
        name = f"{self._prefix}{next(self._numbers)}"
        try:
            await self._databases.create(name, self._template)
        # Any error is passed to the caller that waits for the database.
        except Exception as error:  # noqa: BLE001
            await self._ready.put(error)
        else:
            await self._ready.put(name)
