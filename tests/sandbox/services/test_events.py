"""Events on NATS when services stop and start."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import nats

from pytest_gaia.sandbox._services.stack import publish

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    import pytest

    from tests.sandbox.services.platform import Platform

    Heard = Callable[[int], Awaitable[list[tuple[str, Any]]]]


@asynccontextmanager
async def listening(platform: Platform) -> AsyncIterator[Heard]:
    """Return a function that waits for a number of events of the stack and returns them."""
    client = await nats.connect(platform.stack.nats)
    subscription = await client.subscribe("gaia.>")
    await client.flush()

    async def heard(count: int) -> list[tuple[str, Any]]:
        messages = [await subscription.next_msg(timeout=5) for _ in range(count)]
        return [(message.subject, json.loads(message.data)) for message in messages]

    try:
        yield heard
    finally:
        await client.close()


async def test_gateway_reports_that_it_stops_and_starts_in_json_inside_json(platform: Platform) -> None:
    async with listening(platform) as heard:
        platform.fault("gateway", "stop")
        platform.sandbox.heal(platform.stack.name)
        events = await heard(3)

    assert all(isinstance(content, str) for _, content in events)
    decoded = [(subject, json.loads(content)) for subject, content in events]
    assert [(subject, content["status"]) for subject, content in decoded] == [
        ("gaia.service.health", "stopping"),
        ("gaia.service.health", "starting"),
        ("gaia.service.ready", "healthy"),
    ]
    for _, content in decoded:
        assert content.keys() == {"service_name", "status", "timestamp", "details"}


async def test_asset_and_chat_report_that_they_are_ready_and_auth_publishes_nothing(platform: Platform) -> None:
    async with listening(platform) as heard:
        for service in ("auth", "asset", "chat"):
            platform.fault(service, "stop")
            platform.sandbox.heal(platform.stack.name)
        (_, asset), (_, chat) = events = await heard(2)

    assert {subject for subject, _ in events} == {"gaia.service.ready"}
    assert (asset["service"], len(asset["capabilities"])) == ("asset-service", 4)
    assert (chat["service"], chat["status"], chat.keys()) == ("chat", "ready", {"service", "status", "timestamp"})


async def test_auth_reports_that_it_is_ready_on_the_platform_without_known_bugs(fixed: Platform) -> None:
    async with listening(fixed) as heard:
        fixed.fault("auth", "stop")
        fixed.sandbox.heal(fixed.stack.name)
        # Another service may still report its own start.
        while (event := (await heard(1))[0])[1].get("service") != "auth":
            pass

    subject, content = event
    assert (subject, content["status"]) == ("gaia.service.ready", "ready")


async def test_chat_message_is_no_event(platform: Platform) -> None:
    async with listening(platform) as heard:
        await platform.content("POST /api/v0.2/chat", json={"message": "hello"})
        await publish(platform.stack.nats, [("gaia.test.end", "end")])
        events = await heard(1)

    assert events == [("gaia.test.end", "end")]


async def test_broker_that_is_away_is_logged_and_no_error(caplog: pytest.LogCaptureFixture) -> None:
    await publish("nats://127.0.0.1:1", [("gaia.test.lost", "lost")])

    assert "cannot publish an event on NATS" in caplog.text


async def test_broker_that_refuses_the_password_is_logged(platform: Platform, caplog: pytest.LogCaptureFixture) -> None:
    address = platform.stack.nats.rpartition("@")[2]
    await publish(f"nats://nobody:nothing@{address}", [("gaia.test.lost", "lost")])

    assert "Authorization" in caplog.text


async def test_broker_that_does_not_respond_is_given_up(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("pytest_gaia.sandbox._services.stack.TIMEOUT", 0.02)
    ended = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await ended.wait()
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    await publish(f"nats://127.0.0.1:{server.sockets[0].getsockname()[1]}", [("gaia.test.lost", "lost")])
    ended.set()
    server.close()
    await server.wait_closed()

    assert "cannot publish an event on NATS" in caplog.text
