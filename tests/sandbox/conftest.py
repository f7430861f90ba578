"""One sandbox for the tests that leave it as they found it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_gaia.run.stack import Stack

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_gaia.run.stack import Cell


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    """Give a sandbox in which everything runs."""
    with Stack.start() as stack:
        yield stack


@pytest.fixture(scope="session")
def cell(stack: Stack) -> Cell:
    """Give the sandbox's first cell."""
    return stack.cell("main")


@pytest.fixture(scope="session")
def own() -> Iterator[Stack]:
    """Give a second sandbox, for tests that stop the servers which all cells share."""
    with Stack.start() as stack:
        yield stack
