"""The state of streaming in the chat service, and its caches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from suites.shapes import COUNT, FLAG, MOMENT, TEXT, VERSION, each, equal, named, one_of, shaped

if TYPE_CHECKING:
    from pytest_gaia.clients.http.client import HttpClient
    from suites.shapes import Fields, Shape

pytestmark = pytest.mark.gaia(requires=["chat"])

CACHES: Shape = {
    "persona_cache_entries": COUNT,
    "tools_cache_entries": COUNT,
    "persona_cache_keys": each(TEXT),
    "tools_cache_keys": each(TEXT),
}
DONE: Shape = {"status": equal("success"), "message": TEXT}


def assert_keys_counted(caches: dict[str, Any]) -> None:
    """Each cache has as many keys as it has entries, and no key twice."""
    for name in ("persona", "tools"):
        keys = caches[f"{name}_cache_keys"]
        assert caches[f"{name}_cache_entries"] == len(keys) == len(set(keys)), f"{name} cache"


@pytest.mark.gaia(core=True, command="status")
async def test_streaming_is_ready(gateway: HttpClient) -> None:
    status: Shape = {
        "status": equal("ready"),
        "performance_mode": one_of("optimized", "standard"),
        "message_count": COUNT,
        "has_history": FLAG,
        "cache_status": CACHES,
        "capabilities": named(FLAG, least=1),
        "timestamp": MOMENT,
    }
    content = shaped((await gateway.get("/api/v0.2/chat/stream/status")).expect(200), status)
    assert content["has_history"] == (content["message_count"] > 0)
    assert_keys_counted(content["cache_status"])


@pytest.mark.gaia(core=True, command="cache")
async def test_the_caches_count_their_keys(gateway: HttpClient) -> None:
    response = (await gateway.get("/api/v0.2/chat/stream/cache/status")).expect(200)
    assert_keys_counted(shaped(response, {"cache_stats": CACHES, "timestamp": MOMENT})["cache_stats"])


@pytest.mark.gaia(core=True)
@pytest.mark.parametrize("path", ["/api/v0.2/chat/status", "/api/v1/chat/status"])
async def test_history_is_there_when_messages_are(gateway: HttpClient, path: str) -> None:
    version: Fields = {"api_version": VERSION} if path.startswith("/api/v0.2/") else {}
    shape: Shape = {"message_count": COUNT, "has_history": FLAG, **version}
    content = shaped((await gateway.get(path)).expect(200), shape)
    assert content["has_history"] == (content["message_count"] > 0)


@pytest.mark.gaia(writes=True)
async def test_an_invalidated_cache_forgets_an_activity(gateway: HttpClient, unique_name: str) -> None:
    async with gateway.stream("/api/v0.2/chat/stream", json={"message": "hello", "activity": unique_name}) as events:
        await events.collect()
    assert unique_name in await _cached_activities(gateway)
    await _invalidate(gateway, json=None)
    assert unique_name not in await _cached_activities(gateway)


@pytest.mark.gaia(writes=True)
async def test_a_cache_is_invalidated_by_a_request_with_a_body(gateway: HttpClient) -> None:
    await _invalidate(gateway, json={})


@pytest.mark.gaia(writes=True)
async def test_the_prompt_is_reloaded(gateway: HttpClient) -> None:
    shaped((await gateway.post("/api/v0.2/chat/reload-prompt")).expect(200), DONE)


@pytest.mark.gaia(writes=True)
async def test_the_prompt_is_reloaded_by_a_request_with_a_body(gateway: HttpClient) -> None:
    shaped((await gateway.post("/api/v0.2/chat/reload-prompt", json={})).expect(200), DONE)


async def _cached_activities(gateway: HttpClient) -> list[str]:
    response = (await gateway.get("/api/v0.2/chat/stream/cache/status")).expect(200)
    activities: list[str] = response.field("cache_stats.tools_cache_keys")
    return activities


async def _invalidate(gateway: HttpClient, json: Any) -> None:
    path = "/api/v0.2/chat/stream/cache/invalidate"
    response = await gateway.post(path, params={"cache_type": "all"}, json=json)
    shaped(response.expect(200), DONE)
