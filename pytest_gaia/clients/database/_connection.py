"""The connection to PostgreSQL.

It works around these faults of asyncpg and of poolers between it and the server:

* Closing a connection in use waits for ever. Here it has a time limit, then the connection is terminated.
* Transaction poolers support neither prepared statements nor startup parameters. None are used.
* A prepared statement fails after its table was altered, and breaks the transaction. Only the sandbox uses prepared
  statements, which save a third of a test's time; :class:`~pytest_gaia.clients.database.sessions.WritingSession` repairs
  them.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Iterator
from operator import methodcaller
from typing import Any, TypeAlias
from urllib.parse import parse_qs, urlsplit

from pytest_gaia.clients.database import driver
from pytest_gaia.clients.exchanges import BODY_LIMIT, Statement
from pytest_gaia.clients.network import connecting
from pytest_gaia.clients.reasons import reason_of
from pytest_gaia.clients.wire import HomeLoop
from pytest_gaia.config.addresses import is_loopback
from pytest_gaia.config.dsn import for_client
from pytest_gaia.config.environment import Timeouts
from pytest_gaia.errors import DeadlineExceeded, GaiaError, Unreachable
from pytest_gaia.secrets.masks import mask_url
from pytest_gaia.secrets.redaction import Redactor

Record: TypeAlias = driver.Record
Wire: TypeAlias = "driver.Connection[driver.Record]"

hide_sql = methodcaller("errisinstance", (GaiaError, driver.PostgresError))
"""like :func:`pytest_gaia.clients.reasons.hide`, for errors of the server too"""

__tracebackhide__ = hide_sql

_CLOSING = 2.0

# The client waits this much longer than the server's own limit, so that the server reports it.
_MARGIN = 1.0

READ_ONLY_REFUSALS = (driver.ReadOnlySQLTransactionError, driver.ActiveSQLTransactionError)
"""errors for a write, or a switch to writing, in a read-only transaction"""

SERVER_ERROR = driver.PostgresError
"""an error that the server reports for a statement"""

SYNTAX_ERROR = driver.PostgresSyntaxError

STALE_STATEMENT = driver.InvalidCachedStatementError
"""the table of a prepared statement was altered; asyncpg has dropped all prepared statements"""

_LOST = (
    driver.PostgresConnectionError,
    driver.AdminShutdownError,
    driver.CrashShutdownError,
    driver.CannotConnectNowError,
    OSError,
)


class Connection:
    """One connection, opened at its first use and again after it was lost; runs one statement at a time."""

    def __init__(
        self, dsn: str, timeouts: Timeouts, service: str, *, source: str, log: StatementLog, prepares: bool = False
    ) -> None:
        self._dsn = for_client(dsn)
        self._service = service
        self._timeouts = timeouts
        self._source = source
        self._prepares = prepares
        self._home = HomeLoop("Postgres")
        self._log = log
        self._connection: Wire | None = None
        self._lock = asyncio.Lock()

    def sending(self, statement: str) -> contextlib.AbstractContextManager[None]:
        """Record the statement of a test that runs in this context. Statements of this package are not recorded.

        Raises ``GaiaError`` in another event loop than the connection's.
        """
        self._home.enter()
        return self._log.sending(statement)

    @contextlib.asynccontextmanager
    async def exclusive(self, *, begins: bool = False) -> AsyncIterator[Wire]:
        """Yield the connection to one user at a time. Raises ``Unreachable`` or ``DeadlineExceeded``.

        Only a user that ``begins`` a transaction opens a connection. A transaction on a lost connection is gone, and its
        remaining statements must not run on another connection.
        """
        self._home.enter()
        async with self._lock:
            wire = await self._open() if begins else self._still_open()
            try:
                async with asyncio.timeout(self._timeouts.response + _MARGIN):
                    with self._translated(wire):
                        yield wire
            except TimeoutError:
                wire.terminate()
                raise DeadlineExceeded(self._silent()) from None

    async def aclose(self) -> None:
        """Close the connection, or terminate it after two seconds."""
        connection, self._connection = self._connection, None
        if connection is None:
            return
        try:
            await asyncio.wait_for(connection.close(timeout=_CLOSING), _CLOSING)
        except (TimeoutError, OSError, driver.InterfaceError, driver.PostgresError):
            connection.terminate()

    @property
    def lost(self) -> bool:
        """Whether the connection is closed or was never opened."""
        return self._connection is None or self._connection.is_closed()

    def _still_open(self) -> Wire:
        if self._connection is None or self._connection.is_closed():
            raise self._unreachable("the connection was lost; the server has rolled back its transaction")
        return self._connection

    async def _open(self) -> Wire:
        if self._connection is None or self._connection.is_closed():
            self._connection = await self._connect()
        return self._connection

    async def _connect(self) -> Wire:
        seconds = self._timeouts.connect
        try:
            async with asyncio.timeout(seconds):
                with connecting(self._service):
                    return await driver.connect(self._dsn, timeout=seconds, **self._options())
        except TimeoutError:
            raise self._unreachable(f"no response within {seconds:g} s") from None
        except (driver.PostgresError, driver.InterfaceError, *_LOST) as error:
            raise self._unreachable(reason_of(error)) from None

    def _options(self) -> dict[str, Any]:
        options: dict[str, Any] = {} if self._prepares else {"statement_cache_size": 0}
        url = urlsplit(self._dsn)
        if is_loopback(url.hostname) and "sslmode" not in parse_qs(url.query):
            # TLS on the same machine costs a round trip and gains nothing.
            options["ssl"] = False
        return options

    @contextlib.contextmanager
    def _translated(self, wire: Wire) -> Iterator[None]:
        try:
            yield
        except (driver.QueryCanceledError, driver.LockNotAvailableError) as error:
            if self._connection is None:
                raise self._unreachable("the client was closed while a statement ran") from error
            response, lock = self._timeouts.response, self._timeouts.connect
            limits = f"statement_timeout is {response:g} s, lock_timeout {lock:g} s"
            raise DeadlineExceeded(f"{self._service} canceled a statement: {error} ({limits})") from error
        except _LOST as error:
            raise self._unreachable(f"the connection broke: {reason_of(error)}") from error
        except driver.InterfaceError as error:
            # Most of these are wrong arguments, and are raised unchanged.
            if not wire.is_closed():
                raise
            raise self._unreachable(f"the connection broke: {reason_of(error)}") from error
        except driver.InternalClientError as error:
            # The error of asyncpg if the server closes the connection during a send.
            wire.terminate()
            raise self._unreachable("the connection broke") from error

    def _silent(self) -> str:
        seconds = self._timeouts.response + _MARGIN
        return f"{self._service} at {mask_url(self._dsn)} did not finish or cancel a statement within {seconds:g} s"

    def _unreachable(self, reason: str) -> Unreachable:
        return Unreachable(
            f"{self._service} is unreachable at {mask_url(self._dsn)}: {reason}.\n"
            f"The address comes from {self._source}. Start the server, or correct the address."
        )


async def roll_back(wire: Wire, mark: str) -> bool:
    """Roll the transaction back; return whether the savepoint ``mark`` still existed, so it was the same transaction."""
    try:
        await wire.execute(f"ROLLBACK TO SAVEPOINT {mark}; ROLLBACK")
    except (driver.InvalidSavepointSpecificationError, driver.NoActiveSQLTransactionError):
        if wire.is_in_transaction():
            await wire.execute("ROLLBACK")
        return False
    except asyncio.CancelledError:
        # The next user of the connection must not get this open transaction.
        wire.terminate()
        raise
    return True


def settings(timeouts: Timeouts) -> str:
    """Return the statements that set the time limits of a transaction. Poolers do not pass startup parameters on."""
    response, lock = int(timeouts.response * 1000), int(timeouts.connect * 1000)
    return f"SET LOCAL statement_timeout = {response}; SET LOCAL lock_timeout = {lock}"


def carries_several(error: driver.PostgresSyntaxError) -> bool:
    """Return whether the server rejected a call with more than one statement.

    The message is in the server's language, but no other syntax error lacks a position.
    """
    return not error.position


class StatementLog:
    """Calls ``keep`` with a record of each finished statement."""

    def __init__(self, keep: Callable[[Statement], None], redactor: Redactor) -> None:
        self._keep = keep
        self._redactor = redactor

    @contextlib.contextmanager
    def sending(self, statement: str) -> Iterator[None]:
        """Record one statement that runs in this context."""
        started, begun = time.time(), time.perf_counter()
        error: str | None = None
        try:
            yield
        except BaseException as failure:
            error = _named(failure)
            raise
        finally:
            text = self._redactor.shown(statement)[:BODY_LIMIT]
            self._keep(Statement(text, started, time.perf_counter() - begun, error))


def _named(failure: BaseException) -> str:
    """Return class and SQLSTATE; the server's message may contain values."""
    state = getattr(failure, "sqlstate", None)
    return f"{type(failure).__name__} ({state})" if state else type(failure).__name__
