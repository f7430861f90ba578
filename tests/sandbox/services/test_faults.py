"""The effect of each kind of fault, the requests that it applies to, and errors for invalid faults."""

from __future__ import annotations

import asyncio
import time
import uuid
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from pytest_gaia.errors import ConfigError
from pytest_gaia.sandbox._services import Faults
from pytest_gaia.sandbox._services.faults import set_field
from pytest_gaia.sandbox.directories import REFERENCES
from tests.sandbox.services.platform import events_of

if TYPE_CHECKING:
    from tests.sandbox.services.platform import Platform

V02 = "/api/v0.2"
PROVIDERS = f"GET {V02}/providers"
STREAM = f"POST {V02}/chat/stream"
HELLO = {"message": "hello"}


async def test_slow_responds_late(platform: Platform) -> None:
    platform.fault("gateway", "slow", delay=0.15)
    start = time.monotonic()

    await platform.content(PROVIDERS)

    assert time.monotonic() - start >= 0.15


async def test_hang_responds_only_when_healed(platform: Platform) -> None:
    platform.fault("gateway", "hang")
    request = asyncio.ensure_future(platform.ask(PROVIDERS))

    done, _ = await asyncio.wait([request], timeout=0.1)
    await asyncio.to_thread(platform.sandbox.heal, platform.stack.name)

    assert not done
    assert (await request).status_code == 200


async def test_status_responds_with_that_status_and_body(platform: Platform) -> None:
    platform.fault("gateway", "status", status=418, body={"detail": "teapot"})
    response = await platform.ask(PROVIDERS)

    assert (response.status_code, response.json()) == (418, {"detail": "teapot"})


async def test_status_of_a_service_comes_through_the_gateway(platform: Platform) -> None:
    platform.fault("chat", "status", status=502)
    response = await platform.ask(PROVIDERS)

    assert (response.status_code, "Service error" in response.text) == (502, True)


async def test_reset_breaks_the_connection(platform: Platform) -> None:
    platform.fault("gateway", "reset")

    with pytest.raises(httpx.ReadError):
        await platform.ask(PROVIDERS)


async def test_reset_of_a_service_makes_it_unavailable(platform: Platform) -> None:
    platform.fault("chat", "reset")
    response = await platform.ask(PROVIDERS)

    assert (response.status_code, response.json()) == (503, {"detail": "Service chat unavailable"})


async def test_reset_before_a_stream_gives_no_events(platform: Platform) -> None:
    platform.fault("chat", "reset")
    response = await platform.ask(STREAM, json=HELLO)

    assert (response.status_code, events_of(response)) == (200, [])


@pytest.mark.parametrize("service", ["gateway", "chat"])
async def test_drop_removes_the_field(platform: Platform, service: str) -> None:
    platform.fault(service, "drop", field="providers.*.health")
    content = await platform.content(PROVIDERS)

    assert [("health" in one, "status" in one) for one in content["providers"]] == [(False, True)] * 2


@pytest.mark.parametrize(("field", "value"), [("total_providers", 99), ("providers.0.id", "nobody"), ("extra", None)])
async def test_set_changes_the_field(platform: Platform, field: str, value: object) -> None:
    platform.fault("chat", "set", field=field, value=value)
    found: Any = await platform.content(PROVIDERS)

    for key in field.split("."):
        found = found[int(key)] if key.isdigit() else found[key]
    assert found == value


@pytest.mark.parametrize(("kind", "count"), [("shorten", 1), ("double", 4)])
async def test_lists_are_shortened_and_doubled(platform: Platform, kind: str, count: int) -> None:
    platform.fault("chat", kind, field="providers")
    content = await platform.content(PROVIDERS)

    assert (len(content["providers"]), content["total_providers"]) == (count, 2)


async def test_a_header_is_replaced(platform: Platform) -> None:
    platform.fault("gateway", "header", name="Content-Type", value="text/plain")
    response = await platform.ask(PROVIDERS)

    assert response.headers.get_list("content-type") == ["text/plain"]
    assert response.json()["total_providers"] == 2


