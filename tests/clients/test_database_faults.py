"""Faults of asyncpg, a pooler and a crashing server, and how the client handles them."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest

from pytest_gaia.config.environment import Timeouts
from pytest_gaia.errors import DeadlineExceeded, GaiaError, Unreachable
from tests.clients.peers import silent, unused_port
from tests.clients.pooler import pooler
from tests.clients.test_database import ADD, MU, opened

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from pytest_gaia.clients.database.client import Database
    from pytest_gaia.clients.database.sessions import Session
    from pytest_gaia.run.sandbox import Sandbox
    from tests.clients.conftest import OwnDatabase

LIMITS = Timeouts(connect=0.5, response=5.0)


async def in_a_test(client: Database, *steps: Callable[[Session], Awaitable[object]]) -> None:
    """Run the steps as one test."""
    async with client.test_transaction() as session:
        for step in steps:
            await step(session)


async def write(session: Session) -> None:
    await session.execute(ADD, "Nu")


async def test_a_dead_port_is_reported_at_once_and_without_the_password() -> None:
    port = unused_port()
    dsn = f"postgresql://gaia:hidden-word@127.0.0.1:{port}/llm_platform"
    started = time.monotonic()
    limits = Timeouts(connect=60.0)
    async with opened(dsn, sources={"urls.postgres": ".env:3"}, timeouts=limits) as client:
        with pytest.raises(Unreachable) as caught:
            async with client.test_transaction():
                pytest.fail("nothing listens there")
    assert time.monotonic() - started < 30
    expected = f"postgres is unreachable at postgresql://gaia:***@127.0.0.1:{port}/llm_platform: connection refused."
    assert str(caught.value).startswith(expected)
    assert "The address comes from .env:3." in str(caught.value)


async def test_a_silent_port_is_reported_at_the_deadline() -> None:
    async with silent() as port, opened(f"postgresql://gaia@127.0.0.1:{port}/x", timeouts=LIMITS) as client:
        with pytest.raises(Unreachable, match=r"no response within 0\.5 s"):
            async with client.test_transaction():
                pytest.fail("nothing listens there")


@pytest.mark.parametrize(
    ("role", "reason"), [("nobody_at_all", "password authentication failed"), ("gaia", "password")]
)
async def test_a_wrong_role_or_password_is_reported(database: OwnDatabase, role: str, reason: str) -> None:
    async with opened(database.of(role, "wrong-password")) as client:
        with pytest.raises(Unreachable, match=reason) as caught:
            async with client.test_transaction():
                pytest.fail("it was let in")
    assert "wrong-password" not in str(caught.value)


async def test_the_scheme_of_sqlalchemy_is_understood(database: OwnDatabase) -> None:
    dsn = database.owner.replace("postgresql://", "postgresql+asyncpg://")
    async with opened(dsn) as client, client.test_transaction() as session:
        assert await session.fetchval(MU) == 1


async def test_plain_asyncpg_hangs_while_it_closes(database: OwnDatabase) -> None:
    """The fault itself: if this fails, a new asyncpg may have fixed it."""
    plain = await asyncpg.create_pool(database.owner, min_size=1, max_size=1, ssl=False)
    held = await plain.acquire()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(plain.close(), 0.5)
    await plain.release(held)
    plain.terminate()


async def test_closing_during_a_statement_is_bounded(database: OwnDatabase) -> None:
    running: list[asyncio.Task[object]] = []
    async with opened(database.owner) as client:

        async def close(session: Session) -> None:
            running.append(asyncio.create_task(session.fetch("SELECT pg_sleep(60)")))
            await asyncio.sleep(0.1)
            await client.aclose()

        started = time.monotonic()
        with pytest.raises(GaiaError, match="was lost during the test"):
            await in_a_test(client, close)
        assert time.monotonic() - started < 30
        with pytest.raises(Unreachable, match="the client was closed"):
            await running[0]


async def test_plain_asyncpg_trips_over_a_plan_whose_table_was_altered(database: OwnDatabase) -> None:
    """The fault itself: if this fails, a new asyncpg may have fixed it."""
    plain, other = [await asyncpg.connect(database.owner, ssl=False) for _ in range(2)]
    await plain.fetch("SELECT * FROM personas")
    await other.execute("ALTER TABLE personas ADD COLUMN mood text")
    await plain.execute("BEGIN")
    with pytest.raises(asyncpg.InvalidCachedStatementError):
        await plain.fetch("SELECT * FROM personas")
    await plain.close()
    await other.close()


EVERYTHING = "SELECT * FROM personas"


@pytest.mark.parametrize("in_sandbox", [True, False])
async def test_a_table_that_another_alters_does_not_break_a_test(database: OwnDatabase, in_sandbox: bool) -> None:
    other = await asyncpg.connect(database.owner, ssl=False)
    async with opened(database.owner, sandbox=in_sandbox, permitted=True) as client:
        for column in ("mood", "taste"):
            async with client.test_transaction() as session:
                await session.fetch(EVERYTHING)
            await other.execute(f"ALTER TABLE personas ADD COLUMN {column} text")
            async with client.test_transaction() as session:
                assert await session.fetchval("SELECT 1") == 1
                row = await session.fetchrow(EVERYTHING)
                await session.execute(ADD, "Nu")
                assert await session.fetchval("SELECT count(*) FROM personas") == 2
            assert row is not None
            assert column in row
            async with client.test_transaction() as session:
                assert await session.fetchval("SELECT count(*) FROM personas") == 1
    await other.close()


@pytest.mark.parametrize("in_sandbox", [True, False])
async def test_a_table_that_a_test_alters_breaks_neither_it_nor_the_next(
    database: OwnDatabase, in_sandbox: bool
) -> None:
    async with opened(database.owner, sandbox=in_sandbox, permitted=True) as client:
        for _ in range(2):
            async with client.test_transaction() as session:
                await write(session)
                assert "mood" not in (await session.fetchrow(EVERYTHING) or ("mood",))
                await session.execute("ALTER TABLE personas ADD COLUMN mood text")
                assert "mood" in (await session.fetchrow(EVERYTHING) or ())


async def test_in_the_sandbox_a_statement_is_prepared_once_for_all_tests(database: OwnDatabase) -> None:
    async with pooler(database.owner) as seen, opened(seen.dsn) as client:
        for _ in range(3):
            async with client.test_transaction() as session:
                await session.fetch("SELECT name FROM personas WHERE name = $1", "Mu")
    assert len(seen.statements) == 1


async def break_off(session: Session) -> None:
    with pytest.raises(Unreachable, match=r"the connection (broke|was lost)"):
        await session.fetchval("SELECT pg_terminate_backend(pg_backend_pid())")
    with pytest.raises(Unreachable, match=r"the connection (broke|was lost)"):
        await session.fetchval(MU)


async def test_a_connection_that_breaks_in_a_test_is_reported_and_the_next_test_gets_another(
    database: OwnDatabase,
) -> None:
    async with opened(database.owner) as client:
        with pytest.raises(GaiaError, match="The connection to the database was lost during the test"):
            await in_a_test(client, write, break_off)
        async with client.test_transaction() as session:
            assert await session.fetchval("SELECT count(*) FROM personas") == 1


async def test_what_follows_a_break_does_not_run_outside_of_the_transaction(database: OwnDatabase) -> None:
    async with opened(database.owner) as client:
        with pytest.raises(Unreachable, match="the server has rolled back") as caught:
            await in_a_test(client, break_off, write)
        assert caught.value.__notes__ == [
            "The connection to the database was lost during the test; the server has rolled back its transaction."
        ]
        async with client.test_transaction() as session:
            assert await session.fetchval("SELECT count(*) FROM personas") == 1


async def test_a_server_that_ends_the_connection_while_a_statement_goes_out_is_reported(database: OwnDatabase) -> None:
    """asyncpg then raises errors about its own state or about the connection."""
    admin = await asyncpg.connect(database.superuser, ssl=False)

    async def broken_from_outside(session: Session) -> None:
        await admin.execute("SELECT pg_terminate_backend($1)", await session.fetchval("SELECT pg_backend_pid()"))
        await session.fetchval(MU)

    async with opened(database.owner) as client:
        for _ in range(10):
            with pytest.raises(Unreachable, match=r"the connection (broke|was lost)"):
                await in_a_test(client, broken_from_outside)
    await admin.close()


async def test_a_session_that_outlives_a_failed_test_takes_nothing_more(database: OwnDatabase) -> None:
    kept: list[Session] = []

    async def fail(session: Session) -> None:
        kept.append(session)
        pytest.fail("mine")

    async with opened(database.owner) as client:
        with pytest.raises(pytest.fail.Exception, match="mine"):
            await in_a_test(client, fail)
        with pytest.raises(GaiaError, match="belongs to a finished test"):
            await write(kept[0])


async def test_a_session_that_outlives_its_test_takes_nothing_more(database: OwnDatabase) -> None:
    async with opened(database.owner) as client:
        async with client.test_transaction() as session:
            pass
        with pytest.raises(GaiaError, match="belongs to a finished test"):
            await session.execute(ADD, "Nu")
        async with client.fresh(database.owner) as session:
            pass
        with pytest.raises(GaiaError, match="belongs to a finished test"):
            await session.execute(ADD, "Nu")


async def test_a_restart_of_the_server_between_tests_is_not_noticed(sandbox: Sandbox, database: OwnDatabase) -> None:
    async with opened(database.owner) as client:
        async with client.test_transaction() as session:
            assert await session.fetchval(MU) == 1
        await asyncio.to_thread(sandbox.stop_service, "postgres")
        try:
            with pytest.raises(Unreachable):
                async with client.test_transaction():
                    pytest.fail("there is no server")
        finally:
            await asyncio.to_thread(sandbox.start_service, "postgres")
        async with client.test_transaction() as session:
            assert await session.fetchval(MU) == 1


async def test_a_statement_that_is_cancelled_leaves_the_transaction_in_order(database: OwnDatabase) -> None:
    async with opened(database.owner) as client:
        async with client.test_transaction() as session:
            await session.execute(ADD, "Nu")
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(session.fetch("SELECT pg_sleep(60)"), 0.1)
        async with client.test_transaction() as session:
            assert await session.fetchval("SELECT count(*) FROM personas") == 1


async def test_a_link_that_freezes_is_reported_at_the_deadline_and_closed_in_time(database: OwnDatabase) -> None:
    limits = Timeouts(connect=1.0, response=0.2)
    async with pooler(database.owner) as seen:
        async with opened(seen.dsn, timeouts=limits) as client:

            async def freeze(session: Session) -> None:
                seen.open.clear()
                await session.fetchval(MU)

            started = time.monotonic()
            with pytest.raises(DeadlineExceeded, match=r"did not finish or cancel a statement within 1\.2 s"):
                await in_a_test(client, freeze)
        assert time.monotonic() - started < 30


@pytest.mark.parametrize("permitted", [True, False])
async def test_a_transaction_pooler_gets_nothing_that_it_does_not_know(database: OwnDatabase, permitted: bool) -> None:
    where: dict[str, Any] = {"name": "dev", "sandbox": False, "permitted": permitted}
    async with pooler(database.owner) as seen, opened(seen.dsn, **where) as client:
        for _ in range(2):
            async with client.test_transaction() as session:
                assert await session.fetchval("SELECT count(*) FROM personas WHERE name = $1", "Mu") == 1
                assert await session.fetchval("SELECT name FROM personas WHERE is_active") == "Mu"
                if permitted:
                    await session.executemany(ADD, [("a",), ("b",)])
    assert set(seen.startup) <= {"user", "database", "client_encoding"}
    assert set(seen.statements) == {""}
    # Settings are made inside transactions, so that they end with them on any connection of the pooler.
    settings = [query for query in seen.queries if "SET " in query]
    assert settings
    assert all(query.startswith("BEGIN") and "SET LOCAL" in query for query in settings)


async def test_nothing_is_left_on_the_server_after_closing(database: OwnDatabase) -> None:
    count = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    admin = await asyncpg.connect(database.superuser, ssl=False)
    async with opened(database.owner) as client, client.test_transaction() as session:
        assert await session.fetchval(MU) == 1
        assert await admin.fetchval(count) == 1
    for _ in range(3000):
        if await admin.fetchval(count) == 0:
            break
        await asyncio.sleep(0.01)
    assert await admin.fetchval(count) == 0
    await admin.close()
