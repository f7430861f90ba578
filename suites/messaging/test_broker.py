"""NATS: messages arrive unchanged, once and in order; only below ``gaia.test.``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pytest_gaia.clients.broker.messaging import Messaging

pytestmark = pytest.mark.gaia(requires=["nats"])


@pytest.fixture
def subject(unique_name: str) -> str:
    """A unique subject below ``gaia.test.``."""
    return f"gaia.test.{unique_name}"


async def test_messages_arrive_whole_and_in_order(nats: Messaging, subject: str) -> None:
    sent = [{"number": number, "text": "Grüße, 世界"} for number in range(20)]
    async with nats.subscribe(f"{subject}.>") as events:
        for number, content in enumerate(sent):
            await nats.publish(f"{subject}.{number}", content)
        received = [await events.wait_for(subject=f"{subject}.*") for _ in sent]
    assert [event.data for event in received] == sent
    assert [event.subject for event in received] == [f"{subject}.{number}" for number in range(20)]


async def test_a_subscription_receives_only_its_subjects(nats: Messaging, subject: str) -> None:
    async with nats.subscribe(f"{subject}.heard") as events:
        await nats.publish(f"{subject}.other", {"n": 1})
        await nats.publish(f"{subject}.heard", {"n": 2})
        assert (await events.wait_for(subject=f"{subject}.>")).data == {"n": 2}
        assert len(events.seen) == 1


async def test_json_inside_json_is_decoded(nats: Messaging, subject: str) -> None:
    async with nats.subscribe(subject) as events:
        await nats.publish(subject, b'"{\\"service_name\\": \\"gateway\\", \\"details\\": {}}"')
        event = await events.wait_for(subject=subject)
    assert event.data == {"service_name": "gateway", "details": {}}


@pytest.mark.gaia(writes=True)
async def test_a_stream_keeps_what_was_published(nats: Messaging, subject: str, unique_name: str) -> None:
    jetstream = nats.jetstream()
    async with jetstream.stream(unique_name, f"{subject}.>"):
        numbers = [await jetstream.publish(f"{subject}.kept", {"n": n}) for n in range(3)]
        assert numbers == [1, 2, 3]
        assert (await jetstream.get(unique_name, 2)).data == {"n": 1}
        assert (await jetstream.last(unique_name, f"{subject}.kept")).data == {"n": 2}
        assert (await jetstream.info(unique_name)).state.messages == 3
