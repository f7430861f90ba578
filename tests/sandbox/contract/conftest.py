"""Replay the table once for each of six topologies."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from pytest_gaia.run.sandbox import Sandbox
from tests.projects import gaia_platform
from tests.sandbox.contract.replay import TOPOLOGIES, Replay

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

STARTED_WITH: dict[str, dict[str, Any]] = {
    "no-asset": {"without": ["asset"]},
    "no-chat": {"without": ["chat"]},
    "gateway-only": {"services": ("gateway", "postgres")},
}
STOPPED = {"nats-down": "nats", "db-down": "postgres"}


@contextmanager
def running(**shape: Any) -> Iterator[Sandbox]:
    """Start a sandbox and stop it afterwards."""
    with Sandbox.start(gaia_platform(), **shape) as sandbox:
        yield sandbox


@pytest.fixture(scope="session")
def everything() -> Iterator[Sandbox]:
    """Start a sandbox with all services."""
    with running() as sandbox:
        yield sandbox


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def replayed(everything: Sandbox) -> AsyncIterator[Callable[[str], Awaitable[Replay]]]:
    """Return a function that replays a topology at its first call."""
    replays: dict[str, Replay] = {}

    async def replay(topology: str) -> Replay:
        if topology not in replays:
            replays[topology] = await _play(everything, topology)
        return replays[topology]

    assert {*STARTED_WITH, *STOPPED, "full"} == {*TOPOLOGIES}
    yield replay


async def _play(everything: Sandbox, topology: str) -> Replay:
    if topology in STARTED_WITH:
        with running(**STARTED_WITH[topology]) as sandbox:
            return await _played(sandbox, topology)
    service = STOPPED.get(topology)
    if service is None:
        return await _played(everything, topology)
    everything.stack(topology)
    everything.stop_service(service)
    try:
        return await _played(everything, topology)
    finally:
        everything.start_service(service)


async def _played(sandbox: Sandbox, topology: str) -> Replay:
    replay = Replay(sandbox.stack(topology), topology)
    await replay.play()
    return replay
