"""Shared fixtures: recognizable names, personas that are cleaned up, and responses of the rate-limited root."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from suites.naming import new_name
from suites.personas.lifecycle import ROUTE, Personas

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from pytest_gaia.clients.http.client import HttpClient
    from pytest_gaia.clients.http.responses import Response
    from pytest_gaia.config.environment import Environment

ROOT_LIMIT = 60
"""limit of requests of one client to the gateway's root in a minute"""


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


def pytest_make_parametrize_id(val: Any) -> str | None:
    """Show paths in ids without their common prefix."""
    return val.removeprefix("/api/v0.2/") if isinstance(val, str) and val.startswith("/api/v0.2/") else None
