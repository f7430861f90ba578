"""Database sessions of tests: their common interface, a session that writes, and a read-only session."""

import contextlib
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from typing import Any, Literal, NoReturn, Protocol, TypeVar

from pytest_gaia.clients.database._connection import (
    READ_ONLY_REFUSALS,
    SERVER_ERROR,
    STALE_STATEMENT,
    SYNTAX_ERROR,
    Connection,
    Record,
    Wire,
    carries_several,
    hide_sql,
    roll_back,
    settings,
)
from pytest_gaia.clients.guard import WriteGuard, reads_only
from pytest_gaia.config.environment import Timeouts
from pytest_gaia.errors import GaiaError

__tracebackhide__ = hide_sql


_MARK = "gaia_test"

# Words of statements that may invalidate prepared statements. They are searched everywhere: a false match costs little.
_ALTERS = re.compile(r"\b(create|alter|drop|rename|set|reset|do|call|discard)\b", re.IGNORECASE)

_T = TypeVar("_T")


class Session(Protocol):
    """SQL with ``$1`` parameters. Errors of PostgreSQL are those of asyncpg.

    Raises ``WriteRefused`` for a write that is not permitted, ``DeadlineExceeded`` for a slow statement or lock, and
    ``Unreachable`` if the connection is lost.
    """

    async def fetch(self, statement: str, *values: Any) -> list[Record]:
        """Return all rows."""

    async def fetchrow(self, statement: str, *values: Any) -> Record | None:
        """Return the first row, or None."""

    async def fetchval(self, statement: str, *values: Any) -> Any:
        """Return the first column of the first row, or None."""

    async def execute(self, statement: str, *values: Any) -> str:
        """Run a statement (or several, without values) and return its status, such as ``INSERT 0 1``."""

    async def executemany(self, statement: str, rows: Iterable[Sequence[Any]]) -> None:
        """Run a statement once for each row of values."""

    def transaction(self) -> contextlib.AbstractAsyncContextManager[None]:
        """Return a context whose statements are undone if it fails, to expect an error and continue."""


class WritingSession:
    """A session that reads and writes. ``depth`` is 0 if each statement commits, 1 in a transaction."""

    def __init__(self, connection: Connection, *, depth: int) -> None:
        self._connection = connection
        self._depth = depth
        self._wrote = False
        self._ended = False
        self.altered = False
        """whether a statement may have altered a table"""

    def end(self) -> None:
        """Reject further statements: they would not be part of the transaction."""
        self._ended = True

    async def fetch(self, statement: str, *values: Any) -> list[Record]:
        """Return all rows."""
        return await self._run(statement, lambda wire: wire.fetch(statement, *values))

    async def fetchrow(self, statement: str, *values: Any) -> Record | None:
        """Return the first row, or None."""
        return await self._run(statement, lambda wire: wire.fetchrow(statement, *values))

    async def fetchval(self, statement: str, *values: Any) -> Any:
        """Return the first column of the first row, or None."""
        return await self._run(statement, lambda wire: wire.fetchval(statement, *values))

    async def execute(self, statement: str, *values: Any) -> str:
        """Run a statement (or several, without values) and return its status."""
        return await self._run(statement, lambda wire: wire.execute(statement, *values))

    async def executemany(self, statement: str, rows: Iterable[Sequence[Any]]) -> None:
        """Run a statement once for each row of values."""
        return await self._run(statement, lambda wire: wire.executemany(statement, rows))

    async def _run(self, statement: str, call: Callable[[Wire], Awaitable[_T]]) -> _T:
        try:
            with self._connection.sending(statement):
                return await self._call(statement, call)
        except SERVER_ERROR as error:
            # The server's message is what the test needs; frames of asyncpg do not help.
            raise error.with_traceback(None) from None

    async def _call(self, statement: str, call: Callable[[Wire], Awaitable[_T]]) -> _T:
        async with self._wire() as wire:
            try:
                return await call(wire)
            except STALE_STATEMENT:
                if self._wrote or self._depth == 0:
                    raise
                # Only reads came before, so the transaction can restart.
                await wire.execute(f"ROLLBACK TO SAVEPOINT {_MARK}")
                return await call(wire)
            finally:
                await self._note(statement, wire)

    async def _note(self, statement: str, wire: Wire) -> None:
        self._wrote = self._wrote or not reads_only(statement)
        if _ALTERS.search(statement) and not wire.is_closed():
            self.altered = True
            await wire.reload_schema_state()

    def _wire(self) -> contextlib.AbstractAsyncContextManager[Wire]:
        if self._ended:
            raise GaiaError("this database session belongs to a finished test; request the fixture in each test")
        return self._connection.exclusive()

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:
        """Return a context whose statements are undone if it fails."""
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