async def test_a_stale_response_is_the_first_one_with_its_url(platform: Platform) -> None:
    platform.fault("gateway", "stale", route="/health")
    responses = [(await platform.ask(f"GET /health{query}")).text for query in ("", "", "?other")]

    assert responses[0] == responses[1] != responses[2]


@pytest.mark.parametrize("value", [2, 2.0, True, "claude", [], {}, None])
def test_a_different_value_replaces_one_that_is_equal(value: object) -> None:
    content: Any = {"field": value, "items": [{"field": value}, {"field": "x"}]}

    set_field(content, ["field"], value, different=True)
    set_field(content, ["items", "*", "field"], value, different=True)
    set_field(content, ["added"], value, different=True)

    found = [content["field"], *(each["field"] for each in content["items"]), content["added"]]
    assert [each == value for each in found] == [False, False, True, True]


async def test_drop_and_set_reach_into_events(platform: Platform) -> None:
    platform.fault("chat", "drop", field="reasoning")
    platform.fault("chat", "set", field="provider", value="nobody")
    events = events_of(await platform.ask(STREAM, json=HELLO))

    assert all("reasoning" not in event for event in events[:-1])
    assert events[2]["provider"] == "nobody"
    assert events[-1] == "[DONE]"


async def test_noop_responds_and_writes_nothing(platform: Platform) -> None:
    name = f"noop-{uuid.uuid4()}"
    platform.fault("chat", "noop", route=f"{V02}/personas", method="post")
    made = await platform.content(f"POST {V02}/personas", json={"name": name, "description": "d", "system_prompt": "s"})

    assert made["persona"]["name"] == name
    assert await platform.rows("SELECT FROM personas WHERE name = $1", name) == []


async def test_noop_keeps_the_history(platform: Platform) -> None:
    user = platform.bearer()
    await platform.content(f"POST {V02}/chat", json=HELLO, headers=user)
    platform.fault("chat", "noop", method="DELETE")

    cleared = await platform.content(f"DELETE {V02}/chat/history", headers=user)

    assert cleared["status"] == "success"
    assert (await platform.content(f"GET {V02}/chat/status", headers=user))["message_count"] == 2


async def test_noop_keeps_an_asset_from_being_stored(platform: Platform) -> None:
    platform.fault("asset", "noop")
    description = f"noop-{uuid.uuid4()}"
    wish = {"category": "prop", "style": "s", "description": description}
    response = await platform.ask("POST /api/v1/assets/request", service="asset", json=wish)

    assert (response.status_code, response.json()["status"]) == (200, "pending")
    assert await platform.rows("SELECT FROM assets WHERE description = $1", description) == []


async def test_accept_any_key_lets_everybody_through_the_gateway(platform: Platform) -> None:
    platform.fault("gateway", "accept_any_key")

    assert (await platform.ask(PROVIDERS, headers={"X-API-Key": "wrong"})).status_code == 200
    assert (await platform.ask(PROVIDERS, headers={"X-API-Key": ""})).status_code == 401


async def test_accept_any_key_makes_any_key_valid(platform: Platform) -> None:
    platform.fault("auth", "accept_any_key")

    assert (await platform.content("POST /api/v1/auth/validate", json={"api_key": "wrong"}))["valid"] is True


async def test_sse_truncate_ends_the_stream_early(platform: Platform) -> None:
    platform.fault("chat", "sse_truncate", after=2)
    events = events_of(await platform.ask(STREAM, json=HELLO))

    assert [event["type"] for event in events] == ["start", "ready"]


async def test_sse_reorder_moves_an_event(platform: Platform) -> None:
    platform.fault("chat", "sse_reorder", move="metadata", before="content")
    events = events_of(await platform.ask(STREAM, json=HELLO))

    kinds = [event["type"] for event in events[:-1]]
    assert kinds == ["start", "ready", "model_selection", "metadata", *["content"] * 3, "complete"]


async def test_times_uses_a_fault_up(platform: Platform) -> None:
    platform.fault("gateway", "status", status=500, times=2)
    statuses = [(await platform.ask(PROVIDERS)).status_code for _ in range(3)]

    assert statuses == [500, 500, 200]


