"""The cell's database as its services use it: a small pool that survives the server's absence."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from pytest_gaia.sandbox.services.asgi import HttpError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from asyncpg import Pool, Record
    from asyncpg.pool import PoolConnectionProxy

CONNECT_TIMEOUT = 2.0
CLOSE_TIMEOUT = 2.0


class DatabaseDown(HttpError):
    """The database cannot be reached; an answer of 500 where no service has a better one."""

    def __init__(self) -> None:
        super().__init__(500, "Database unavailable")


class Database:
    """A pool that connects on first use and again after the server was away."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._pool: Pool[Record] | None = None

    async def fetch(self, query: str, *values: object) -> list[Record]:
        """Return the rows of one statement. Raises ``DatabaseDown``."""
        async with self._connection() as connection:
            return await connection.fetch(query, *values)

    async def write(self, query: str, *values: object, dry: bool = False) -> list[Record]:
        """Run one statement that changes something, undone where ``dry``, and return its rows. Raises ``DatabaseDown``."""
        async with self._connection() as connection:
            if not dry:
                return await connection.fetch(query, *values)
            transaction = connection.transaction()
            await transaction.start()
            try:
                return await connection.fetch(query, *values)
            finally:
                await transaction.rollback()

    async def answers(self) -> bool:
        """Whether the database can be reached."""
        try:
            await self.fetch("SELECT 1")
        except DatabaseDown:
            return False
        return True

    async def close(self) -> None:
        """Close the pool; a connection that does not let go is cut."""
        pool, self._pool = self._pool, None
        if pool is None:
            return
        try:
            await asyncio.wait_for(pool.close(), CLOSE_TIMEOUT)
        except TimeoutError:
            pool.terminate()

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[PoolConnectionProxy[Record]]:
        import asyncpg

        gone = (
            OSError,
            TimeoutError,
            asyncpg.InterfaceError,
            asyncpg.PostgresConnectionError,
            asyncpg.exceptions.OperatorInterventionError,
        )
        try:
            pool = await self._open()
            async with pool.acquire(timeout=CONNECT_TIMEOUT) as connection:
                yield connection
        except gone as error:
            raise DatabaseDown from error

    async def _open(self) -> Pool[Record]:
        if self._pool is None:
            import asyncpg

            # Without minimum there is nothing to wait for here: the pool exists before a second caller can run.
            options: dict[str, Any] = {"min_size": 0, "max_size": 4, "timeout": CONNECT_TIMEOUT, "ssl": False}
            self._pool = asyncpg.create_pool(self._dsn, **options)
            await self._pool
        return self._pool
