"""The sandbox's PostgreSQL: authentication, a database for each stack, fresh databases, stop and start."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest

from pytest_gaia.errors import ConfigError, SandboxError

if TYPE_CHECKING:
    from pytest_gaia.run.sandbox import Sandbox, Stack

TABLES = {"users", "api_keys", "chat_messages", "assets", "personas", "user_persona_preferences"}
TABLE_NAMES = "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'"


async def ask(dsn: str, query: str) -> object:
    """Return the first value of a query."""
    connection = await asyncpg.connect(dsn, ssl=False)
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


async def run(dsn: str, statement: str) -> None:
    """Run statements."""
    connection = await asyncpg.connect(dsn, ssl=False)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


async def tables(dsn: str) -> set[str]:
    """Return the names of the tables of a database."""
    connection = await asyncpg.connect(dsn, ssl=False)
    try:
        return {row[0] for row in await connection.fetch(TABLE_NAMES)}
    finally:
        await connection.close()


async def gone(dsn: str) -> bool:
    """Whether a database is dropped within thirty seconds."""
    for _ in range(3000):
        try:
            await ask(dsn, "SELECT 1")
        except asyncpg.InvalidCatalogNameError:
            return True
        except (asyncpg.PostgresError, asyncpg.InternalClientError, ConnectionError):
            # The connection ends during the drop, in any state of the client.
            continue
        await asyncio.sleep(0.01)
    return False


def with_password(dsn: str, password: str) -> str:
    """Return the DSN with another password, or none."""
    parts = urlsplit(dsn)
    user = f"{parts.username}:{password}" if password else str(parts.username)
    return urlunsplit(parts._replace(netloc=f"{user}@{parts.hostname}:{parts.port}"))


async def test_a_stack_has_the_platforms_tables_and_first_rows(stack: Stack) -> None:
    assert await tables(stack.dsn) == TABLES
    assert await ask(stack.dsn, "SELECT count(*) FROM users") == 1
    assert await ask(stack.dsn, "SELECT count(*) FROM api_keys") == 1
    assert await ask(stack.dsn, "SELECT name FROM personas") == "Mu"


async def test_text_is_unicode(stack: Stack) -> None:
    assert await ask(stack.dsn, "SHOW server_encoding") == "UTF8"
    assert await ask(stack.dsn, "SELECT upper('ärger')") == "ÄRGER"


@pytest.mark.parametrize("password", ["", "wrong"])
async def test_no_access_without_the_password(stack: Stack, password: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PGPASSWORD", raising=False)
    with pytest.raises((asyncpg.InvalidPasswordError, asyncpg.InternalServerError, asyncpg.InterfaceError)):
        await ask(with_password(stack.dsn, password), "SELECT 1")


async def test_the_role_is_no_superuser_and_owns_its_tables(stack: Stack) -> None:
    assert await ask(stack.dsn, "SHOW is_superuser") == "off"
    assert await ask(stack.dsn, "SELECT tableowner = current_user FROM pg_tables WHERE tablename = 'users'") is True
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await run(stack.dsn, "CREATE DATABASE another")


async def test_it_listens_on_one_address_and_on_no_socket_file(sandbox: Sandbox, stack: Stack) -> None:
    with pytest.raises(ConnectionRefusedError):
        await ask(stack.dsn.replace("@127.0.0.1:", "@127.0.0.2:"), "SELECT 1")
    assert not [path for path in sandbox.directory.rglob("*") if path.is_socket()]


async def test_cells_do_not_see_each_others_rows(sandbox: Sandbox, stack: Stack) -> None:
    other = sandbox.stack("rows")
    await run(other.dsn, "INSERT INTO users (email) VALUES ('other@example.com')")

    assert await ask(stack.dsn, "SELECT count(*) FROM users WHERE email = 'other@example.com'") == 0
    assert await ask(other.dsn, "SELECT count(*) FROM users WHERE email = 'other@example.com'") == 1


async def test_fresh_databases_are_complete_and_apart(sandbox: Sandbox) -> None:
    made = [sandbox.fresh_database("main") for _ in range(4)]
    await run(made[0], "DELETE FROM personas")

    assert len(set(made)) == 4
    assert [await ask(dsn, "SELECT count(*) FROM personas") for dsn in made] == [0, 1, 1, 1]


async def test_a_fresh_database_is_dropped_with_its_connections(sandbox: Sandbox) -> None:
    dsn = sandbox.fresh_database("main")
    connection = await asyncpg.connect(dsn, ssl=False)

    sandbox.drop_database("main", dsn)

    assert await gone(dsn)
    with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, OSError)):
        await connection.fetchval("SELECT 1")
    connection.terminate()


async def test_many_databases_that_are_given_back_are_all_dropped(sandbox: Sandbox, stack: Stack) -> None:
    taken = [sandbox.fresh_database("main") for _ in range(40)]
    assert len(set(taken)) == 40

    for dsn in taken:
        sandbox.drop_database("main", dsn)

    for dsn in taken:
        assert await gone(dsn)


def test_only_fresh_databases_can_be_dropped(sandbox: Sandbox, stack: Stack) -> None:
    with pytest.raises(ConfigError, match="gaia_main"):
        sandbox.drop_database("main", stack.dsn)


async def test_nothing_can_connect_to_the_template(stack: Stack) -> None:
    with pytest.raises(asyncpg.ObjectNotInPrerequisiteStateError, match="not currently accepting connections"):
        await ask(stack.dsn.replace("gaia_main", "platform"), "SELECT 1")


async def test_stopped_and_started_the_server_has_the_same_address_and_rows(own: Sandbox) -> None:
    dsn = own.stack("main").dsn
    await run(dsn, "INSERT INTO users (email) VALUES ('kept@example.com')")

    own.stop_service("postgres")
    with pytest.raises(ConnectionRefusedError):
        await ask(dsn, "SELECT 1")
    own.start_service("postgres")

    assert await ask(dsn, "SELECT count(*) FROM users WHERE email = 'kept@example.com'") == 1


async def test_a_stack_made_while_the_server_is_stopped_has_its_database_later(own: Sandbox) -> None:
    own.stop_service("postgres")
    later = own.stack("later")
    own.start_service("postgres")

    assert await tables(later.dsn) == TABLES


def test_a_fresh_database_cannot_be_had_while_the_server_is_stopped(own: Sandbox) -> None:
    own.stop_service("postgres")
    try:
        with pytest.raises(SandboxError, match="PostgreSQL is stopped"):
            own.fresh_database("main")
    finally:
        own.start_service("postgres")


@pytest.mark.slow("sandbox")
def test_stopping_what_is_stopped_and_starting_what_runs_is_no_error(own: Sandbox) -> None:
    for service in ("postgres", "nats"):
        own.start_service(service)
        own.stop_service(service)
        own.stop_service(service)
        own.start_service(service)
