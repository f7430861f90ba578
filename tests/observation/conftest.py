"""Services of an environment with scripted faults, and a healthy sandbox."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

import pytest

from pytest_gaia.config.environment import Environment, Timeouts
from pytest_gaia.run.sandbox import Sandbox
from tests.observation.scripted import ScriptedService, scripted_services
from tests.projects import gaia_environment, gaia_platform

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture
def serve() -> Iterator[Callable[..., ScriptedService]]:
    """Start a service with these responses."""
    with scripted_services() as start:
        yield start


@pytest.fixture(scope="session")
def sandbox() -> Iterator[Sandbox]:
    """A sandbox with all services."""
    with Sandbox.start(gaia_platform()) as sandbox:
        yield sandbox


def environment(nats: str | None = None, **services: ScriptedService | str) -> Environment:
    """Return an environment with only these services."""
    urls = {name: each.url if isinstance(each, ScriptedService) else each for name, each in services.items()}
    return gaia_environment(
        "here",
        urls=MappingProxyType(urls),
        nats=nats,
        services=(*urls, *(("nats",) if nats else ())),
        timeouts=Timeouts(connect=2.0, ready=10.0),
    )
