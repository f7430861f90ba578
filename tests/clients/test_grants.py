"""Roles on a real server: which can write, and the messages about them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import asyncpg
import pytest

from pytest_gaia.clients.database.client import recipe
from pytest_gaia.errors import WriteRefused
from tests.clients.test_database import MU, opened

if TYPE_CHECKING:
    from tests.clients.conftest import OwnDatabase

PASSWORD = "throw-away"


async def administer(database: OwnDatabase, *statements: str) -> None:
    connection = await asyncpg.connect(database.superuser)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


async def role_with(database: OwnDatabase, *grants: str) -> str:
    """Create a role with the recipe of the message and the given grants, and return its DSN."""
    name = database.owner.rpartition("/")[2]
    role = f"reader_{name}"
    made = recipe(name, role).replace("…", PASSWORD)
    await administer(database, made, *(grant.format(role=role) for grant in grants))
    return database.of(role, PASSWORD)


async def test_a_role_made_by_the_recipe_is_taken(database: OwnDatabase) -> None:
    dsn = await role_with(database)
    async with (
        opened(dsn, name="production", sandbox=False, writes=False) as client,
        client.test_transaction() as session,
    ):
        assert await session.fetchval(MU) == 1


@pytest.mark.parametrize(
    ("grant", "named"),
    [
        ("GRANT INSERT ON personas TO {role}", "INSERT on public.personas"),
        ("GRANT UPDATE (name) ON personas TO {role}", "UPDATE on public.personas"),
        ("GRANT DELETE, TRUNCATE ON assets TO {role}", "DELETE, TRUNCATE on public.assets"),
        ("CREATE SEQUENCE s; GRANT USAGE ON SEQUENCE s TO {role}", "UPDATE on sequence public.s"),
        ("GRANT CREATE ON SCHEMA public TO {role}", "CREATE in schema public"),
        ("ALTER ROLE {role} CREATEROLE", "is CREATEROLE"),
        ("ALTER ROLE {role} SUPERUSER", "is SUPERUSER"),
        ("GRANT pg_write_all_data TO {role}", "member of pg_write_all_data"),
        ("GRANT pg_signal_backend TO {role}", "member of pg_signal_backend"),
        # Not inherited, but available with SET ROLE.
        (
            "CREATE ROLE {role}_w; GRANT UPDATE ON users TO {role}_w; GRANT {role}_w TO {role} WITH INHERIT FALSE",
            "UPDATE on public.users",
        ),
        ("GRANT INSERT ON chat_messages TO PUBLIC", "INSERT on public.chat_messages"),
        ("ALTER TABLE assets OWNER TO {role}; REVOKE ALL ON assets FROM {role}", "OWNERSHIP on public.assets"),
    ],
)
async def test_a_role_that_may_write_is_refused_where_writing_is_forbidden(
    database: OwnDatabase, grant: str, named: str
) -> None:
    dsn = await role_with(database, grant)
    sources = {"urls.postgres": "GAIA_PRODUCTION_DATABASE_URL"}
    async with opened(dsn, name="production", sandbox=False, writes=False, sources=sources) as client:
        with pytest.raises(WriteRefused) as caught:
            async with client.test_transaction():
                pytest.fail("the role was taken")
    message = str(caught.value)
    assert named in message
    assert "refused to use postgres of production: the role reader_" in message
    assert "GAIA_PRODUCTION_DATABASE_URL" in message
    assert "GRANT SELECT ON ALL TABLES IN SCHEMA public TO gaia_readonly;" in message
    assert PASSWORD not in message


async def test_the_owner_of_the_tables_is_refused_with_a_list_that_ends(database: OwnDatabase) -> None:
    async with opened(database.superuser, name="production", sandbox=False, writes=False) as client:
        with pytest.raises(WriteRefused, match=r"… and \d+ more"):
            async with client.test_transaction():
                pytest.fail("the role was taken")


async def test_the_grants_are_asked_for_once(database: OwnDatabase) -> None:
    dsn = await role_with(database)
    async with opened(dsn, name="production", sandbox=False, writes=False) as client:
        async with client.test_transaction() as session:
            assert await session.fetchval(MU) == 1
        await administer(database, f"GRANT INSERT ON personas TO reader_{dsn.rpartition('/')[2]}")
        async with client.test_transaction() as session:
            with pytest.raises(WriteRefused, match="write blocked, nothing was sent"):
                await session.execute("INSERT INTO personas DEFAULT VALUES")


async def test_where_writing_is_allowed_the_role_may_be_able_to(database: OwnDatabase) -> None:
    async with opened(database.owner, name="dev", sandbox=False) as client, client.test_transaction() as session:
        assert await session.fetchval(MU) == 1
