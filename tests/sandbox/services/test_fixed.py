"""The platform without known bugs, compared with the one that has them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.sandbox.services.platform import events_of

if TYPE_CHECKING:
    from tests.sandbox.services.platform import Platform

V02 = "/api/v0.2"
ESTIMATE = f"POST {V02}/assets/pricing/cost-estimator/estimate"


@pytest.mark.parametrize(
    ("request_line", "body", "released", "repaired"),
    [
        ("GET /api/v1/assets", None, 307, 200),
        (f"GET {V02}/models/capabilities", None, 404, 200),
        (f"GET {V02}/models/priorities", None, 404, 200),
        (f"GET {V02}/models/contexts", None, 404, 200),
        (f"GET {V02}/providers/claude", None, 404, 200),
        (f"GET {V02}/providers/claude/health", None, 404, 200),
        (f"GET {V02}/providers/claude/stats", None, 404, 200),
        (f"GET {V02}/providers/nope", None, 404, 404),
        (f"GET {V02}/models/nope", None, 404, 404),
        (f"POST {V02}/personas/initialize-default", {}, 500, 200),
        (f"POST {V02}/chat/stream/cache/invalidate?cache_type=all", {}, 500, 200),
        (f"POST {V02}/chat/reload-prompt", {}, 500, 200),
        ("POST /api/v1/chat/reload-prompt", {}, 500, 200),
        ("POST /api/v1/assets/generate", {"type": "image", "prompt": "p"}, 500, 200),
        (f"GET {V02}/assets/pricing/current?provider=nope", None, 500, 404),
        (f"POST {V02}/assets/pricing/update?provider=nope", None, 500, 404),
        (ESTIMATE, {}, 500, 400),
        (ESTIMATE, {"provider": "dalle", "quantity": "many"}, 500, 400),
        (f"GET {V02}/assets/pricing/cost-estimator/provider-comparison?operation=nope", None, 500, 400),
        (f"POST {V02}/usage/log", {"provider": "claude"}, 500, 400),
        (f"POST {V02}/usage/log", {"provider": "nope", "operation": "o", "quantity": 1, "cost": 1}, 500, 400),
    ],
)
async def test_status_without_the_known_bug(
    platform: Platform, fixed: Platform, request_line: str, body: object, released: int, repaired: int
) -> None:
    responses = [await one.ask(request_line, json=body) for one in (platform, fixed)]

    assert [response.status_code for response in responses] == [released, repaired], responses[1].text


async def test_single_provider_is_in_the_list(fixed: Platform) -> None:
    listed = (await fixed.content(f"GET {V02}/providers"))["providers"][0]
    stats = (await fixed.content(f"GET {V02}/providers/stats"))["provider_stats"]["claude"]
    one = await fixed.content(f"GET {V02}/providers/claude")
    of_one = await fixed.content(f"GET {V02}/providers/claude/stats")

    moments = ("last_health_check", "last_request", "provider")
    assert {k: v for k, v in one.items() if k not in moments} == {k: v for k, v in listed.items() if k not in moments}
    assert {k: v for k, v in of_one.items() if k not in moments} == {k: v for k, v in stats.items() if k not in moments}


async def test_stream_flag_streams(fixed: Platform) -> None:
    response = await fixed.ask(f"POST {V02}/chat", json={"message": "hello", "stream": True})

    assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert events_of(response)[-1] == "[DONE]"


async def test_without_the_flag_the_response_is_json(fixed: Platform) -> None:
    assert "hello" in (await fixed.content(f"POST {V02}/chat", json={"message": "hello"}))["response"]


async def test_generated_asset_is_a_row(fixed: Platform) -> None:
    wish = {"type": "image", "prompt": "a red balloon"}
    made = await fixed.content("POST /api/v1/assets/generate", json=wish)

    rows = await fixed.rows("SELECT type, description, status FROM assets WHERE id = $1", made["asset_id"])
    assert [tuple(row) for row in rows] == [("image", "a red balloon", "pending")]


async def test_a_refused_name_does_not_stand_in_the_way_of_the_next_one(fixed: Platform) -> None:
    wish = {"name": "Mu", "description": "d", "system_prompt": "s"}

    refused = await fixed.ask(f"POST {V02}/personas", json=wish)

    assert refused.status_code == 400
    await fixed.content(f"POST {V02}/personas", json={**wish, "name": "no Mu"})
    await fixed.content(f"POST {V02}/personas/initialize-default")


async def test_a_stream_counts_its_tokens_and_is_forgotten_with_everything_else(fixed: Platform) -> None:
    user = fixed.bearer()
    events = events_of(await fixed.ask(f"POST {V02}/chat/stream", json={"message": "one"}, headers=user))

    await fixed.content(f"DELETE {V02}/chat/history", headers=user)

    assert events[-3]["total_tokens"] > 0
    assert (await fixed.content(f"GET {V02}/chat/stream/status", headers=user))["message_count"] == 0
