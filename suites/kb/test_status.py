"""The state of the knowledge base: what its parts report, and that only users may read it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from suites.shapes import COUNT, FLAG, TEXT, each, equal, shaped, some

if TYPE_CHECKING:
    from pytest_gaia.clients.http.client import HttpClient
    from suites.shapes import Shape

pytestmark = pytest.mark.gaia(requires=["kb"], core=True)

EXPERIENCE: Shape = {"id": TEXT, "name": TEXT, "type": TEXT, "description": TEXT}

PARTS: dict[str, Shape] = {
    "/api/v0.2/kb/status": {
        "service": equal("kb"),
        "status": equal("healthy"),
        "version": TEXT,
        "kb_enabled": FLAG,
    },
    "/agent/status": {
        "status": equal("success"),
        "agent_status": {
            "initialized": FLAG,
            "cache_entries": COUNT,
            "capabilities": some(TEXT),
            "supported_modes": some(TEXT),
        },
    },
    "/cache/stats": {"status": equal("success"), "cache": {"enabled": FLAG}},
    "/search/semantic/stats": {"status": TEXT, "message": TEXT, "enabled": FLAG},
    "/experience/list": {"experiences": each(TEXT)},
    "/game/experiences": {"success": equal(True), "experiences": each(EXPERIENCE)},
}


@pytest.mark.parametrize("path", PARTS)
async def test_a_part_reports_its_state(kb: HttpClient, path: str) -> None:
    shaped((await kb.get(path)).expect(200), PARTS[path])


@pytest.mark.parametrize("path", ["/git/status", "/sync/status"])
async def test_a_failure_is_reported_with_its_reason(kb: HttpClient, path: str) -> None:
    # Without a repository to synchronize with, these report a failure; the status of the response is 200 in any case.
    content = shaped((await kb.get(path)).expect(200), {"success": FLAG})
    if not content["success"]:
        shaped(await kb.get(path), {"error": TEXT})


async def test_semantic_search_is_on_or_disabled(kb: HttpClient) -> None:
    content = shaped((await kb.get("/search/semantic/stats")).expect(200), PARTS["/search/semantic/stats"])
    assert content["enabled"] == (content["status"] != "disabled")


async def test_every_protected_read_requires_a_key(kb: HttpClient) -> None:
    paths = (await kb.anonymous().get("/openapi.json")).expect(200).field("paths")
    protected = [path for path, methods in paths.items() if methods.get("get", {}).get("security") and "{" not in path]
    assert set(PARTS) <= set(protected)
    responses = {path: await kb.anonymous().get(path) for path in protected}
    assert [f"{path}: {response.status}" for path, response in responses.items() if response.status != 401] == []
