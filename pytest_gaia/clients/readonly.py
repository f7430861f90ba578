"""The read-only facade: for every environment, and every test, that may not write.

Neither a parser nor a setting is trusted with this. A setting (``default_transaction_read_only``) is switched off by a
statement, and so is a ``READ ONLY`` transaction until its first query. Here each call is a transaction of its own:
``BEGIN READ ONLY``, a first query, after which the server refuses to switch, then the statement of the check, by a
protocol that carries one statement only, then ``ROLLBACK``. There is no call that carries more, and no attribute that
leads to the connection.

It is a seat belt. The guard is a role without write grants: see :mod:`pytest_gaia.clients.grants`.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, Literal, NoReturn

from pytest_gaia.clients.connection import (
    READ_ONLY_REFUSALS,
    SERVER_ERROR,
    SYNTAX_ERROR,
    carries_several,
    settings,
)
from pytest_gaia.clients.guard import reads_only

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence

    import asyncpg

    from pytest_gaia.clients.connection import Connection
    from pytest_gaia.clients.guard import WriteGuard
    from pytest_gaia.config.environment import Timeouts

Call = Literal["fetch", "fetchrow", "fetchval"]

BEGIN = "BEGIN READ ONLY; SELECT 1"
"""From the first query on the server refuses to switch the transaction to writing."""

# Session locks outlive the transaction in which they were taken; left behind, one could hold up a deployment.
_END = "ROLLBACK; SELECT pg_advisory_unlock_all()"


class ReadOnlySession:
    """``fetch``, ``fetchrow`` and ``fetchval``; whatever writes raises ``WriteRefused``."""

    __slots__ = ("_ask", "_refuse")

    def __init__(self, connection: Connection, guard: WriteGuard, timeouts: Timeouts) -> None:
        self._ask = _reader(connection, guard, timeouts)
        self._refuse = guard.refuse_sql

    async def fetch(self, statement: str, *values: Any) -> list[asyncpg.Record]:
        """Return all rows."""
        rows: list[asyncpg.Record] = await self._run("fetch", statement, values)
        return rows

    async def fetchrow(self, statement: str, *values: Any) -> asyncpg.Record | None:
        """Return the first row, or None."""
        row: asyncpg.Record | None = await self._run("fetchrow", statement, values)
        return row

    async def fetchval(self, statement: str, *values: Any) -> Any:
        """Return the first column of the first row, or None."""
        return await self._run("fetchval", statement, values)

    async def execute(self, statement: str, *values: Any) -> NoReturn:
        """Raise ``WriteRefused``: this call could carry several statements, so it is not sent at all."""
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
            # What the server says is for the check; the way it took through asyncpg tells nobody anything.
            raise error.with_traceback(None) from None

    def transaction(self) -> contextlib.AbstractAsyncContextManager[None]:
        """Give a context that does nothing: each call is undone by itself already."""
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
        """Send it in a read-only transaction of its own; say of the server's refusals what they mean to a check."""
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


async def _end(wire: asyncpg.Connection[asyncpg.Record]) -> None:
    if wire.is_closed():
        return
    try:
        await wire.execute(_END)
    except BaseException:
        # Cancelled, or lost: whoever uses the connection next must not find this transaction still open.
        wire.terminate()
        raise
