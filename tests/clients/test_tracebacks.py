"""What pytest shows for a failed test: the line of the request and the message, but never a secret."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

if TYPE_CHECKING:
    from tests.clients.conftest import OwnDatabase

CHECKS = """
import os

import pytest
import pytest_asyncio

from pytest_gaia.clients.database.client import Database
from pytest_gaia.clients.guard import WriteGuard
from pytest_gaia.clients.broker.messaging import Messaging
from pytest_gaia.clients.services import ClientSet
from pytest_gaia.config.environment import Environment, Timeouts
from pytest_gaia.secrets.masks import Secret
from tests.projects import gaia_environment

ENVIRONMENT = gaia_environment(
    "production",
    urls={"gateway": "http://127.0.0.1:1"},
    nats="nats://gaia:hidden-nats@127.0.0.1:1",
    timeouts=Timeouts(connect=1),
    api_key=Secret("hidden-key"),
    database=Secret("postgresql://gaia:hidden-dsn@127.0.0.1:1/x"),
)
GUARD = WriteGuard(ENVIRONMENT)


@pytest_asyncio.fixture
async def reachable():
    where = gaia_environment("dev", writes=True, database=Secret(os.environ["HIDDEN_DSN"]))
    client = Database(where, "postgres", WriteGuard(where))
    yield client
    await client.aclose()


@pytest_asyncio.fixture
async def gateway():
    clients = ClientSet(ENVIRONMENT, GUARD)
    yield clients.http("gateway")
    await clients.aclose()


async def test_unreachable(gateway):
    await gateway.get("/line-of-the-check")


async def test_stream(gateway):
    async with gateway.stream("/line-of-the-check", method="GET"):
        pass


async def test_refused(gateway):
    await gateway.delete("/line-of-the-check")


async def test_user(gateway):
    await gateway.as_user("hidden-token").get("/line-of-the-check")


async def test_database():
    async with Database(ENVIRONMENT, "postgres", GUARD).test_transaction():
        pass


async def test_sql(reachable):
    async with reachable.test_transaction() as session:
        await session.fetch("SELECT * FROM line_of_the_check")


async def test_broker():
    await Messaging.of(ENVIRONMENT, "nats", GUARD).open()
"""


@pytest.fixture
def options(pytester: pytest.Pytester, database: OwnDatabase, monkeypatch: pytest.MonkeyPatch) -> tuple[str, ...]:
    """Write the tests, and return the options for a run."""
    pytester.makepyfile(CHECKS)
    monkeypatch.setenv("HIDDEN_DSN", database.owner)
    return ("-p", "no:gaia", "-p", "no:anyio", "-o", "asyncio_mode=auto")


def test_a_failing_check_shows_its_line_and_no_secret(
    pytester: pytest.Pytester, database: OwnDatabase, options: tuple[str, ...]
) -> None:
    result = pytester.runpytest_subprocess(*options, "--showlocals", "--tb=long")
    result.assert_outcomes(failed=7)
    shown = result.stdout.str()
    assert "is unreachable at http://127.0.0.1:1" in shown
    assert "postgresql://gaia:***@127.0.0.1:1/x" in shown
    assert (urlsplit(database.owner).password or "?") not in shown
    for line in shown.splitlines():
        if "hidden-" in line:
            # The source of the test is shown, with its literal values.
            assert "as_user(" in line or "Secret(" in line or "nats=" in line, line


def test_a_failing_check_is_shown_without_the_library(pytester: pytest.Pytester, options: tuple[str, ...]) -> None:
    result = pytester.runpytest_subprocess(*options)
    result.assert_outcomes(failed=7)
    shown = result.stdout.str()
    assert "httpx" not in shown
    assert "asyncpg/connection.py" not in shown
    assert "pytest_gaia/clients" not in shown
    assert shown.count(">       await gateway") >= 3
    assert '>           await session.fetch("SELECT * FROM line_of_the_check")' in shown
    assert 'UndefinedTableError: relation "line_of_the_check" does not exist' in shown
