"""The read-only session on a real server, with a role that can write anything: no known bypass works."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import asyncpg
import pytest
import pytest_asyncio

from pytest_gaia.clients.database.sessions import BEGIN, ReadOnlySession
from pytest_gaia.errors import WriteRefused
from tests.clients.test_database import opened

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.clients.conftest import OwnDatabase

SETUP = """
CREATE SEQUENCE counter;
CREATE TABLE target (a int);
INSERT INTO target VALUES (0);
CREATE FUNCTION writes() RETURNS int LANGUAGE sql AS $$ INSERT INTO target VALUES (1) RETURNING a $$;
CREATE FUNCTION switches() RETURNS int LANGUAGE plpgsql AS
    $$ BEGIN SET LOCAL transaction_read_only = off; INSERT INTO target VALUES (2); RETURN 2; END $$;
CREATE FUNCTION hides() RETURNS int LANGUAGE plpgsql SECURITY DEFINER AS
    $$ BEGIN EXECUTE 'INSERT INTO target VALUES (3)'; RETURN 3; END $$;
CREATE PROCEDURE commits() LANGUAGE plpgsql AS $$ BEGIN COMMIT; INSERT INTO target VALUES (4); COMMIT; END $$;
CREATE VIEW looks_harmless AS SELECT writes() AS a;
"""

# The state of the server, compared before and after a statement.
STATE = """
SELECT (SELECT count(*) FROM target), (SELECT is_called FROM counter), (SELECT count(*) FROM pg_class),
       (SELECT count(*) FROM pg_largeobject_metadata), (SELECT count(*) FROM pg_roles),
       (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid <> pg_backend_pid())
