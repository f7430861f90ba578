"""The database of a stack: its tables, its initial rows, and a small pool that survives outages of the server."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any

from pytest_gaia.clients.database.driver import Connection, Pool, PoolConnectionProxy, Record
from pytest_gaia.sandbox._services.app import FIGURES, HttpError

USER_ID = "6a1a0000-0000-4000-8000-000000000001"
"""the user whose API key ``seed`` stores"""

MU: Mapping[str, Any] = FIGURES["persona"]
"""the first persona"""

ADD_PERSONA = """
    INSERT INTO personas (name, description, system_prompt, personality_traits, capabilities, created_by)
    VALUES ($1, $2, $3, $4, $5, $6) RETURNING *
"""

ADD_CONVERSATION = "INSERT INTO conversations (user_id, title, preview) VALUES ($1, $2, $3) RETURNING *"

CONNECT_TIMEOUT = 2.0
CLOSE_TIMEOUT = 2.0


def key_hash(api_key: str) -> str:
    """Return the hash of an API key that the platform stores: its SHA-256 in hexadecimal."""
    return hashlib.sha256(api_key.encode()).hexdigest()


async def seed(connection: Connection, api_key: str, *, api: str = "current") -> None:
    """Add the first user, the hash of its API key, the persona Mu, and with the API ``next`` the first conversation."""
    await connection.execute(
        "INSERT INTO users (id, email, name) VALUES ($1, $2, $3)", USER_ID, "sandbox@example.com", "Sandbox User"
    )
    await connection.execute(
        "INSERT INTO api_keys (user_id, key_hash, name, permissions) VALUES ($1, $2, $3, $4)",
        USER_ID,
        key_hash(api_key),
        "sandbox",
        json.dumps({"read": True, "write": True}),
    )
    persona = MU if api == "current" else {**MU, **FIGURES["newest_persona"]}
    await connection.execute(ADD_PERSONA, *persona_values(persona, "system"))
    if api == "next":
        await connection.execute(ADD_CONVERSATION, USER_ID, "Welcome to Gaia", "Your first conversation")


def persona_values(persona: Mapping[str, object], created_by: str) -> tuple[object, ...]:
    """Return the parameters of ``ADD_PERSONA``."""
    traits = (json.dumps(persona.get(name) or {}) for name in ("personality_traits", "capabilities"))
    return (persona["name"], persona["description"], persona["system_prompt"], *traits, created_by)


class DatabaseDown(HttpError):
    """The database is unreachable. The response is a 500 unless the service has a better one."""

    def __init__(self) -> None:
        super().__init__(500, "Database unavailable")


class FailedTransaction(HttpError):
    """A statement in a failed transaction that was not rolled back."""

    def __init__(self, problem: str) -> None:
        super().__init__(500, f"(psycopg2.errors.InFailedSqlTransaction) {problem}")


class Database:
    """A connection pool that connects at first use and reconnects after outages."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._pool: Pool[Record] | None = None
        self._sessions: list[Session] = []

    def session(self) -> Session:
        """Return a new session."""
        self._sessions.append(Session(self))
        return self._sessions[-1]

    async def acquire(self) -> PoolConnectionProxy[Record]:
        """Return a connection, to be released later. Raises ``DatabaseDown``."""
        with _mapped():
            return await (await self._open()).acquire(timeout=CONNECT_TIMEOUT)

    async def release(self, connection: PoolConnectionProxy[Record]) -> None:
        """Release a connection and roll back its transaction. Raises ``DatabaseDown``."""
        if self._pool is not None:
            with _mapped():
                await self._pool.release(connection)

    async def fetch(self, query: str, *values: object) -> list[Record]:
        """Return the rows of one statement. Raises ``DatabaseDown``."""
        async with self._connection() as connection:
            return await connection.fetch(query, *values)

    async def write(self, query: str, *values: object, dry: bool = False) -> list[Record]:
        """Run one writing statement and return its rows; ``dry`` rolls it back. Raises ``DatabaseDown``."""
        async with self._connection() as connection:
            if not dry:
                return await connection.fetch(query, *values)
            transaction = connection.transaction()
            await transaction.start()
            try:
                return await connection.fetch(query, *values)
            finally:
                await transaction.rollback()

    async def responds(self) -> bool:
        """Whether the database is reachable."""
        try:
            await self.fetch("SELECT 1")
        except DatabaseDown:
            return False
        return True

    async def close(self) -> None:
        """Close the pool; terminate connections that do not close in time."""
        for session in self._sessions:
            with suppress(DatabaseDown):
                await session.rollback()
        pool, self._pool = self._pool, None
        if pool is None:
            return
        try:
            await asyncio.wait_for(pool.close(), CLOSE_TIMEOUT)
        except TimeoutError:
            pool.terminate()

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[PoolConnectionProxy[Record]]:
        with _mapped():
            pool = await self._open()
            async with pool.acquire(timeout=CONNECT_TIMEOUT) as connection:
                yield connection

    async def _open(self) -> Pool[Record]:
        if self._pool is None:
            from pytest_gaia.clients.database import driver

            # A pool without minimum size needs no wait, so it exists before a second caller can run.
            options: dict[str, Any] = {"min_size": 0, "max_size": 4, "timeout": CONNECT_TIMEOUT, "ssl": False}
            self._pool = driver.create_pool(self._dsn, **options)
            await self._pool
        return self._pool


class Session:
    """One shared transaction. A failed statement leaves it failed until it is rolled back."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._connection: PoolConnectionProxy[Record] | None = None
        self._lock = asyncio.Lock()

    async def run(self, query: str, *values: object, dry: bool = False) -> list[Record]:
        """Run one statement and commit it, or roll it back if ``dry``; return its rows.

        Raises ``DatabaseDown``, :class:`FailedTransaction` after a failed statement, and errors of PostgreSQL.
        """
        from pytest_gaia.clients.database import driver

        async with self._lock:
            try:
                with _mapped():
                    if self._connection is None:
                        self._connection = await self._database.acquire()
                        await self._connection.execute("BEGIN")
                    rows = await self._connection.fetch(query, *values)
                    await self._connection.execute("ROLLBACK" if dry else "COMMIT")
            except driver.InFailedSQLTransactionError as error:
                raise FailedTransaction(str(error)) from error
            except driver.IntegrityConstraintViolationError:
                # The platform reports the duplicate name and does not roll back.
                raise
            except BaseException:
                await self._end()
                raise
            await self._end()
            return rows

    async def rollback(self) -> None:
        """Roll back the transaction."""
        async with self._lock:
            await self._end()

    async def _end(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await self._database.release(connection)


@contextmanager
def _mapped() -> Iterator[None]:
    """Raise ``DatabaseDown`` for errors of a lost connection."""
    from pytest_gaia.clients.database import driver

    gone = (
        OSError,
        TimeoutError,
        driver.InterfaceError,
        driver.PostgresConnectionError,
        driver.OperatorInterventionError,
    )
    try:
        yield
    except gone as error:
        raise DatabaseDown from error
