"""Clients for environments that a test configures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
import pytest_asyncio

from pytest_gaia.clients.guard import WriteGuard
from pytest_gaia.clients.services import ClientSet
from pytest_gaia.config.environment import Environment, Timeouts
from pytest_gaia.run.sandbox import Sandbox
from pytest_gaia.secrets.masks import Secret
from tests.projects import gaia_environment, gaia_platform

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from pytest_gaia.clients.exchanges import Exchange

    Connect = Callable[..., ClientSet]

KEY = "key-of-the-environment"


def environment(name: str = "sandbox", **values: Any) -> Environment:
    """Return an environment with timeouts that a busy machine does not exceed, an API key and the given values."""
    defaults: dict[str, Any] = {
        "timeouts": Timeouts(connect=30.0, response=30.0, stream=30.0, ready=30.0),
        "api_key": Secret(KEY),
        "writes": True,
    }
    return gaia_environment(name, **(defaults | values))


@pytest_asyncio.fixture(loop_scope="session")
async def connect() -> AsyncIterator[Connect]:
    """Return a function from base URLs (by service) to clients, which are closed at the end."""
    made: list[ClientSet] = []

    def build(
        urls: dict[str, str], *, permitted: bool = True, record: list[Exchange] | None = None, **values: Any
    ) -> ClientSet:
        where = environment(urls=urls, **values)
        guard = WriteGuard(where, lambda: permitted)
        made.append(ClientSet(where, guard, (record if record is not None else []).append))
        return made[-1]

    yield build
    for clients in made:
        await clients.aclose()


@pytest.fixture(scope="session")
def sandbox() -> Iterator[Sandbox]:
    """Start a sandbox for its real servers."""
    with Sandbox.start(gaia_platform()) as sandbox:
        yield sandbox


@dataclass(frozen=True)
class OwnDatabase:
    """A database with the platform's tables for one test."""

    owner: str
    """DSN of the role that owns the tables"""
    superuser: str
    """DSN of the superuser"""

    def of(self, role: str, password: str) -> str:
        """Return the DSN of another role."""
        return _as(self.owner, role, password)


@pytest.fixture
def database(sandbox: Sandbox) -> Iterator[OwnDatabase]:
    """Create a database for one test on a real server."""
    owner = sandbox.fresh_database("main")
    password = (sandbox.directory / "postgres" / "password").read_text()
    yield OwnDatabase(owner, _as(owner, "postgres", password))
    sandbox.drop_database("main", owner)


def _as(dsn: str, role: str, password: str) -> str:
    url = urlsplit(dsn)
    return url._replace(netloc=f"{role}:{password}@{url.hostname}:{url.port}").geturl()
