"""The wire below the database client.

Faults of asyncpg and of what stands between it and the server, that end here:

* Closing waits for ever on a connection that is in use. It is bounded; then the connection is terminated.
* Transaction poolers know neither prepared statements nor startup parameters. None are used.
* A prepared statement whose table was altered meanwhile breaks the transaction. Only the sandbox has any, because they
  take a third off the cost of a test, and :class:`~pytest_gaia.clients.database.sessions.WritingSession` looks after them.
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
"""Like :func:`pytest_gaia.clients.reasons.hide`, and for what the server says of a statement, too."""

__tracebackhide__ = hide_sql

_CLOSING = 2.0

# By so much longer than the server's own limit does the client wait, for the server to say so.
_MARGIN = 1.0

READ_ONLY_REFUSALS = (driver.ReadOnlySQLTransactionError, driver.ActiveSQLTransactionError)
"""How the server refuses a write, or a switch to writing, in a transaction that only reads."""

SERVER_ERROR = driver.PostgresError
"""What the server says of a statement."""

SYNTAX_ERROR = driver.PostgresSyntaxError

STALE_STATEMENT = driver.InvalidCachedStatementError
"""A prepared statement's table was altered; asyncpg has then forgotten all of them."""

_LOST = (
    driver.PostgresConnectionError,
    driver.AdminShutdownError,
    driver.CrashShutdownError,
    driver.CannotConnectNowError,
    OSError,
)


class Connection:
    """One connection, made when it is first used and again after it was lost; used by one statement at a time."""

    def __init__(self, dsn: str, timeouts: Timeouts, *, source: str, log: StatementLog, prepares: bool = False) -> None:
        self._dsn = for_client(dsn)
        self._timeouts = timeouts
        self._source = source
        self._prepares = prepares
        self._home = HomeLoop("Postgres")
        self._log = log
        self._connection: Wire | None = None
        self._lock = asyncio.Lock()

    def sending(self, statement: str) -> contextlib.AbstractContextManager[None]:
        """Wrap and record a statement of a check; what this package itself sends to keep checks apart is not recorded.

        Raises ``GaiaError`` in another event loop than the connection's.
        """
        self._home.enter()
        return self._log.sending(statement)

    @contextlib.asynccontextmanager
    async def exclusive(self, *, begins: bool = False) -> AsyncIterator[Wire]:
        """Give the connection to one user at a time; raises ``Unreachable`` or ``DeadlineExceeded`` for its faults.

        Only what ``begins`` something connects, and connects again. What was begun on a connection that was lost is
        gone; the rest of it must not run on another, where it would be no part of anything.
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
        """Close; terminates the connection where that takes more than two seconds."""
        connection, self._connection = self._connection, None
        if connection is None:
            return
        try:
            await asyncio.wait_for(connection.close(timeout=_CLOSING), _CLOSING)
        except (TimeoutError, OSError, driver.InterfaceError, driver.PostgresError):
            connection.terminate()

    @property
    def lost(self) -> bool:
        """Whether there is no connection (any more)."""
        return self._connection is None or self._connection.is_closed()

    def _still_open(self) -> Wire:
        if self._connection is None or self._connection.is_closed():
            raise self._unreachable("the connection broke before; the server has rolled back what was done on it")
        return self._connection

    async def _open(self) -> Wire:
        if self._connection is None or self._connection.is_closed():
            self._connection = await self._connect()
        return self._connection

    async def _connect(self) -> Wire:
        seconds = self._timeouts.connect
        try:
            async with asyncio.timeout(seconds):
                return await driver.connect(self._dsn, timeout=seconds, **self._options())
        except TimeoutError:
            raise self._unreachable(f"no response within {seconds:g} s") from None
        except (driver.PostgresError, driver.InterfaceError, *_LOST) as error:
            raise self._unreachable(reason_of(error)) from None

    def _options(self) -> dict[str, Any]:
        options: dict[str, Any] = {} if self._prepares else {"statement_cache_size": 0}
        url = urlsplit(self._dsn)
        if is_loopback(url.hostname) and "sslmode" not in parse_qs(url.query):
            # Asking a server on this machine for TLS costs a round trip and gains nothing.
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
            raise DeadlineExceeded(f"postgres gave up a statement: {error} ({limits})") from error
        except _LOST as error:
            raise self._unreachable(f"the connection broke: {reason_of(error)}") from error
        except driver.InterfaceError as error:
            # Most of these are mistakes in a call, and are raised as they are.
            if not wire.is_closed():
                raise
            raise self._unreachable(f"the connection broke: {reason_of(error)}") from error
        except driver.InternalClientError as error:
            # What asyncpg says of a connection that the server ends while it sends.
            wire.terminate()
            raise self._unreachable("the connection broke") from error

    def _silent(self) -> str:
        seconds = self._timeouts.response + _MARGIN
        return f"postgres at {mask_url(self._dsn)} did not answer a statement within {seconds:g} s, nor stop it itself"

    def _unreachable(self, reason: str) -> Unreachable:
        return Unreachable(
            f"postgres cannot be used at {mask_url(self._dsn)}: {reason}.\n"
            f"The DSN comes from {self._source}. Start the server, or correct the DSN."
        )


async def roll_back(wire: Wire, mark: str) -> bool:
    """Roll the transaction back; return whether the savepoint ``mark`` still stood, so that it was the same one."""
    try:
        await wire.execute(f"ROLLBACK TO SAVEPOINT {mark}; ROLLBACK")
    except (driver.InvalidSavepointSpecificationError, driver.NoActiveSQLTransactionError):
        if wire.is_in_transaction():
            await wire.execute("ROLLBACK")
        return False
    except asyncio.CancelledError:
        # Whoever uses the connection next must not find this transaction still open.
        wire.terminate()
        raise
    return True


def settings(timeouts: Timeouts) -> str:
    """Return the statements that bound what follows in the transaction. Startup parameters would not pass a pooler."""
    response, lock = int(timeouts.response * 1000), int(timeouts.connect * 1000)
    return f"SET LOCAL statement_timeout = {response}; SET LOCAL lock_timeout = {lock}"


def carries_several(error: driver.PostgresSyntaxError) -> bool:
    """Return whether the server refused a call because it carries more than one statement.

    It is a syntax error like others, in the server's language, and the only one that has no position in the text.
    """
    return not error.position


class StatementLog:
    """Tells ``keep`` of each statement once it is done."""

    def __init__(self, keep: Callable[[Statement], None], redactor: Redactor) -> None:
        self._keep = keep
        self._redactor = redactor

    @contextlib.contextmanager
    def sending(self, statement: str) -> Iterator[None]:
        """Wrap the sending of one statement and the wait for its answer."""
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
    """Return class and SQLSTATE. What the server says beside them can hold the values."""
    state = getattr(failure, "sqlstate", None)
    return f"{type(failure).__name__} ({state})" if state else type(failure).__name__
