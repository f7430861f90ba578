"""Six platforms, each replayed once."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from pytest_gaia.run.stack import Stack
from tests.sandbox.contract.replay import TOPOLOGIES, Replay

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

STARTED_WITH: dict[str, dict[str, Any]] = {
    "no-asset": {"without": ["asset"]},
    "no-chat": {"without": ["chat"]},
    "gateway-only": {"topology": "gateway-only"},
}
STOPPED = {"nats-down": "nats", "db-down": "postgres"}


@contextmanager
def running(**shape: Any) -> Iterator[Stack]:
    """Start a sandbox and stop it afterwards."""
    with Stack.start(**shape) as stack:
        yield stack


@pytest.fixture(scope="session")
def everything() -> Iterator[Stack]:
    """Give a sandbox in which everything runs."""
    with running() as stack:
        yield stack


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def replayed(everything: Stack) -> AsyncIterator[Callable[[str], Awaitable[Replay]]]:
    """Give a function that returns the replay of a topology, played at the first call."""
    replays: dict[str, Replay] = {}

    async def replay(topology: str) -> Replay:
        if topology not in replays:
            replays[topology] = await _play(everything, topology)
        return replays[topology]

    assert {*STARTED_WITH, *STOPPED, "full"} == {*TOPOLOGIES}
    yield replay


async def _play(everything: Stack, topology: str) -> Replay:
    if topology in STARTED_WITH:
        with running(**STARTED_WITH[topology]) as stack:
            return await _played(stack, topology)
    member = STOPPED.get(topology)
    if member is None:
        return await _played(everything, topology)
    everything.cell(topology)
    everything.stop_member(member)
    try:
        return await _played(everything, topology)
    finally:
        everything.start_member(member)


async def _played(stack: Stack, topology: str) -> Replay:
    replay = Replay(stack.cell(topology), topology)
    await replay.play()
    return replay
