"""Faults of nats-py 2.16, and how the client handles them. The most important one is demonstrated first."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING

import nats
import nats.errors
import pytest

from pytest_gaia.clients.broker import _connection as broker
from pytest_gaia.clients.broker.messaging import Messaging
from pytest_gaia.clients.guard import WriteGuard
from pytest_gaia.config.environment import Timeouts
from pytest_gaia.errors import DeadlineExceeded, ServiceError, Unreachable
from tests.clients.conftest import environment
from tests.clients.nats_server import nats_server
from tests.clients.peers import silent, unused_port

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SOURCES = {"urls.nats": "GAIA_NATS_URL"}


async def messaging(url: str, *, seconds: float = 2.0) -> Messaging:
    where = environment(nats=url, sources=SOURCES, timeouts=Timeouts(connect=seconds))
    guard = WriteGuard(where, lambda: True)
    return await Messaging.of(where, "nats", guard).open()


async def complained(_: Exception) -> None:
    """Capture the log of nats-py."""


async def test_plain_nats_goes_on_dialling_a_dead_port() -> None:
    """The fault itself, which lasts 120 s: if this fails, a new nats-py may have fixed it."""
    url = f"nats://127.0.0.1:{unused_port()}"
    dialling = asyncio.create_task(nats.connect(url, allow_reconnect=False, connect_timeout=1, error_cb=complained))
    done, _ = await asyncio.wait([dialling], timeout=2.5)
    dialling.cancel()
    await asyncio.wait([dialling])
    assert not done


async def test_a_dead_port_is_reported_at_once() -> None:
    url = f"nats://gaia:hidden-word@127.0.0.1:{unused_port()}"
    before, started = asyncio.all_tasks(), time.monotonic()
    with pytest.raises(Unreachable) as caught:
        await messaging(url, seconds=60)
    assert time.monotonic() - started < 30
    message = str(caught.value)
    assert message.startswith(f"nats is unreachable at {url.replace('hidden-word', '***')}: connection refused.")
    assert "GAIA_NATS_URL" in message
    assert asyncio.all_tasks() == before


async def test_a_port_that_does_not_speak_nats_is_reported_at_the_deadline() -> None:
    async with silent() as port:
        before, started = asyncio.all_tasks(), time.monotonic()
        with pytest.raises(Unreachable, match="is not a NATS server"):
            await messaging(f"nats://127.0.0.1:{port}", seconds=0.5)
        assert time.monotonic() - started < 30
        assert asyncio.all_tasks() == before


async def test_wrong_credentials_are_reported_at_once(tmp_path: Path) -> None:
    async with nats_server(tmp_path, 'authorization { user: "gaia", password: "right" }') as server:
        started = time.monotonic()
        with pytest.raises(Unreachable, match="Authorization"):
            await messaging(server.url.replace("//", "//gaia:wrong@"), seconds=60)
        assert time.monotonic() - started < 30


async def test_a_restart_of_the_server_is_survived_and_listening_goes_on(tmp_path: Path) -> None:
    async with nats_server(tmp_path) as server:
        client = await messaging(server.url, seconds=5)
        async with client.subscribe("gaia.test.>") as events:
            await client.publish("gaia.test.before", 1)
            await server.stop()
            await server.start()
            started = time.monotonic()
            await client.publish("gaia.test.after", 2)
            assert time.monotonic() - started < 30
            await events.wait_for(subject="gaia.test.after", within=30)
            with pytest.raises(DeadlineExceeded, match=r"The connection broke 1 time;"):
                await events.wait_for(subject="gaia.test.never", within=0.05)
        await client.aclose()


async def test_a_server_that_stays_away_is_reported_in_time_and_taken_up_again_later(tmp_path: Path) -> None:
    async with nats_server(tmp_path) as server:
        client = await messaging(server.url, seconds=1.5)
        await server.stop()
        for _ in range(2):
            started = time.monotonic()
            with pytest.raises(Unreachable):
                await client.publish("gaia.test.x", 1)
            assert time.monotonic() - started < 30
        await server.start()
        async with client.subscribe("gaia.test.x") as events:
            await client.publish("gaia.test.x", 1)
            await events.wait_for(within=30)
        await client.aclose()


async def test_after_the_last_attempt_to_come_back_a_call_dials_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(broker, "RECONNECTS", 2)
    before = asyncio.all_tasks()
    async with nats_server(tmp_path) as server:
        client = await messaging(server.url)
        await server.stop()
        # nats-py gives up silently.
        await _until(lambda: client._broker._client is not None and client._broker._client.is_closed)
        with pytest.raises(Unreachable, match="connection refused"):
            await client.publish("gaia.test.x", 1)
        await server.start()
        await client.publish("gaia.test.x", 1)
        await client.aclose()
    await _until(lambda: asyncio.all_tasks() == before)


async def test_plain_nats_cannot_drain_while_the_server_is_away(tmp_path: Path) -> None:
    """The fault itself: if this fails, a new nats-py may have fixed it."""
    async with nats_server(tmp_path) as server:
        plain = await nats.connect(server.url, error_cb=complained, reconnect_time_wait=1)
        await server.stop()
        await _until(lambda: not plain.is_connected)
        with pytest.raises(nats.errors.ConnectionReconnectingError):
            await plain.drain()
        with contextlib.suppress(asyncio.CancelledError):
            # The next test is about this error.
            await plain.close()


@pytest.mark.parametrize("rounds", range(5))
async def test_closing_while_the_client_begins_to_reconnect_cancels_nobody(tmp_path: Path, rounds: int) -> None:
    """In one of these rounds of the loop, nats-py waits for the end of the old connection."""
    before = asyncio.all_tasks()
    async with nats_server(tmp_path) as server:
        plain = await nats.connect(server.url, error_cb=complained)
        stopping = asyncio.create_task(server.stop())
        async with asyncio.timeout(10):
            while plain._reconnection_task is None:  # noqa: ASYNC110 - the very next round of the loop counts
                await asyncio.sleep(0)
        for _ in range(rounds):
            await asyncio.sleep(0)
        await broker._close(plain)
        await stopping
    await _until(lambda: asyncio.all_tasks() == before)


async def test_closing_while_the_server_is_away_leaves_no_task(tmp_path: Path) -> None:
    before = asyncio.all_tasks()
    async with nats_server(tmp_path) as server:
        client = await messaging(server.url)
        async with client.subscribe("gaia.>"):
            await server.stop()
            started = time.monotonic()
            await client.aclose()
        assert time.monotonic() - started < 30
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == before


async def test_closing_drains_and_leaves_no_task(tmp_path: Path) -> None:
    before = asyncio.all_tasks()
    async with nats_server(tmp_path) as server:
        client = await messaging(server.url)
        async with client.subscribe("gaia.>"):
            await client.publish("gaia.test.x", 1)
        await client.aclose()
        await client.aclose()
        for _ in range(3000):
            if not await server.connections():
                break
            await asyncio.sleep(0.01)
        assert await server.connections() == []
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == before


async def test_closing_on_a_frozen_server_is_bounded_and_leaves_no_task(tmp_path: Path) -> None:
    before = asyncio.all_tasks()
    async with nats_server(tmp_path) as server:
        client = await messaging(server.url)
        await server.pause()
        started = time.monotonic()
        await client.aclose()
        assert time.monotonic() - started < 30
        await asyncio.sleep(0)
        assert asyncio.all_tasks() == before


async def test_a_frozen_server_is_reported_at_the_deadline(tmp_path: Path) -> None:
    async with nats_server(tmp_path) as server:
        client = await messaging(server.url, seconds=1)
        await server.pause()
        with pytest.raises(DeadlineExceeded, match=r"publishing on gaia\.test\.x: no response within 1 s"):
            await client.publish("gaia.test.x", 1)
        await client.aclose()


async def test_what_the_server_forbids_is_raised_and_not_just_logged(tmp_path: Path) -> None:
    rules = 'authorization { users: [{ user: "g", password: "g", permissions: { publish: ["_INBOX.>"], subscribe: ["_INBOX.>"] } }] }'
    async with nats_server(tmp_path, rules) as server:
        client = await messaging(server.url.replace("//", "//g:g@"))
        with pytest.raises(ServiceError, match=r"publishing on gaia\.test\.x: .*[Pp]ermissions [Vv]iolation"):
            await client.publish("gaia.test.x", 1)
        with pytest.raises(ServiceError, match=r"subscribing to gaia\.>: .*[Pp]ermissions [Vv]iolation"):
            async with client.subscribe("gaia.>"):
                pytest.fail("it was allowed")
        await client.aclose()


async def _until(condition: Callable[[], bool]) -> None:
    for _ in range(3000):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not come to that")