@contextlib.asynccontextmanager
async def rolled_back(connection: Connection, timeouts: Timeouts, fresh: str) -> AsyncIterator[WritingSession]:
    """Yield a session in a transaction that is rolled back at the end.

    ``fresh`` is the fixture for tests that commit. Raises ``GaiaError`` at the end if the test ended the transaction: its
    writes may be permanent.
    """
    session = WritingSession(connection, depth=1)
    async with connection.exclusive(begins=True) as wire:
        await wire.execute(f"BEGIN; {settings(timeouts)}; SAVEPOINT {_MARK}")
    try:
        yield session
    except BaseException as error:
        session.end()
        if problem := await _undo(connection, session, fresh):
            error.add_note(problem)
        raise
    session.end()
    if problem := await _undo(connection, session, fresh):
        raise GaiaError(problem)


async def _undo(connection: Connection, session: WritingSession, fresh: str) -> str | None:
    """Roll back; return the problem, if there is one."""
    if connection.lost:
        return "The connection to the database was lost during the test; the server has rolled back its transaction."
    async with connection.exclusive() as wire:
        intact = await roll_back(wire, _MARK)
        if session.altered:
            await wire.reload_schema_state()
    if intact:
        return None
    return (
        "the test ended the transaction that isolates it from other tests (COMMIT or ROLLBACK): its writes may be "
        f"permanent.\nUse session.transaction() for statements to undo, or {fresh} to commit."
    )


Call = Literal["fetch", "fetchrow", "fetchval"]

BEGIN = "BEGIN READ ONLY; SELECT 1"
"""after its first query, a read-only transaction cannot be switched to writing"""

# Session locks outlive their transaction, and a leftover lock could block a deployment.
_END = "ROLLBACK; SELECT pg_advisory_unlock_all()"


class ReadOnlySession:
    """A session with ``fetch``, ``fetchrow`` and ``fetchval``; writes raise ``WriteRefused``."""

    __slots__ = ("_ask", "_refuse")

    def __init__(self, connection: Connection, guard: WriteGuard, timeouts: Timeouts) -> None:
        self._ask = _reader(connection, guard, timeouts)
        self._refuse = guard.refuse_sql

    async def fetch(self, statement: str, *values: Any) -> list[Record]:
        """Return all rows."""
        rows: list[Record] = await self._run("fetch", statement, values)
        return rows

    async def fetchrow(self, statement: str, *values: Any) -> Record | None:
        """Return the first row, or None."""
        row: Record | None = await self._run("fetchrow", statement, values)
        return row

    async def fetchval(self, statement: str, *values: Any) -> Any:
        """Return the first column of the first row, or None."""
        return await self._run("fetchval", statement, values)

    async def execute(self, statement: str, *values: Any) -> NoReturn:
        """Raise ``WriteRefused``: this call may contain several statements, so it is never sent."""
        del values
        raise self._refuse(statement)

    async def executemany(self, statement: str, rows: Iterable[Sequence[Any]]) -> NoReturn:
        """Raise ``WriteRefused``."""
        del rows
        raise self._refuse(statement)

    async def _run(self, call: Call, statement: str, values: Sequence[Any]) -> Any:
        try:
            return await self._ask(call, statement, values)
        except SERVER_ERROR as error:
            # The server's message is what the test needs; frames of asyncpg do not help.
            raise error.with_traceback(None) from None

    def transaction(self) -> contextlib.AbstractAsyncContextManager[None]:
        """Return a context that does nothing, because each call is undone anyway."""
        return contextlib.nullcontext()


def _reader(
    connection: Connection, guard: WriteGuard, timeouts: Timeouts
) -> Callable[[Call, str, Sequence[Any]], Awaitable[Any]]:
    begin = f"{BEGIN}; {settings(timeouts)}"

    async def ask(call: Call, statement: str, values: Sequence[Any]) -> Any:
        if not reads_only(statement):
            raise guard.refuse_sql(statement)
        with connection.sending(statement):
            return await sent(call, statement, values)

    async def sent(call: Call, statement: str, values: Sequence[Any]) -> Any:
        """Run it in its own read-only transaction; translate the server's refusals."""
        async with connection.exclusive(begins=True) as wire:
            await wire.execute(begin)
            try:
                return await getattr(wire, call)(statement, *values)
            except READ_ONLY_REFUSALS as error:
                raise guard.refuse_sql(statement, by=f"the database ({error})") from None
            except SYNTAX_ERROR as error:
                if not carries_several(error):
                    raise
                raise guard.refuse_sql(statement, by="the database (one statement at a time)") from None
            finally:
                await _end(wire)

    return ask


async def _end(wire: Wire) -> None:
    if wire.is_closed():
        return
    try:
        await wire.execute(_END)
    except BaseException:
        # Canceled or lost: the next user of the connection must not get this open transaction.
        wire.terminate()
        raise
