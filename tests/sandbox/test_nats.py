"""The sandbox's NATS: one account for each stack, JetStream, authentication, stop and start."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import nats
import pytest
from nats.errors import NoServersError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from nats.aio.client import Client

    from pytest_gaia.run.sandbox import Sandbox, Stack


async def ignore(_: Exception) -> None:
    """nats-py prints errors without an error callback."""


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[Client]:
    """Connect without the two minutes after which nats-py gives up."""
    options = {"max_reconnect_attempts": 1, "reconnect_time_wait": 0.05, "connect_timeout": 2}
    client = await asyncio.wait_for(nats.connect(url, error_cb=ignore, **options), 5)
    try:
        yield client
    finally:
        await client.close()


async def test_messages_stay_in_their_stack(sandbox: Sandbox, stack: Stack) -> None:
    other = sandbox.stack("messages")
    async with connected(stack.nats) as here, connected(other.nats) as there:
        heard_here = await here.subscribe("gaia.test.>")
        heard_there = await there.subscribe("gaia.test.>")
        await here.flush()
        await there.flush()

        await here.publish("gaia.test.one", b"here")
        await there.publish("gaia.test.one", b"there")

        assert (await heard_here.next_msg(30)).data == b"here"
        assert (await heard_there.next_msg(30)).data == b"there"
        assert heard_here.pending_msgs == heard_there.pending_msgs == 0


async def test_two_stacks_can_have_a_stream_of_the_same_name(sandbox: Sandbox, stack: Stack) -> None:
    other = sandbox.stack("streams")
    async with connected(stack.nats) as here, connected(other.nats) as there:
        for client in (here, there):
            await client.jetstream().add_stream(name="EVENTS", subjects=["gaia.test.stream"])
        await here.jetstream().publish("gaia.test.stream", b"1")

        counts = [(await each.jetstream().stream_info("EVENTS")).state.messages for each in (here, there)]
        for client in (here, there):
            await client.jetstream().delete_stream("EVENTS")

    assert counts == [1, 0]


@pytest.mark.parametrize("credentials", ["", "stack0:wrong@", "gaia:gaia@"])
async def test_no_access_without_the_password(stack: Stack, credentials: str) -> None:
    parts = urlsplit(stack.nats)

    with pytest.raises((NoServersError, nats.errors.Error)):
        async with connected(f"nats://{credentials}{parts.hostname}:{parts.port}"):
            pass


async def test_there_is_an_account_for_any_number_of_stacks(own: Sandbox) -> None:
    first = own.stack("main")
    async with connected(first.nats) as before:
        stacks = [own.stack(f"many{number}") for number in range(20)]

        assert len({stack.nats for stack in stacks}) == 20
        async with connected(stacks[-1].nats) as last:
            assert (await last.jetstream().account_info()).streams == 0
        assert before.is_connected


async def test_stopped_and_started_the_broker_has_the_same_address_and_streams(own: Sandbox) -> None:
    url = own.stack("main").nats
    async with connected(url) as client:
        await client.jetstream().add_stream(name="KEPT", subjects=["gaia.test.kept"])
        await client.jetstream().publish("gaia.test.kept", b"1")

    own.stop_service("nats")
    with pytest.raises((OSError, NoServersError)):
        async with connected(url):
            pass
    own.start_service("nats")

    async with connected(url) as client:
        assert (await client.jetstream().stream_info("KEPT")).state.messages == 1
