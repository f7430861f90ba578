"""One sandbox for tests without lasting effects."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_gaia.run.sandbox import Sandbox
from tests.projects import gaia_platform

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_gaia.run.sandbox import Stack


@pytest.fixture(scope="session")
def sandbox() -> Iterator[Sandbox]:
    """Start a sandbox with all services."""
    with Sandbox.start(gaia_platform()) as sandbox:
        yield sandbox


@pytest.fixture(scope="session")
def stack(sandbox: Sandbox) -> Stack:
    """Return the sandbox's first stack."""
    return sandbox.stack("main")


@pytest.fixture(scope="session")
def own() -> Iterator[Sandbox]:
    """Start a second sandbox for tests that stop shared servers."""
    with Sandbox.start(gaia_platform()) as sandbox:
        yield sandbox