"""


@pytest_asyncio.fixture(loop_scope="session")
async def admin(database: OwnDatabase) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    """Open another connection for comparison."""
    connection = await asyncpg.connect(database.superuser)
    await connection.execute(SETUP)
    yield connection
    await connection.close()


@pytest_asyncio.fixture(loop_scope="session")
async def session(database: OwnDatabase, admin: object) -> AsyncIterator[ReadOnlySession]:
    """Open a read-only session as a superuser, so that the role does not restrict it."""
    async with opened(database.superuser, name="dev", sandbox=False) as client, client.test_transaction() as given:
        assert isinstance(given, ReadOnlySession)
        yield given


async def test_the_server_lets_a_transaction_be_switched_until_its_first_query(database: OwnDatabase) -> None:
    """The need for it: neither a setting nor BEGIN READ ONLY alone prevents writes."""
    plain = await asyncpg.connect(database.owner, ssl=False, server_settings={"default_transaction_read_only": "on"})
    await plain.execute("BEGIN READ ONLY; SET transaction_read_only = off; CREATE TABLE made (a int); ROLLBACK")
    await plain.execute("SET default_transaction_read_only = off")
    await plain.execute("CREATE TABLE made (a int)")
    await plain.execute(BEGIN)
    with pytest.raises(asyncpg.ActiveSQLTransactionError):
        await plain.execute("SET transaction_read_only = off")
    await plain.close()


async def test_it_reads(session: ReadOnlySession) -> None:
    assert [row["a"] for row in await session.fetch("SELECT a FROM target WHERE a = $1", 0)] == [0]
    row = await session.fetchrow("WITH x AS (SELECT 1 AS b) SELECT * FROM x")
    assert row is not None
    assert dict(row) == {"b": 1}
    assert await session.fetchval("VALUES (7)") == 7
    assert "Seq Scan" in await session.fetchval("EXPLAIN ANALYZE SELECT * FROM target")


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO target VALUES (9)",
        "UPDATE target SET a = 9",
        "DELETE FROM target",
        "TRUNCATE target",
        "DROP TABLE target",
        "CREATE TABLE made (a int)",
        "COPY target FROM PROGRAM 'echo 9'",
        "COPY (SELECT 1) TO '/tmp/made-by-copy'",
        "SET transaction_read_only = off",
        "SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE",
        "SET ROLE postgres",
        "RESET ALL",
        "BEGIN READ WRITE",
        "COMMIT",
        "END",
        "COMMIT AND CHAIN",
        "CALL commits()",
        "DO $$ BEGIN INSERT INTO target VALUES (9); END $$",
        "NOTIFY channel",
        "PREPARE p AS INSERT INTO target VALUES (9)",
        "DISCARD ALL",
        "-- SELECT\nINSERT INTO target VALUES (9)",
        "/* /* */ SELECT */ INSERT INTO target VALUES (9)",
    ],
)
async def test_what_does_not_read_is_refused_before_it_is_sent(
    session: ReadOnlySession, admin: asyncpg.Connection[asyncpg.Record], statement: str
) -> None:
    before = await admin.fetchrow(STATE)
    for call in (session.fetch, session.fetchrow, session.fetchval, session.execute):
        with pytest.raises(WriteRefused, match=r"write (blocked, nothing was sent|refused by the database)"):
            await call(statement)
    assert await admin.fetchrow(STATE) == before


@pytest.mark.parametrize(
    "statement",
    [
        "WITH x AS (INSERT INTO target VALUES (9) RETURNING a) SELECT * FROM x",
        "WITH x AS (DELETE FROM target RETURNING a) SELECT * FROM x",
        "WITH x AS (SELECT 1) INSERT INTO target SELECT * FROM x",
        "SELECT * INTO made FROM target",
        "SELECT * FROM target FOR UPDATE",
        "SELECT writes()",
        "SELECT switches()",
        "SELECT hides()",
        "SELECT * FROM looks_harmless",
        "SELECT nextval('counter')",
        "SELECT setval('counter', 9)",
        "SELECT lo_create(0)",
        "SELECT set_config('transaction_read_only', 'off', true)",
        "SELECT set_config('transaction_read_only', 'off', false)",
        "EXPLAIN ANALYZE INSERT INTO target VALUES (9)",
        "EXPLAIN (ANALYZE) WITH x AS (INSERT INTO target VALUES (9) RETURNING a) SELECT * FROM x",
    ],
)
async def test_what_hides_a_write_is_refused_by_the_server(
    session: ReadOnlySession, admin: asyncpg.Connection[asyncpg.Record], statement: str
) -> None:
    before = await admin.fetchrow(STATE)
    with pytest.raises(WriteRefused, match=r"refused by the database \([\s\S]*@pytest\.mark\.gaia\(writes=True\)"):
        await session.fetch(statement)
    assert await admin.fetchrow(STATE) == before


@pytest.mark.parametrize(
    "statements",
    [
        "SELECT 1; INSERT INTO target VALUES (9)",
        "SELECT 1; COMMIT; INSERT INTO target VALUES (9)",
        "SELECT 1; COMMIT; CREATE TABLE made (a int)",
        "SELECT 1; SET transaction_read_only = off",
    ],
)
async def test_a_call_carries_one_statement(
    session: ReadOnlySession, admin: asyncpg.Connection[asyncpg.Record], statements: str
) -> None:
    before = await admin.fetchrow(STATE)
    with pytest.raises(WriteRefused, match="one statement at a time"):
        await session.fetch(statements)
    assert await admin.fetchrow(STATE) == before


@pytest.mark.parametrize(
    "statement",
    [
        # PostgreSQL permits these in a read-only transaction; the rollback undoes them.
        "EXPLAIN ANALYZE CREATE TABLE made AS SELECT 1",
        "SELECT set_config('default_transaction_read_only', 'off', false)",
        "SELECT pg_advisory_lock(7)",
        "SELECT pg_notify('channel', 'something')",
    ],
)
async def test_what_the_server_lets_through_is_taken_back(
    session: ReadOnlySession, admin: asyncpg.Connection[asyncpg.Record], statement: str
) -> None:
    heard: list[object] = []
    await admin.add_listener("somebody", lambda *values: heard.append(values))
    before = await admin.fetchrow(STATE)
    setting = await session.fetchval("SHOW default_transaction_read_only")
    await session.fetch(statement)
    assert await admin.fetchrow(STATE) == before
    assert await session.fetchval("SHOW default_transaction_read_only") == setting
    assert heard == []


async def test_a_setting_does_not_outlive_its_call(session: ReadOnlySession) -> None:
    await session.fetchval("SELECT set_config('search_path', 'nowhere', false)")
    assert await session.fetchval("SELECT count(*) FROM target") == 1


async def test_a_usage_error_in_a_statement_is_shown_like_the_server(session: ReadOnlySession) -> None:
    with pytest.raises(asyncpg.UndefinedTableError, match="nowhere"):
        await session.fetch("SELECT * FROM nowhere")
    with pytest.raises(asyncpg.PostgresSyntaxError, match='at or near "selct"'):
        await session.fetch("WITH x AS (selct 1) SELECT 1")
    assert await session.fetchval("SELECT 1") == 1


async def test_no_attribute_leads_to_the_connection(session: ReadOnlySession) -> None:
    seen: set[int] = set()
    found: list[str] = []

    def walk(thing: object, path: str, depth: int) -> None:
        if id(thing) in seen or depth == 0:
            return
        seen.add(id(thing))
        if type(thing).__module__.startswith(("asyncpg", "pytest_gaia.clients.database._connection")):
            found.append(path)
        for name in dir(thing):
            if not (name.startswith("__") and name not in ("__self__", "__dict__", "__wrapped__")):
                walk(getattr(thing, name, None), f"{path}.{name}", depth - 1)

    walk(session, "session", 4)
    assert found == []
    assert not hasattr(session, "__dict__")


async def test_opening_the_guard_does_not_open_the_facade(
    database: OwnDatabase, admin: asyncpg.Connection[asyncpg.Record]
) -> None:
    async with opened(database.superuser, name="dev", sandbox=False) as client, client.test_transaction() as session:
        client._guard._is_marked = lambda: True
        for statement in ("INSERT INTO target VALUES (9)", "COMMIT", "SELECT writes()"):
            with pytest.raises(WriteRefused):
                await session.fetch(statement)
        with pytest.raises(WriteRefused):
            await session.execute("INSERT INTO target VALUES (9)")
        with pytest.raises(WriteRefused):
            await session.executemany("INSERT INTO target VALUES ($1)", [(9,)])
    assert await admin.fetchval("SELECT count(*) FROM target") == 1


async def test_a_call_that_is_cancelled_leaves_the_facade_closed(
    session: ReadOnlySession, admin: asyncpg.Connection[asyncpg.Record]
) -> None:
    for after in (0.001, 0.005, 0.02, 0.05):
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(session.fetch("SELECT pg_sleep(5)"), after)
        with pytest.raises(WriteRefused):
            await session.fetch("SELECT writes()")
    assert await admin.fetchval("SELECT count(*) FROM target") == 1


async def test_calls_at_a_time_take_turns(session: ReadOnlySession) -> None:
    numbers = await asyncio.gather(*(session.fetchval("SELECT $1::int", number) for number in range(5)))
    assert numbers == [0, 1, 2, 3, 4]


async def test_a_part_of_its_own_is_allowed_and_means_nothing(session: ReadOnlySession) -> None:
    async with session.transaction():
        assert await session.fetchval("SELECT 1") == 1
