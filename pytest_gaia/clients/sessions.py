"""What a check may do with the database: the interface of every session, and the session that may write."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, Protocol

from pytest_gaia.clients.connection import roll_back, settings
from pytest_gaia.errors import GaiaError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Sequence

    import asyncpg

    from pytest_gaia.clients.connection import Connection
    from pytest_gaia.config.environment import Timeouts


class Session(Protocol):
    """SQL with ``$1`` parameters. PostgreSQL's own errors come through as asyncpg raises them.

    Raises ``WriteRefused`` for a write that is not permitted, ``DeadlineExceeded`` for a statement or a lock that
    takes too long, ``Unreachable`` where the connection is lost.
    """

    async def fetch(self, statement: str, *values: Any) -> list[asyncpg.Record]:
        """Return all rows."""

    async def fetchrow(self, statement: str, *values: Any) -> asyncpg.Record | None:
        """Return the first row, or None."""

    async def fetchval(self, statement: str, *values: Any) -> Any:
        """Return the first column of the first row, or None."""

    async def execute(self, statement: str, *values: Any) -> str:
        """Run a statement (several, where there are no values) and return its status, such as ``INSERT 0 1``."""

    async def executemany(self, statement: str, rows: Iterable[Sequence[Any]]) -> None:
        """Run a statement once for each row of values."""

    def transaction(self) -> contextlib.AbstractAsyncContextManager[None]:
        """Give a context whose statements are undone together where it fails: to expect an error and go on."""


class WritingSession:
    """A session that reads and writes. ``depth`` is 0 where each statement commits by itself, 1 in a transaction."""

    def __init__(self, connection: Connection, *, depth: int) -> None:
        self._connection = connection
        self._depth = depth
        self._ended = False

    def end(self) -> None:
        """Take nothing more: a statement after the end would be no part of the transaction, and stay."""
        self._ended = True

    async def fetch(self, statement: str, *values: Any) -> list[asyncpg.Record]:
        """Return all rows."""
        async with self._wire() as connection:
            return await connection.fetch(statement, *values)

    async def fetchrow(self, statement: str, *values: Any) -> asyncpg.Record | None:
        """Return the first row, or None."""
        async with self._wire() as connection:
            return await connection.fetchrow(statement, *values)

    async def fetchval(self, statement: str, *values: Any) -> Any:
        """Return the first column of the first row, or None."""
        async with self._wire() as connection:
            return await connection.fetchval(statement, *values)

    async def execute(self, statement: str, *values: Any) -> str:
        """Run a statement (several, where there are no values) and return its status."""
        async with self._wire() as connection:
            return await connection.execute(statement, *values)

    async def executemany(self, statement: str, rows: Iterable[Sequence[Any]]) -> None:
        """Run a statement once for each row of values."""
        async with self._wire() as connection:
            await connection.executemany(statement, rows)

    def _wire(self) -> contextlib.AbstractAsyncContextManager[asyncpg.Connection[asyncpg.Record]]:
        if self._ended:
            raise GaiaError("this database session belongs to a test that has ended; ask for the fixture in each test")
        return self._connection.exclusive()

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:
        """Give a context whose statements are undone together where it fails."""
        name = f"gaia_{self._depth}"
        begin, commit, undo = ("BEGIN", "COMMIT", "ROLLBACK") if self._depth == 0 else _savepoint(name)
        await self.execute(begin)
        self._depth += 1
        try:
            yield
        except BaseException:
            await self.execute(undo)
            raise
        else:
            await self.execute(commit)
        finally:
            self._depth -= 1


def _savepoint(name: str) -> tuple[str, str, str]:
    undo = f"ROLLBACK TO SAVEPOINT {name}; RELEASE SAVEPOINT {name}"
    return f"SAVEPOINT {name}", f"RELEASE SAVEPOINT {name}", undo


_MARK = "gaia_test"


@contextlib.asynccontextmanager
async def rolled_back(connection: Connection, timeouts: Timeouts) -> AsyncIterator[WritingSession]:
    """Give a session in a transaction that is rolled back at the end.

    Raises ``GaiaError`` at the end where the test ended the transaction itself: what it wrote may have stayed.
    """
    session = WritingSession(connection, depth=1)
    async with connection.exclusive(begins=True) as wire:
        await wire.execute(f"BEGIN; {settings(timeouts)}; SAVEPOINT {_MARK}")
    try:
        yield session
    except BaseException as error:
        session.end()
        if problem := await _undo(connection):
            error.add_note(problem)
        raise
    session.end()
    if problem := await _undo(connection):
        raise GaiaError(problem)


async def _undo(connection: Connection) -> str | None:
    """Roll back; return what is wrong with that, if anything is."""
    if connection.lost:
        return "The connection to the database broke during the test; the server has rolled back what it did."
    async with connection.exclusive() as wire:
        if await roll_back(wire, _MARK):
            return None
    return (
        "the test ended the transaction that keeps it apart from other tests (COMMIT or ROLLBACK): what it wrote may "
        "have stayed.\nUse session.transaction() for a part that is undone, or postgres_fresh to commit."
    )
