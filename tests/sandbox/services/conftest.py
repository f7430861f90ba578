"""A sandbox with known bugs, one without, and clients for both."""

from __future__ import annotations

from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING

import httpx
import pytest
import pytest_asyncio

from pytest_gaia.run.sandbox import Sandbox
from tests.projects import gaia_platform
from tests.sandbox.services.platform import Platform

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator


@contextmanager
def _sandbox(*, fixed: bool, api: str = "current") -> Iterator[Sandbox]:
    with Sandbox.start(gaia_platform(), fixed=fixed, api=api) as sandbox:
        yield sandbox


@pytest.fixture(scope="session")
def sandbox() -> Iterator[Sandbox]:
    """Start a sandbox with known bugs."""
    with _sandbox(fixed=False) as sandbox:
        yield sandbox


@pytest.fixture(scope="session")
def fixed_sandbox() -> Iterator[Sandbox]:
    """Start a sandbox without known bugs."""
    with _sandbox(fixed=True) as sandbox:
        yield sandbox


@pytest.fixture(scope="session")
def newest_sandbox() -> Iterator[Sandbox]:
    """Start a sandbox with the API of the newest release."""
    with _sandbox(fixed=False, api="next") as sandbox:
        yield sandbox


@pytest_asyncio.fixture(loop_scope="session")
async def newest(newest_sandbox: Sandbox) -> AsyncIterator[Platform]:
    """Return a platform of the newest release, without faults."""
    async with _platform(newest_sandbox) as platform:
        yield platform
        newest_sandbox.heal(platform.stack.name)


@pytest_asyncio.fixture(loop_scope="session")
async def platform(sandbox: Sandbox) -> AsyncIterator[Platform]:
    """Return a platform with known bugs, without faults."""
    async with _platform(sandbox) as platform:
        yield platform
        sandbox.heal(platform.stack.name)


@pytest_asyncio.fixture(loop_scope="session")
async def fixed(fixed_sandbox: Sandbox) -> AsyncIterator[Platform]:
    """Return the platform without known bugs."""
    async with _platform(fixed_sandbox) as platform:
        yield platform


@asynccontextmanager
async def _platform(sandbox: Sandbox) -> AsyncIterator[Platform]:
    stack = sandbox.stack("main")
    async with httpx.AsyncClient(headers={"X-API-Key": stack.api_key}, trust_env=False, timeout=10) as client:
        yield Platform(sandbox, stack, client)