@pytest.mark.parametrize(
    ("route", "met"),
    [
        (f"{V02}/providers", {f"{V02}/providers"}),
        (f"{V02}/providers/", {f"{V02}/providers"}),
        (f"{V02}/models/{{model_id}}", {f"{V02}/models/gpt-4o"}),
        (f"{V02}/models/*", {f"{V02}/models", f"{V02}/models/gpt-4o"}),
        (None, {f"{V02}/providers", f"{V02}/models", f"{V02}/models/gpt-4o"}),
    ],
)
async def test_route_selects_which_requests_meet_the_fault(
    platform: Platform, route: str | None, met: set[str]
) -> None:
    platform.fault("gateway", "status", status=418, route=route)
    paths = [f"{V02}/providers", f"{V02}/models", f"{V02}/models/gpt-4o"]

    assert {path for path in paths if (await platform.ask(f"GET {path}")).status_code == 418} == met


async def test_method_selects_which_requests_meet_the_fault(platform: Platform) -> None:
    platform.fault("gateway", "status", status=418, method="delete")

    assert (await platform.ask(f"GET {V02}/personas")).status_code == 200
    assert (await platform.ask(f"DELETE {V02}/chat/history")).status_code == 418


async def test_fault_of_one_stack_is_not_that_of_another(platform: Platform) -> None:
    platform.fault("gateway", "status", status=418)
    other = platform.sandbox.stack("other")

    assert (await platform.client.get(f"{other.urls['gateway']}/health")).status_code == 200


async def test_healed_platform_responds_as_before(platform: Platform) -> None:
    platform.fault("gateway", "status", status=418)
    platform.fault("chat", "stop")
    platform.sandbox.heal(platform.stack.name)

    assert (await platform.ask(PROVIDERS)).status_code == 200


@pytest.mark.parametrize(
    ("service", "kind", "arguments", "message"),
    [
        ("asst", "slow", {}, "A fault is for one of the services, not 'asst': did you mean asset?"),
        ("nats", "slow", {}, "A fault is for one of the services, not 'nats'"),
        ("chat", "slwo", {}, "Unknown kind of fault 'slwo': did you mean slow?"),
        ("chat", "slow", {"dealy": 1}, "Fault slow has no argument 'dealy': did you mean delay?"),
        ("chat", "slow", {"rout": "/"}, "Fault slow has no argument 'rout': did you mean route?"),
        ("chat", "slow", {"delay": "long"}, "Fault slow: delay must be float, not 'long'."),
        ("chat", "status", {"status": True}, "Fault status: status must be int, not True."),
        ("chat", "drop", {}, "Fault drop needs field."),
        ("chat", "set", {}, "Fault set needs field and value."),
        ("chat", "hang", {"times": 0}, "Fault hang: times must be at least 1, not 0."),
        ("chat", "hang", {"times": "2"}, "Fault hang: times must be int, not '2'."),
        ("chat", "hang", {"route": 7}, "Fault hang: route must be str, not 7."),
        ("gateway", "noop", {}, "Fault noop: gateway writes nothing itself; inject the fault into chat or asset."),
    ],
)
def test_usage_error_is_named(service: str, kind: str, arguments: dict[str, Any], message: str) -> None:
    faults = Faults(REFERENCES["current"])

    with pytest.raises(ConfigError) as error:
        faults.add(service, kind, **arguments)

    assert str(error.value).startswith(message)
    assert len(faults) == 0


def test_arguments_that_are_none_are_the_defaults() -> None:
    faults = Faults(REFERENCES["current"])
    faults.add("chat", "slow", route=None, method=None, times=None)

    [fault] = faults.take("chat", "GET", "/anything")
    assert fault.arguments == {"delay": 0.5}


def test_used_up_faults_do_not_count() -> None:
    faults = Faults(REFERENCES["current"])
    faults.add("chat", "hang", times=1)
    before = len(faults)
    faults.take("chat", "GET", "/")

    assert (before, len(faults)) == (1, 0)
