"""What pytest shows of a failing check: the line that asked, the message, and no secret, whatever it is asked to show."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

CHECKS = """
import pytest
import pytest_asyncio

from pytest_gaia.clients.database import Database
from pytest_gaia.clients.guard import WriteGuard
from pytest_gaia.clients.messaging import Messaging
from pytest_gaia.clients.services import ClientSet
from pytest_gaia.config.environment import Environment, Timeouts
from pytest_gaia.config.secrets import Secret

ENVIRONMENT = Environment(
    "production",
    urls={"gateway": "http://127.0.0.1:1"},
    nats="nats://gaia:hidden-nats@127.0.0.1:1",
    timeouts=Timeouts(connect=1),
    api_key=Secret("hidden-key"),
    database=Secret("postgresql://gaia:hidden-dsn@127.0.0.1:1/x"),
)
GUARD = WriteGuard(ENVIRONMENT)


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
    async with Database(ENVIRONMENT, GUARD).test_transaction():
        pass


async def test_broker():
    await Messaging.connect(ENVIRONMENT, GUARD)
"""


def test_a_failing_check_shows_its_line_and_no_secret(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(CHECKS)
    options = ("-p", "no:gaia", "-p", "no:anyio", "--showlocals", "--tb=long", "-o", "asyncio_mode=auto")
    result = pytester.runpytest_subprocess(*options)
    result.assert_outcomes(failed=6)
    shown = result.stdout.str().replace(CHECKS, "")
    assert "cannot be reached at http://127.0.0.1:1" in shown
    assert "postgresql://gaia:***@127.0.0.1:1/x" in shown
    for line in shown.splitlines():
        if "hidden-" in line:
            # The check's own source is shown, with what it says itself.
            assert "as_user(" in line or "Secret(" in line or "nats=" in line, line


def test_a_failing_request_is_shown_without_the_library(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(CHECKS)
    options = ("-p", "no:gaia", "-p", "no:anyio", "-o", "asyncio_mode=auto", "-k", "unreachable or user or refused")
    result = pytester.runpytest_subprocess(*options)
    result.assert_outcomes(failed=3, deselected=3)
    assert "httpx" not in result.stdout.str()
    assert "httpcore" not in result.stdout.str()
