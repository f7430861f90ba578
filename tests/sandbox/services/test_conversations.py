"""Conversations: the fake models, histories, streams and their caches."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.sandbox.services.platform import events_of

if TYPE_CHECKING:
    from tests.sandbox.services.platform import Platform

CHAT = "/api/v0.2/chat"


async def test_same_message_gets_same_response(platform: Platform) -> None:
    first, second = [await platform.content(f"POST {CHAT}", json={"message": "twice"}) for _ in range(2)]

    assert first == second
    assert "twice" in first["response"]
    assert first["usage"]["total_tokens"] == first["usage"]["input_tokens"] + first["usage"]["output_tokens"]


async def test_stream_carries_the_text_of_the_plain_response(platform: Platform) -> None:
    message = {"message": "a message of quite a few words, so that it is streamed in pieces"}
    plain = await platform.content(f"POST {CHAT}", json=message)
    events = events_of(await platform.ask(f"POST {CHAT}/stream", json=message))

    pieces = [event["content"] for event in events[:-1] if event["type"] == "content"]
    assert "".join(pieces) == plain["response"]
    assert (len(pieces) > 3, pieces[-1]) == (True, "")
    assert events[-1] == "[DONE]"
    assert events[-2]["response_length"] == len(plain["response"])
    assert events[-3]["total_tokens"] == 0


@pytest.mark.parametrize(
    ("route", "history", "status"),
    [
        *((CHAT, history, f"{CHAT}/status") for history in (f"{CHAT}/history", "/api/v1/chat/history")),
        ("/api/v1/chat", f"{CHAT}/history", f"{CHAT}/status"),
        (f"{CHAT}/stream", f"{CHAT}/stream/history", f"{CHAT}/stream/status"),
    ],
)
async def test_history_counts_a_users_messages_until_it_is_cleared(
    platform: Platform, route: str, history: str, status: str
) -> None:
    user, other = platform.bearer(), platform.bearer()
    await platform.ask(f"POST {route}", json={"message": "one"}, headers=user)

    counted = await platform.content(f"GET {status}", headers=user)
    of_other = await platform.content(f"GET {status}", headers=other)
    await platform.content(f"DELETE {history}", headers=user)
    cleared = await platform.content(f"GET {status}", headers=user)

    assert (counted["message_count"], counted["has_history"]) == (2, True)
    assert (of_other["message_count"], of_other["has_history"]) == (0, False)
    assert (cleared["message_count"], cleared["has_history"]) == (0, False)


@pytest.mark.parametrize("history", [f"{CHAT}/history", "/api/v1/chat/history"])
async def test_clearing_the_history_of_plain_conversations_leaves_what_was_streamed(
    platform: Platform, history: str
) -> None:
    user = platform.bearer()
    await platform.ask(f"POST {CHAT}/stream", json={"message": "one"}, headers=user)

    await platform.content(f"DELETE {history}", headers=user)

    assert (await platform.content(f"GET {CHAT}/stream/status", headers=user))["message_count"] == 2


async def test_second_stream_of_a_user_hits_the_caches_until_they_are_invalidated(platform: Platform) -> None:
    user = platform.bearer("cached-user")
    message = {"message": "hello", "activity": "cooking"}

    async def hits() -> dict[str, bool]:
        found: dict[str, bool] = events_of(await platform.ask(f"POST {CHAT}/stream", json=message, headers=user))[1]
        return found["cache_hits"]  # type: ignore[return-value]

    assert await hits() == {"persona": False, "tools": False}
    assert await hits() == {"persona": True, "tools": True}
    cached = (await platform.content(f"GET {CHAT}/stream/cache/status"))["cache_stats"]
    assert "cached-user" in cached["persona_cache_keys"]
    assert cached["tools_cache_entries"] == len(cached["tools_cache_keys"])

    await platform.content(f"POST {CHAT}/stream/cache/invalidate?cache_type=tools")
    assert await hits() == {"persona": True, "tools": False}
    await platform.content(f"POST {CHAT}/stream/cache/invalidate?cache_type=all")
    assert await hits() == {"persona": False, "tools": False}


@pytest.mark.parametrize(
    ("wish", "model"),
    [
        ({}, "claude-3-haiku-20240307"),
        ({"provider": "openai"}, "gpt-4o-mini"),
        ({"model": "claude-3-sonnet-20240229"}, "claude-3-sonnet-20240229"),
        ({"priority": "quality"}, "gpt-4o"),
    ],
)
async def test_request_chooses_the_model(platform: Platform, wish: dict[str, str], model: str) -> None:
    response = await platform.content(f"POST {CHAT}", json={"message": "hello", **wish})

    assert response["model"] == model


@pytest.mark.parametrize("wish", [{"model": "nope"}, {"provider": "mistral"}])
async def test_model_without_provider_is_a_500(platform: Platform, wish: dict[str, str]) -> None:
    response = await platform.ask(f"POST {CHAT}", json={"message": "hello", **wish})

    assert (response.status_code, "No provider found for model" in response.text) == (500, True)
