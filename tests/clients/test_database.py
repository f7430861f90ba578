"""The database client on a real server: writes of a test are isolated and undone."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest

from pytest_gaia.clients.database.client import Database
from pytest_gaia.clients.database.sessions import ReadOnlySession
from pytest_gaia.clients.guard import WriteGuard
from pytest_gaia.config.environment import Timeouts
from pytest_gaia.errors import DeadlineExceeded, GaiaError, NotApplicable, WriteRefused
from pytest_gaia.secrets.masks import Secret
from tests.clients.conftest import environment

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from pytest_gaia.clients.database.sessions import Session
    from tests.clients.conftest import OwnDatabase

MU = "SELECT count(*) FROM personas WHERE name = 'Mu'"
ADD = "INSERT INTO personas (id, name, description, system_prompt) VALUES (gen_random_uuid(), $1, '', '')"


@contextlib.asynccontextmanager
async def opened(dsn: str, *, permitted: bool = False, **values: Any) -> AsyncIterator[Database]:
    where = environment(**{"name": "sandbox", "database": Secret(dsn), "sandbox": True, **values})
    guard = WriteGuard(where, lambda: permitted)
    client = Database(where, "postgres", guard)
    try:
        yield client
    finally:
        await client.aclose()


async def add(session: Session, *names: str) -> None:
    for name in names:
        await session.execute(ADD, name)


async def test_what_a_test_writes_is_rolled_back(database: OwnDatabase) -> None:
    async with opened(database.owner) as client:
        async with client.test_transaction() as session:
            assert await session.execute(ADD, "Nu") == "INSERT 0 1"
            await session.execute("CREATE TABLE made (a int); INSERT INTO made VALUES (1)")
            assert await session.fetchval("SELECT count(*) FROM personas") == 2
        async with client.test_transaction() as session:
            assert await session.fetchval("SELECT count(*) FROM personas") == 1
            assert await session.fetchval("SELECT to_regclass('made')") is None


async def test_what_a_failed_test_wrote_is_rolled_back(database: OwnDatabase) -> None:
    async with opened(database.owner) as client:
        with pytest.raises(asyncpg.UniqueViolationError):
            async with client.test_transaction() as session:
                await add(session, "Nu", "Mu")
        async with client.test_transaction() as session:
            assert await session.fetchval("SELECT array_agg(name) FROM personas") == ["Mu"]


async def test_all_tests_share_one_connection(database: OwnDatabase) -> None:
    async with opened(database.owner) as client:
        numbers = set()
        for _ in range(3):
            async with client.test_transaction() as session:
                numbers.add(await session.fetchval("SELECT pg_backend_pid()"))
    assert len(numbers) == 1


async def test_a_usage_error_in_a_call_is_shown_like_asyncpg(database: OwnDatabase) -> None:
    async with opened(database.owner) as client, client.test_transaction() as session:
        with pytest.raises(asyncpg.InterfaceError, match="the server expects 1 argument"):
            await session.fetchval("SELECT $1::int")
        with pytest.raises(asyncpg.DataError, match="invalid input"):
            await session.fetchval("SELECT $1::int", "one")
        assert await session.fetchval("SELECT $1::int", 1) == 1


async def test_rows_are_fetched_in_each_form(database: OwnDatabase) -> None:
    async with opened(database.owner) as client, client.test_transaction() as session:
        await session.executemany(ADD, [("a",), ("b",)])
        rows = await session.fetch("SELECT name FROM personas WHERE name <> $1 ORDER BY name", "Mu")
        assert [row["name"] for row in rows] == ["a", "b"]
        row = await session.fetchrow("SELECT name, is_active FROM personas WHERE name = $1", "a")
        assert row is not None
        assert tuple(row) == ("a", True)
        assert await session.fetchrow("SELECT 1 WHERE false") is None


async def test_statements_of_one_session_take_turns(database: OwnDatabase) -> None:
    async with opened(database.owner) as client, client.test_transaction() as session:
        numbers = await asyncio.gather(*(session.fetchval("SELECT $1::int", number) for number in range(10)))
    assert numbers == list(range(10))


async def test_a_part_that_fails_is_undone_and_the_test_goes_on(database: OwnDatabase) -> None:
    async with opened(database.owner) as client, client.test_transaction() as session:
        await session.execute(ADD, "kept")
        with pytest.raises(asyncpg.UniqueViolationError):
            async with session.transaction(), session.transaction():
                await add(session, "undone", "Mu")
        names = await session.fetchval("SELECT array_agg(name ORDER BY name) FROM personas")
    assert names == ["Mu", "kept"]


@pytest.mark.parametrize("statements", ["COMMIT", "ROLLBACK", "COMMIT; BEGIN", "ABORT"])
async def test_a_test_that_ends_its_transaction_is_reported(database: OwnDatabase, statements: str) -> None:
    async with opened(database.owner) as client:
        with pytest.raises(GaiaError, match="the test ended the transaction that isolates it"):
            async with client.test_transaction() as session:
                await session.execute(statements)
        async with client.test_transaction() as session:
            assert await session.fetchval(MU) == 1


async def test_a_statement_that_takes_too_long_is_given_up(database: OwnDatabase) -> None:
    limits = Timeouts(connect=2.0, response=0.2)
    async with opened(database.owner, timeouts=limits) as client:
        with pytest.raises(DeadlineExceeded, match=r"statement timeout.*statement_timeout is 0\.2 s"):
            async with client.test_transaction() as session:
                await session.fetch("SELECT pg_sleep(10)")
        async with client.test_transaction() as session:
            assert await session.fetchval(MU) == 1


async def test_a_lock_that_another_holds_is_given_up(database: OwnDatabase) -> None:
    limits = Timeouts(connect=0.3, response=5.0)
    async with opened(database.owner) as holder, holder.test_transaction() as holding:
        await holding.execute("LOCK TABLE personas")
        async with opened(database.owner, timeouts=limits) as client:
            with pytest.raises(DeadlineExceeded, match=r"lock timeout.*lock_timeout 0\.3 s"):
                async with client.test_transaction() as session:
                    await session.execute(ADD, "Nu")


async def test_a_fresh_database_commits(database: OwnDatabase) -> None:
    async with opened(database.owner) as client:
        async with client.fresh(database.owner) as session:
            await session.execute(ADD, "Nu")
            with pytest.raises(asyncpg.UniqueViolationError):
                async with session.transaction():
                    await add(session, "Xi", "Mu")
            async with session.transaction():
                await session.execute(ADD, "Omikron")
        async with client.test_transaction() as session:
            names = await session.fetchval("SELECT array_agg(name ORDER BY name) FROM personas")
    assert names == ["Mu", "Nu", "Omikron"]


async def test_outside_the_sandbox_a_test_without_the_marker_only_reads(database: OwnDatabase) -> None:
    async with opened(database.owner, name="dev", sandbox=False) as client, client.test_transaction() as session:
        assert isinstance(session, ReadOnlySession)
        assert await session.fetchval(MU) == 1
        with pytest.raises(WriteRefused, match=r"Mark the test with @pytest\.mark\.gaia\(writes=True\)"):
            await session.execute(ADD, "Nu")


async def test_outside_the_sandbox_a_marked_test_writes_and_is_rolled_back(database: OwnDatabase) -> None:
    async with opened(database.owner, name="dev", sandbox=False, permitted=True) as client:
        async with client.test_transaction() as session:
            await session.execute(ADD, "Nu")
        async with client.test_transaction() as session:
            assert await session.fetchval("SELECT count(*) FROM personas") == 1


async def test_a_simulation_of_an_environment_that_forbids_writing_only_reads(database: OwnDatabase) -> None:
    shape = {"name": "production", "writes": False, "simulated": True}
    async with opened(database.owner, permitted=True, **shape) as client, client.test_transaction() as session:
        assert isinstance(session, ReadOnlySession)
        with pytest.raises(WriteRefused, match=r"production \(SIMULATED"):
            await session.execute(ADD, "Nu")


async def test_an_environment_without_a_database_names_the_variable() -> None:
    where = environment("my-env", database=None)
    with pytest.raises(NotApplicable, match="set GAIA_MY_ENV_DATABASE_URL"):
        Database(where, "postgres", WriteGuard(where))


async def test_the_dsn_does_not_show(database: OwnDatabase) -> None:
    async with opened(database.owner) as client:
        assert repr(client) == "<Database postgres of sandbox>"


@pytest.mark.parametrize(
    ("query", "schemas"),
    [
        ("channel_binding=require&sslmode=prefer", '"$user", public'),
        ("pgbouncer=true&schema=public&connection_limit=1", '"$user", public'),
        ("schema=shop", "shop"),
        ("ssl=false&options=-c%20search_path%3Dthere", "there"),
    ],
)
async def test_a_dsn_as_hosts_of_postgres_give_it_connects(database: OwnDatabase, query: str, schemas: str) -> None:
    async with opened(f"{database.owner}?{query}") as client, client.test_transaction() as session:
        assert await session.fetchval("SHOW search_path") == schemas
