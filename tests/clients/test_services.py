"""The client of a service: its own URL, the route through the gateway, or a reason for having none."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest

from pytest_gaia.clients.http.services import through_gateway
from pytest_gaia.errors import NotApplicable, WriteRefused
from tests.clients.conftest import environment
from tests.clients.peers import always, peer

if TYPE_CHECKING:
    from tests.clients.conftest import Connect


@pytest.mark.parametrize(
    ("service", "path", "route"),
    [
        ("gateway", "/anything", "/anything"),
        ("auth", "/auth/validate", "/api/v1/auth/validate"),
        ("auth", "/auth/login", "/api/v1/auth/login"),
        ("asset", "/api/v1/assets", "/api/v1/assets"),
        ("asset", "/api/v1/assets/{asset_id}", "/api/v1/assets/{asset_id}"),
        ("asset", "/api/v1/assets/7f", "/api/v1/assets/7f"),
        ("chat", "/chat/", "/api/v1/chat"),
        ("chat", "/chat/status", "/api/v1/chat/status"),
        ("chat", "/api/v0.2/providers/", "/api/v0.2/providers"),
        ("chat", "/api/v0.2/providers/{provider}/models", "/api/v0.2/providers/{provider}/models"),
        ("chat", "/api/v0.2/providers/health", "/api/v0.2/providers/health"),
        ("chat", "/api/v0.2/personas/7?x=1", "/api/v0.2/personas/7?x=1"),
        ("chat", "/api/v0.2/chat", "/api/v0.2/chat"),
        ("chat", "/api/v0.2/chat/stream", "/api/v0.2/chat/stream"),
    ],
)
def test_a_path_of_a_service_is_found_at_the_gateway(service: str, path: str, route: str) -> None:
    assert through_gateway(service, path) == route


@pytest.mark.parametrize(
    ("service", "path"),
    [
        ("auth", "/health"),
        ("auth", "/status"),
        ("auth", "/internal/validate"),
        ("auth", "/auth/logout"),
        ("asset", "/health"),
        ("asset", "/"),
        ("asset", "/api/v1/assets/"),
        ("asset", "/api/v1/assets/request"),
        ("chat", "/health"),
        ("chat", "/chat/multi-provider"),
        ("chat", "/api/v0.2/providers/health/check"),
        ("chat", "/api/v0.2/nope"),
        ("chat", "/api/v0.2/chatter"),
    ],
)
def test_a_path_without_a_route_is_not_invented(service: str, path: str) -> None:
    assert through_gateway(service, path) is None


async def test_a_service_without_a_url_is_reached_through_the_gateway(connect: Connect) -> None:
    async with peer(always(200, {})) as server:
        auth = connect({"gateway": server.url}).http("auth")
        answered = await auth.post("/auth/validate", json={})
    assert server.received[0].target == "/api/v1/auth/validate"
    exchange = answered.exchange
    assert (exchange.service, exchange.via, exchange.route) == ("auth", "gateway", "/api/v1/auth/validate")
    assert auth.base_url == server.url


async def test_a_safe_post_is_checked_by_the_path_that_is_sent(connect: Connect) -> None:
    async with peer(always(200, {})) as server:
        clients = connect({"gateway": server.url}, permitted=False, safe_posts=("/api/v1/auth/validate",))
        assert (await clients.http("auth").post("/auth/validate", json={})).status == 200


@pytest.mark.parametrize(("listed", "goes"), [("/auth/validate", False), ("auth:/auth/validate", True)])
async def test_a_safe_post_of_the_gateway_is_not_safe_for_a_service_at_its_own_url(
    connect: Connect, listed: str, goes: bool
) -> None:
    async with peer(always(200, {})) as server:
        urls = {"gateway": "http://127.0.0.1:1", "auth": server.url}
        auth = connect(urls, permitted=False, safe_posts=(listed,)).http("auth")
        with contextlib.nullcontext() if goes else pytest.raises(WriteRefused, match="POST /auth/validate to auth"):
            await auth.post("/auth/validate", json={})
    assert len(server.received) == goes


async def test_a_path_that_the_gateway_does_not_have_is_not_applicable(connect: Connect) -> None:
    asset = connect({"gateway": "http://127.0.0.1:1"}, name="local").http("asset")
    with pytest.raises(NotApplicable) as caught:
        await asset.get("/health")
    assert str(caught.value) == "asset has no URL of its own in local, and the gateway has no route for GET /health"


async def test_a_service_with_a_url_is_asked_directly(connect: Connect) -> None:
    async with peer(always(200, {})) as gateway, peer(always(200, {})) as auth:
        answered = await connect({"gateway": gateway.url, "auth": auth.url}).http("auth").get("/status")
    assert (len(gateway.received), len(auth.received)) == (0, 1)
    assert answered.exchange.via == "direct"


async def test_services_behind_one_url_share_their_connections(connect: Connect) -> None:
    async with peer(always(200, {})) as server:
        clients = connect({"gateway": server.url})
        await clients.http("gateway").get("/x")
        await clients.http("chat").get("/api/v0.2/providers/")
        assert clients.http("chat") is clients.http("chat")
    assert server.connections == 1


async def test_a_service_that_the_environment_does_not_run_is_not_applicable(connect: Connect) -> None:
    clients = connect({"gateway": "http://h"}, name="staging", services=("gateway",), topology="gateway-only")
    with pytest.raises(NotApplicable, match=r"staging \(gateway-only\) has no chat service"):
        clients.http("chat")


async def test_an_environment_without_any_url_reports_it(connect: Connect) -> None:
    with pytest.raises(NotApplicable, match="has no URL for chat and none for the gateway"):
        connect({}).http("chat")


async def test_an_unknown_service_gets_the_nearest_name(connect: Connect) -> None:
    with pytest.raises(ValueError, match="did you mean gateway"):
        connect({}).http("gatway")


def test_the_environment_of_these_tests_holds_a_key_that_does_not_show() -> None:
    assert "key-of-the-environment" not in repr(environment())
