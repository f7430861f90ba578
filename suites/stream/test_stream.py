"""Streamed responses: the events, their order and their consistency."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from suites.shapes import AMOUNT, COUNT, FLAG, MOMENT, STRING, TEXT, mismatches, named, one_of

if TYPE_CHECKING:
    from pytest_gaia.clients.http.client import HttpClient
    from suites.shapes import Fields

pytestmark = pytest.mark.gaia(requires=["chat"], core=True, command="stream")

STREAM = "/api/v0.2/chat/stream"
DONE = "[DONE]"

EVENTS: dict[str, Fields] = {
    "start": {"timestamp": MOMENT},
    "ready": {"timestamp": MOMENT, "parallel_fetch_ms": AMOUNT, "cache_hits": named(FLAG)},
    "model_selection": {"model": TEXT, "provider": TEXT, "reasoning": TEXT},
    "content": {"content": STRING, "provider": TEXT, "model": TEXT},
    "metadata": {"response_time_ms": COUNT, "fallback_used": FLAG, "total_tokens": COUNT},
    "complete": {"timestamp": MOMENT, "response_length": COUNT},
}


async def streamed(gateway: HttpClient, message: str = "Tell me a short story.") -> list[Any]:
    """Stream a response and return the data of all its events."""
    async with gateway.stream(STREAM, json={"message": message, "activity": "generic"}) as events:
        received = [event.data for event in await events.collect()]
    assert received, "the stream has no event"
    return received


def of_type(events: list[Any], kind: str) -> list[dict[str, Any]]:
    """Return the events of one type."""
    return [event for event in events if _type(event) == kind]


def _type(event: Any) -> str:
    return str(event.get("type")) if isinstance(event, dict) else str(event)


async def test_events_are_in_order_and_the_stream_ends_with_done(
    gateway: HttpClient, command_argument: str | None
) -> None:
    events = await streamed(gateway, command_argument or "Say hello.")
    assert events[-1] == DONE
    kinds = [_type(event) for event in events[:-1]]
    contents = [kind for kind in kinds if kind == "content"]
    assert contents, "no content"
    assert kinds == ["start", "ready", "model_selection", *contents, "metadata", "complete"]


async def test_every_event_has_what_its_type_needs(gateway: HttpClient) -> None:
    events = await streamed(gateway)
    problems = [
        f"event {place}: {problem}"
        for place, event in enumerate(events[:-1])
        for problem in mismatches(event, {"type": one_of(*EVENTS), **EVENTS.get(_type(event), {})})
    ]
    assert not problems
    assert {_type(event) for event in events[:-1]} == EVENTS.keys()


async def test_the_content_has_the_reported_length(gateway: HttpClient) -> None:
    events = await streamed(gateway)
    text = "".join(event["content"] for event in of_type(events, "content"))
    assert text.strip()
    assert [event["response_length"] for event in of_type(events, "complete")] == [len(text)]


async def test_all_contents_are_of_the_model_that_was_selected(gateway: HttpClient) -> None:
    events = await streamed(gateway)
    selected = {(event["provider"], event["model"]) for event in of_type(events, "model_selection")}
    assert len(selected) == 1
    assert {(event["provider"], event["model"]) for event in of_type(events, "content")} == selected
