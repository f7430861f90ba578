"""The NATS client on a real server."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import nats
import pytest
import pytest_asyncio

from pytest_gaia.clients.broker.messaging import Messaging
from pytest_gaia.clients.guard import WriteGuard
from pytest_gaia.errors import DeadlineExceeded, NotApplicable, ServiceError, Unreachable, WriteRefused
from tests.clients.conftest import environment
from tests.clients.nats_server import nats_server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from nats.aio.client import Client
    from nats.aio.msg import Msg

    from tests.clients.nats_server import NatsServer


async def messaging(url: str, *, permitted: bool = True, **values: Any) -> Messaging:
    where = environment(nats=url, **values)
    guard = WriteGuard(where, lambda: permitted)
    return await Messaging.of(where, "nats", guard).open()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[NatsServer]:
    async with nats_server(tmp_path_factory.mktemp("nats")) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="session")
async def broker(server: NatsServer) -> AsyncIterator[Messaging]:
    client = await messaging(server.url)
    yield client
    await client.aclose()


async def settled(client: Client) -> None:
    """Wait until the server knows every subscription of ``client``."""
    # nats-py sends the PING of a flush before queued commands; the second one is sent after them.
    await client.flush()
    await client.flush()


async def test_what_others_publish_after_listening_began_is_seen(server: NatsServer, broker: Messaging) -> None:
    platform = await nats.connect(server.url)
    async with broker.subscribe("gaia.>") as events:
        await platform.publish("gaia.service.ready", b'{"service": "chat", "status": "ready"}')
        await platform.publish("gaia.service.health", json.dumps(json.dumps({"status": "starting"})).encode())
        await platform.publish("elsewhere", b"{}")
        await settled(platform)
        health = await events.wait_for(subject="gaia.service.health", within=30)
        ready = await events.wait_for(where=lambda data: data["service"] == "chat", within=30)
    await platform.close()
    assert health.data == {"status": "starting"}
    assert health.raw.startswith(b'"{')
    assert ready.subject == "gaia.service.ready"
    assert len(events.seen) == 2


async def test_leaving_unsubscribes(server: NatsServer, broker: Messaging) -> None:
    async with broker.subscribe("gaia.test.gone") as events:
        pass
    await broker.publish("gaia.test.gone", {})
    async with broker.subscribe("gaia.test.gone") as again:
        await broker.publish("gaia.test.gone", {})
        await again.wait_for(within=30)
    assert events.seen == ()
    assert len(again.seen) == 1


async def test_listening_ends_also_when_the_check_fails(broker: Messaging) -> None:
    with pytest.raises(DeadlineExceeded):
        async with broker.subscribe("gaia.test.x") as events:
            await events.wait_for(within=0.05)
    await broker.publish("gaia.test.x", {})
    assert events.seen == ()


async def test_several_subjects_are_listened_on_together(broker: Messaging) -> None:
    async with broker.subscribe("gaia.test.a", "gaia.test.b") as events:
        for subject in ("gaia.test.a", "gaia.test.b", "gaia.test.c"):
            await broker.publish(subject, subject)
        await events.wait_for(subject="gaia.test.b", within=30)
    assert [event.data for event in events.seen] == ["gaia.test.a", "gaia.test.b"]


async def test_a_request_gets_its_reply(server: NatsServer, broker: Messaging) -> None:
    platform = await nats.connect(server.url)

    async def reply(message: Msg) -> None:
        await message.respond(json.dumps({"echo": json.loads(message.data)}).encode())

    await platform.subscribe("gaia.service.chat.request", cb=reply)
    await settled(platform)
    response = await broker.request("gaia.service.chat.request", {"a": 1}, timeout=30)
    await platform.close()
    assert response.data == {"echo": {"a": 1}}


async def test_a_request_without_a_responder_is_reported_at_once(broker: Messaging) -> None:
    with pytest.raises(Unreachable, match=r"a request on gaia\.test\.unused: no responders"):
        await broker.request("gaia.test.unused", timeout=5)


async def test_a_request_that_is_answered_too_late_is_reported_at_the_deadline(
    server: NatsServer, broker: Messaging
) -> None:
    platform = await nats.connect(server.url)
    await platform.subscribe("gaia.test.slow")
    await settled(platform)
    with pytest.raises(DeadlineExceeded, match=r"a request on gaia\.test\.slow: no response within 0\.1 s"):
        await broker.request("gaia.test.slow", timeout=0.1)
    await platform.close()


async def test_publishing_outside_gaia_test_is_refused_before_it_is_sent(server: NatsServer) -> None:
    closed = await messaging(server.url, permitted=False)
    async with closed.subscribe("gaia.>") as events:
        for attempt in (
            closed.publish("gaia.service.ready", {}),
            closed.request("gaia.auth.validate", {}),
            closed.jetstream().publish("gaia.chat.message.start", {}),
        ):
            with pytest.raises(WriteRefused, match=r"@pytest\.mark\.gaia\(writes=True\)"):
                await attempt
        await closed.publish("gaia.test.allowed", "yes")
        await events.wait_for(subject="gaia.test.allowed", within=30)
    assert [event.subject for event in events.seen] == ["gaia.test.allowed"]
    await closed.aclose()


async def test_a_stream_of_the_checks_own_keeps_messages_and_is_gone_afterwards(broker: Messaging) -> None:
    js = broker.jetstream()
    async with js.stream("CHECK", "gaia.test.stream.>") as made:
        assert made.config.name == "CHECK"
        assert [await js.publish("gaia.test.stream.a", {"n": n}) for n in (1, 2)] == [1, 2]
        assert (await js.get("CHECK", 1)).data == {"n": 1}
        assert (await js.last("CHECK", "gaia.test.stream.a")).data == {"n": 2}
        assert (await js.info("CHECK")).state.messages == 2
    with pytest.raises(ServiceError, match="reading the stream CHECK"):
        await js.info("CHECK")


async def test_a_stream_is_deleted_also_when_the_check_fails(broker: Messaging) -> None:
    js = broker.jetstream()
    with pytest.raises(pytest.fail.Exception):
        async with js.stream("FAILING", "gaia.test.failing"):
            pytest.fail("mine")
    with pytest.raises(ServiceError):
        await js.info("FAILING")


async def test_making_a_stream_is_a_write(server: NatsServer) -> None:
    closed = await messaging(server.url, permitted=False)
    with pytest.raises(WriteRefused):
        async with closed.jetstream().stream("CHECK", "gaia.test.x"):
            pytest.fail("it was made")
    await closed.aclose()


async def test_publishing_where_no_stream_listens_is_reported(broker: Messaging) -> None:
    with pytest.raises(ServiceError, match=r"publishing on gaia\.test\.nowhere: no stream has this subject"):
        await broker.jetstream().publish("gaia.test.nowhere", {})


async def test_the_connection_has_a_name_and_leaves_no_subscription_behind(
    server: NatsServer, broker: Messaging
) -> None:
    async with broker.subscribe("gaia.test.seen"):
        assert "gaia.test.seen" in str(await server.connections())
    await broker.publish("gaia.test.flush", {})
    (connection,) = [each for each in await server.connections() if each["name"] == "pytest-gaia"]
    assert "gaia.test.seen" not in str(connection)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("disabled", r"staging has no nats service nats: its URL is disabled \(gaia\.toml:7\)"),
        (None, "no URL of nats is configured for staging: set GAIA_STAGING_NATS_URL"),
    ],
)
async def test_an_environment_without_a_broker_is_not_applicable_and_not_dialled(
    url: str | None, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dialled(*_: object, **__: object) -> None:
        pytest.fail("something was dialled")

    monkeypatch.setattr(asyncio, "open_connection", dialled)
    where = environment("staging", nats=url, sources={"urls.nats": "gaia.toml:7"})
    with pytest.raises(NotApplicable, match=reason):
        await Messaging.of(where, "nats", WriteGuard(where)).open()
