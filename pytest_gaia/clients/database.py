"""The database client: a transaction for each test on a held connection, read-only wherever writing is not permitted."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from pytest_gaia.clients.connection import Connection
from pytest_gaia.clients.grants import require_read_only_role
from pytest_gaia.clients.readonly import ReadOnlySession
from pytest_gaia.clients.redaction import Redactor
from pytest_gaia.clients.sessions import WritingSession, rolled_back
from pytest_gaia.clients.statements import StatementLog, unrecorded
from pytest_gaia.clients.tracebacks import hide
from pytest_gaia.config.variables import variable_name
from pytest_gaia.errors import NotApplicable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from pytest_gaia.clients.exchanges import Statement
    from pytest_gaia.clients.guard import WriteGuard
    from pytest_gaia.clients.sessions import Session
    from pytest_gaia.config.environment import Environment

__tracebackhide__ = hide


class Database:
    """The PostgreSQL of an environment. Nothing connects before the first statement."""

    def __init__(
        self, environment: Environment, guard: WriteGuard, recorder: Callable[[Statement], None] = unrecorded
    ) -> None:
        if environment.database is None:
            raise NotApplicable(
                f"{environment.label} has no database to look into: set "
                f"{variable_name(environment.name, 'DATABASE_URL')} (or GAIA_DATABASE_URL) "
                f"to the DSN of a role that only reads"
            )
        self._environment = environment
        self._guard = guard
        self._log = StatementLog(recorder, Redactor.of(environment))
        source = environment.sources.get("secrets.database", "the configuration")
        self._connection = Connection(
            environment.database.reveal(),
            environment.timeouts,
            source=source,
            log=self._log,
            prepares=environment.sandbox and environment.writes,
        )
        self._trusted = False

    @contextlib.asynccontextmanager
    async def test_transaction(self) -> AsyncIterator[Session]:
        """Give the session of one test.

        Where writing is permitted it reads and writes in one transaction, which is rolled back at the end. In the
        sandbox that is so for every test: nobody else sees the transaction, and nothing of it stays. Elsewhere it
        takes the marker and an environment that allows writing; all other tests get a session that only reads.

        Raises ``Unreachable``; ``WriteRefused`` where the environment forbids writing but the role could.
        """
        if not self._may_write():
            yield await self._reading()
            return
        async with rolled_back(self._connection, self._environment.timeouts) as session:
            yield session

    @contextlib.asynccontextmanager
    async def fresh(self, dsn: str) -> AsyncIterator[Session]:
        """Give a session on a database of the test's own, in which each statement commits by itself."""
        connection = Connection(dsn, self._environment.timeouts, source="the sandbox", log=self._log)
        session = WritingSession(connection, depth=0)
        try:
            async with connection.exclusive(begins=True):
                pass
            yield session
        finally:
            session.end()
            await connection.aclose()

    async def aclose(self) -> None:
        """Close the connection; never takes more than a few seconds."""
        await self._connection.aclose()

    def _may_write(self) -> bool:
        return self._guard.open or (self._environment.sandbox and self._environment.writes)

    async def _reading(self) -> ReadOnlySession:
        session = ReadOnlySession(self._connection, self._guard, self._environment.timeouts)
        # The sandbox belongs to the run, and its role to the sandbox: nothing in it needs protection by grants.
        if not (self._trusted or self._environment.writes or self._environment.sandbox):
            await require_read_only_role(session, self._environment)
            self._trusted = True
        return session

    def __repr__(self) -> str:
        return f"<Database of {self._environment.name}>"
