"""The services of the newest release: conversations, validation, the knowledge base, pages and faults."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_gaia.errors import ConfigError

if TYPE_CHECKING:
    from tests.sandbox.services.platform import Platform

V1 = "/api/v1"
V03 = "/api/v0.3"


async def test_a_conversation_is_stored_for_its_user_and_in_both_apis(newest: Platform) -> None:
    made = (await newest.ask(f"POST {V1}/conversations", json={"title": "Tea"})).json()
    short = await newest.content(f"GET {V03}/conversations")
    one = await newest.content(f"GET {V1}/conversations/{made['id']}")
    rows = await newest.rows("SELECT title FROM conversations WHERE id::text = $1", made["id"])

    assert {"conversation_id": made["id"], "title": "Tea", "created_at": made["created_at"]} in short["conversations"]
    assert (one, [row["title"] for row in rows]) == (made, ["Tea"])
    other = newest.bearer()
    assert (await newest.content(f"GET {V1}/conversations", headers=other)) == {"conversations": []}
    assert (await newest.ask(f"GET {V1}/conversations/{made['id']}", headers=other)).status_code == 404

    assert (await newest.ask(f"DELETE {V1}/conversations/{made['id']}")).status_code == 200
    gone = await newest.ask(f"GET {V1}/conversations/{made['id']}")
    assert (gone.status_code, gone.json()) == (404, {"detail": "Not found"})


async def test_a_chat_is_kept_in_its_conversation(newest: Platform) -> None:
    first = await newest.content(f"POST {V03}/chat", json={"message": "one"})
    again = {"message": "two", "conversation_id": first["conversation_id"]}
    second = await newest.content(f"POST {V1}/chat", json=again)
    told = await newest.content(f"GET {V1}/conversations/{first['conversation_id']}/messages")

    assert second["conversation_id"] == first["conversation_id"]
    assert [(each["role"], each["content"]) for each in told["messages"]] == [
        ("user", "one"),
        ("assistant", first["response"]),
        ("user", "two"),
        ("assistant", second["response"]),
    ]
    counted = await newest.content("GET /conversations/stats", service="chat")
    assert counted["total_messages"] >= 4


@pytest.mark.parametrize(
    ("service", "request_line", "content", "problem"),
    [
        ("kb", "POST /search", {}, ["missing", ["body", "message"], {}]),
        ("kb", "POST /search", {"message": 1}, ["string_type", ["body", "message"], 1]),
        ("kb", "POST /write", {"path": "/a", "content": "", "message": "", "validate_content": 2}, ["bool_type", ["body", "validate_content"], 2]),
        ("auth", "POST /auth/confirm", {"token": "t"}, ["missing", ["body", "email"], {"token": "t"}]),
        ("asset", "POST /assets/request", {"category": "x", "style": "", "description": ""}, ["enum", ["body", "category"], "x"]),
        ("gateway", f"GET {V03}/locations/nearby?gps=1&radius=0", None, ["greater_than_equal", ["query", "radius"], "0"]),
        ("gateway", f"GET {V03}/locations/nearby?gps=1&radius=x", None, ["int_parsing", ["query", "radius"], "x"]),
        ("chat", "GET /personas/?active_only=2", None, ["bool_parsing", ["query", "active_only"], "2"]),
        ("auth", "POST /auth/api-key-login", None, ["missing", ["header", "X-API-Key"], None]),
    ],
)  # fmt: skip
async def test_a_request_is_validated_by_the_document(
    newest: Platform, service: str, request_line: str, content: object, problem: list[object]
) -> None:
    if problem[1] == ["header", "X-API-Key"]:
        newest.client.headers.pop("X-API-Key")
    response = await newest.ask(request_line, service=service, json=content)

    assert response.status_code == 422
    (found,) = response.json()["detail"]
    assert [found["type"], found["loc"], found["input"]] == problem


async def test_the_knowledge_base_finds_what_was_written(newest: Platform) -> None:
    text = {"path": "guides/tea.md", "content": "# Tea\nThree minutes.", "message": "Add tea"}
    await newest.content("POST /write", service="kb", json=text)
    found = await newest.content("POST /search", service="kb", json={"message": "three minutes"})
    listed = await newest.content("POST /list", service="kb", json={"message": "/guides"})
    read = await newest.content("POST /read", service="kb", json={"message": "/guides/tea.md"})
    await newest.content("DELETE /delete", service="kb", json={"path": "/guides/tea.md", "message": "Remove tea"})
    again = await newest.content("POST /search", service="kb", json={"message": "three minutes"})

    assert (found["metadata"]["total_results"], again["metadata"]["total_results"]) == (1, 0)
    assert "/guides/tea.md" in found["response"]
    assert "/guides/tea.md" in listed["response"]
    assert read["response"] == text["content"]


async def test_the_pages_are_html_without_a_document(newest: Platform) -> None:
    for path in ("/", "/login", "/health"):
        page = await newest.ask(f"GET {path}", service="web")
        assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
        assert "<h1>" in page.text
    assert (await newest.ask("GET /openapi.json", service="web")).status_code == 404


async def test_a_route_of_the_release_before_is_gone(newest: Platform) -> None:
    for path in ("/api/v0.2/personas", "/api/v0.2/providers", "/api/v1/chat/status"):
        response = await newest.ask(f"GET {path}")
        assert (response.status_code, response.json()) == (404, {"detail": "Not Found"})


async def test_a_service_can_break_and_the_gateway_reports_it(newest: Platform) -> None:
    name = newest.stack.name
    newest.sandbox.fault(name, "kb", "stop")
    health = await newest.content("GET /health")
    assert (health["status"], health["services"]["kb"]["status"]) == ("degraded", "unhealthy")
    newest.sandbox.heal(name)

    newest.sandbox.fault(name, "kb", "status", route="/search", status=502)
    newest.sandbox.fault(name, "chat", "drop", route="/conversations", field="conversations.*.title")
    assert (await newest.ask("POST /search", service="kb", json={"message": "x"})).status_code == 502
    listed = await newest.content("GET /conversations", service="chat")
    assert all("title" not in each for each in listed["conversations"])
    newest.sandbox.heal(name)
    assert (await newest.content("GET /health"))["status"] == "healthy"


async def test_the_release_before_has_no_knowledge_base(platform: Platform) -> None:
    assert "kb" not in platform.stack.urls
    with pytest.raises(ConfigError, match="A fault is for one of the services, not 'kb'"):
        platform.sandbox.fault(platform.stack.name, "kb", "hang")
