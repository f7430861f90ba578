"""With the API ``next`` the sandbox responds as the newest release was observed to respond, and as its documents describe."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

# It ships no types.
import jsonschema  # type: ignore[import-untyped]
import pytest

from pytest_gaia.run.sandbox import Sandbox
from tests.projects import gaia_platform
from tests.sandbox.contract.shapes import problems

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pytest_gaia.run.sandbox import Stack

    Ask = Callable[..., httpx.Response]

TABLE = json.loads(Path(__file__).with_name("next.json").read_text("utf-8"))
"""``rows`` as in ``table.json``, and ``documents``: service → number of operations, SHA-256 of its canonical JSON"""


@pytest.fixture(scope="module")
def newest() -> Iterator[Sandbox]:
    """Start a sandbox with the API of the newest release."""
    with Sandbox.start(gaia_platform(), api="next") as sandbox:
        yield sandbox


@pytest.fixture
def stack(newest: Sandbox) -> Iterator[Stack]:
    """Return its stack, without faults."""
    yield newest.stack("main")
    newest.heal("main")


@pytest.fixture(scope="module")
def ask() -> Iterator[Ask]:
    """Return a function that sends one request, such as ``GET /health``."""
    with httpx.Client(trust_env=False, timeout=10) as client:

        def send(stack: Stack, service: str, line: str, *, key: bool = True, body: object = None) -> httpx.Response:
            method, path = line.split(" ")
            headers = {"X-API-Key": stack.api_key} if key else {}
            return client.request(method, stack.urls[service] + path, headers=headers, json=body)

        yield send


@pytest.mark.parametrize("row", TABLE["rows"], ids=lambda row: f"{row['service']} {row['send']} {row['as']}")
def test_responses_as_observed(newest: Sandbox, ask: Ask, row: dict[str, Any]) -> None:
    # A new stack, because the observed one was new.
    stack = newest.stack("observed" if row["send"].startswith("GET") else "main")
    response = ask(stack, row["service"], row["send"], key=row["as"] == "key", body=row.get("body"))

    status, _, shape = row["full"]
    assert (response.status_code, response.headers["content-type"]) == (status, "application/json"), response.text
    assert problems(shape, response.json(), {}) == []


@pytest.mark.parametrize("service", TABLE["documents"])
def test_the_documents_are_the_observed_ones(stack: Stack, ask: Ask, service: str) -> None:
    document = ask(stack, service, "GET /openapi.json", key=False).json()

    canonical = json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
    count = sum(len(operations) for operations in document["paths"].values())
    assert [count, hashlib.sha256(canonical).hexdigest()] == TABLE["documents"][service]


VALUES = {
    "message": "Mu",
    "path": "/a.md",
    "old_path": "/a.md",
    "new_path": "/b.md",
    "role": "user",
    "content": "Hello",
}


def example(schema: dict[str, Any]) -> dict[str, object]:
    """Return a body with the required properties, which are texts and objects."""
    types = {"string": "x", "object": {}}
    properties = {name: schema["properties"][name] for name in schema.get("required", ())}
    return {name: VALUES.get(name, types.get(each.get("type"), "image")) for name, each in properties.items()}


@pytest.mark.parametrize("service", TABLE["documents"])
def test_every_operation_responds_as_documented(newest: Sandbox, ask: Ask, service: str) -> None:
    stack = newest.stack("documented")
    document = ask(stack, service, "GET /openapi.json").json()
    made = ask(stack, "chat", "POST /conversations", body={"title": "One"}).json()["id"]
    persona = ask(stack, "chat", "GET /personas/current").json()["persona"]["id"]
    found: dict[str, int] = {}
    for path, operations in sorted(document["paths"].items(), key=lambda each: "delete" in each[1]):
        for method, operation in sorted(operations.items(), key=lambda each: each[0] == "delete"):
            filled = path.replace("{conversation_id}", made).replace("{persona_id}", persona)
            required = [
                each for each in operation.get("parameters", ()) if each["in"] == "query" and each.get("required")
            ]
            query = "&".join(f"{each['name']}=1" for each in required)
            body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
            content = None if body is None else example(resolved(body, document))
            rule = f"{method.upper()} {path}"
            response = ask(stack, service, f"{method.upper()} {filled}?{query}", body=content)
            found[rule] = response.status_code
            described = operation["responses"].get(str(response.status_code), {}).get("content", {})
            if response.is_success and described:
                schema = {**described["application/json"]["schema"], "components": document["components"]}
                jsonschema.validate(response.json(), schema)
    assert {rule: status for rule, status in found.items() if status >= 500} == {
        rule: 503 for rule in found if rule in NOT_IMPLEMENTED
    }
    assert not {rule for rule, status in found.items() if status in (401, 403, 405, 307)}
    assert {rule for rule, status in found.items() if rule.startswith("GET") and status != 200} <= MISSING


MISSING = {
    f"GET {path}" for path in ("/api/v1/filesystem", "/api/v1/assets/{asset_id}", "/experience/info/{experience_id}")
}
NOT_IMPLEMENTED = (
    "POST /internal/service-token",
    "POST /agent/interpret",
    "POST /agent/workflow",
    "POST /agent/validate",
    "POST /game/command",
    "POST /game/test/simple-command",
    "POST /experience/interact",
    "POST /experience/{experience}/quest/state",
    "POST /experience/{experience}/npc/accept_item",
    "POST /experience/{experience}/quest/reward",
)


def resolved(schema: dict[str, Any], document: dict[str, Any]) -> dict[str, Any]:
    """Return the schema that a reference names."""
    name = schema.get("$ref", "").rpartition("/")[2]
    found: dict[str, Any] = document["components"]["schemas"][name] if name else {"properties": {}}
    return found
