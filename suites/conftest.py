"""Shared fixtures: recognizable names, personas that are cleaned up, and responses of the rate-limited root."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote, urlsplit

import pytest
import pytest_asyncio

from pytest_gaia.clients.http.client import HttpClient
from suites.naming import new_name
from suites.personas.lifecycle import ROUTE, Personas

if TYPE_CHECKING:
    import asyncio
    from collections.abc import AsyncIterator, Generator

    from pytest_gaia.clients.exchanges import Exchange
    from pytest_gaia.clients.http.responses import Response
    from pytest_gaia.config.environment import Environment

ROOT_LIMIT = 60
"""limit of requests of one client to the gateway's root in a minute"""

LATE = 0.45
"""most seconds of a response in the sandbox; usually it takes less than 0.1, also on a busy machine"""
EARLIER = pytest.StashKey[set[str]]()
"""routes that write, and whose latest response was late"""


@pytest.fixture
def unique_name() -> str:
    """A unique name that shows its origin."""
    return new_name()


@pytest.fixture
def command_argument(gaia_argument: tuple[str, ...]) -> str | None:
    """The first argument of the old command, if there is one."""
    return gaia_argument[0] if gaia_argument else None


@pytest_asyncio.fixture(loop_scope="session")
async def personas(gateway: HttpClient, existing_personas: Personas) -> AsyncIterator[Personas]:
    """Create personas with ``await personas.create()``; they are deleted at the end, also after a failure."""
    yield existing_personas
    for persona_id in existing_personas.ids:
        (await gateway.delete(ROUTE, path_params={"persona_id": persona_id})).expect(200, 404)


@pytest.fixture
def existing_personas(gateway: HttpClient, unique_name: str) -> Personas:
    """Personas for tests that only read, which can be concurrent because nothing has to be deleted after them."""
    return Personas(gateway, unique_name)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def root_responses(gateway: HttpClient, gaia_env: Environment) -> list[Response]:
    """Responses of the gateway's root: one, or in the sandbox more than its rate limit.

    All tests share these responses, because further requests are rejected for a minute.
    """
    times = ROOT_LIMIT + 5 if gaia_env.sandbox else 1
    return [await gateway.anonymous().get("/") for _ in range(times)]


@pytest.fixture
def anonymous(gateway: HttpClient) -> HttpClient:
    """The client of the gateway without credentials."""
    return gateway.anonymous()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None]:
    """Fail a test that passed if a route responds too late.

    Only in the sandbox, on loopback and with one test at a time: elsewhere the network and other users take time, and
    ``[[env.NAME.slo]]`` in gaia.toml has the objectives.
    """
    yield
    values: dict[str, Any] = getattr(item, "funcargs", {})
    env: Environment | None = values.get("gaia_env")
    if env is None or not env.sandbox or env.concurrency > 1:
        return
    earlier = item.config.stash.setdefault(EARLIER, set())
    clients = [value for value in values.values() if isinstance(value, HttpClient)]
    late = [
        f"{exchange.request.method} {exchange.route}: {exchange.elapsed * 1000:.0f} ms"
        for client in clients
        for exchange in client.exchanges
        if _late_again(client, exchange, earlier, values["gaia_loop"])
    ]
    assert not late, f"late responses, after more than {LATE * 1000:.0f} ms: {', '.join(dict.fromkeys(late))}"


def _late_again(client: HttpClient, exchange: Exchange, earlier: set[str], loop: asyncio.AbstractEventLoop) -> bool:
    """Return whether a response was late twice: one late response may be due to a busy machine."""
    name = f"{exchange.service} {exchange.request.method} {exchange.route}"
    if exchange.elapsed <= LATE:
        earlier.discard(name)
        return False
    if exchange.request.method == "GET":
        url = urlsplit(exchange.request.url)
        again = client.get(unquote(url.path), params=dict(parse_qsl(url.query)))
        return loop.run_until_complete(again).exchange.elapsed > LATE
    was_late = name in earlier
    earlier.add(name)
    return was_late


def pytest_make_parametrize_id(val: Any) -> str | None:
    """Show paths in ids without their common prefix."""
    return val.removeprefix("/api/v0.2/") if isinstance(val, str) and val.startswith("/api/v0.2/") else None
