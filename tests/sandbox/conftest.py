"""One sandbox for the tests that leave it as they found it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_gaia.run.sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_gaia.run.sandbox import Stack


@pytest.fixture(scope="session")
def sandbox() -> Iterator[Sandbox]:
    """Give a sandbox in which everything runs."""
    with Sandbox.start() as sandbox:
        yield sandbox


@pytest.fixture(scope="session")
def stack(sandbox: Sandbox) -> Stack:
    """Give the sandbox's first cell."""
    return sandbox.stack("main")


@pytest.fixture(scope="session")
def own() -> Iterator[Sandbox]:
    """Give a second sandbox, for tests that stop the servers which all cells share."""
    with Sandbox.start() as sandbox:
        yield sandbox
