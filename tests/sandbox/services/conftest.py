"""A sandbox as released and one without its defects, and clients for them."""

from __future__ import annotations

from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING

import httpx
import pytest
import pytest_asyncio

from pytest_gaia.run.stack import Stack
from tests.sandbox.services.platform import Platform

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator


@contextmanager
def _stack(*, fixed: bool) -> Iterator[Stack]:
    with Stack.start(fixed=fixed) as stack:
        yield stack


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    """Give the sandbox as released."""
    with _stack(fixed=False) as stack:
        yield stack


@pytest.fixture(scope="session")
def fixed_stack() -> Iterator[Stack]:
    """Give the sandbox without the known defects."""
    with _stack(fixed=True) as stack:
        yield stack


@pytest_asyncio.fixture(loop_scope="session")
async def platform(stack: Stack) -> AsyncIterator[Platform]:
    """Give a healed platform as released."""
    async with _platform(stack) as platform:
        yield platform
        stack.heal(platform.cell.name)


@pytest_asyncio.fixture(loop_scope="session")
async def fixed(fixed_stack: Stack) -> AsyncIterator[Platform]:
    """Give the platform without its defects."""
    async with _platform(fixed_stack) as platform:
        yield platform


@asynccontextmanager
async def _platform(stack: Stack) -> AsyncIterator[Platform]:
    cell = stack.cell("main")
    async with httpx.AsyncClient(headers={"X-API-Key": cell.api_key}, trust_env=False, timeout=10) as client:
        yield Platform(stack, cell, client)
