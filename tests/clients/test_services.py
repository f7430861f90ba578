"""The client of a service: its own URL, the route through the gateway, or a reason for having none."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import pytest

from pytest_gaia.config.platform import Operation, Platform, Service
from pytest_gaia.config.services import AuthTable, PlatformTable, ServiceTable, TimeoutTable, platform_of
from pytest_gaia.errors import DeadlineExceeded, NotApplicable, WriteRefused
from pytest_gaia.secrets.masks import Secret
from tests.clients.conftest import environment
from tests.clients.peers import always, peer, silent
from tests.projects import gaia_platform

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
    assert gaia_platform().route(service, path) == route


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
    assert gaia_platform().route(service, path) is None


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
        clients = connect({"gateway": server.url}, permitted=False)
        assert (await clients.http("auth").post("/auth/validate", json={})).status == 200


@pytest.mark.parametrize(("service", "goes"), [("asset", False), ("auth", True)])
async def test_a_safe_post_of_one_service_is_not_safe_for_another_at_its_own_url(
    connect: Connect, service: str, goes: bool
) -> None:
    async with peer(always(200, {})) as server:
        client = connect({"gateway": "http://127.0.0.1:1", service: server.url}, permitted=False).http(service)
        refused = pytest.raises(WriteRefused, match=f"POST /auth/validate to {service}")
        with contextlib.nullcontext() if goes else refused:
            await client.post("/auth/validate", json={})
    assert len(server.received) == goes


async def test_a_path_that_the_gateway_does_not_have_is_not_applicable(connect: Connect) -> None:
    asset = connect({"gateway": "http://127.0.0.1:1"}, name="local").http("asset")
    with pytest.raises(NotApplicable) as caught:
        await asset.get("/health")
    assert str(caught.value) == "asset has no URL of its own in local, and gateway has no route for GET /health"


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
    clients = connect({"gateway": "http://h"}, name="staging", services=("gateway",))
    with pytest.raises(NotApplicable, match=r"^staging has no chat service$"):
        clients.http("chat")


async def test_an_environment_without_any_url_names_the_variable(connect: Connect) -> None:
    with pytest.raises(NotApplicable, match=r"^no URL of chat is configured for dev: set GAIA_DEV_CHAT_URL$"):
        connect({}, name="dev").http("chat")


SHOP = platform_of(
    PlatformTable(name="shop"),
    {
        "web": ServiceTable(),
        "orders": ServiceTable(
            via="web",
            routes={"/orders/*": "/api/orders/*"},
            auth=AuthTable(secret="TOKEN", header="X-Shop", scheme="Bearer"),
        ),
        "slow": ServiceTable(timeouts=TimeoutTable(response=0.3)),
        "bank": ServiceTable(external=True, auth=AuthTable(secret="KEY", header="X-Bank")),
        "post": ServiceTable(external=True),
        "cache": ServiceTable(kind="redis"),
    },
)


def shop(**values: Any) -> dict[str, Any]:
    """Settings of an environment of another project, with a credential for each service."""
    credentials = {"orders.token": Secret("orders-credential"), "bank.key": Secret("bank-credential")}
    return {"platform": SHOP, "services": SHOP.names, "required": (), "credentials": credentials, **values}


async def test_each_service_gets_its_own_credential_in_its_own_header(connect: Connect) -> None:
    async with peer(always(200, {})) as server:
        urls = dict.fromkeys(("web", "orders", "bank"), server.url)
        clients = connect(urls, **shop(api_key=Secret("general-key")))
        orders, bank = clients.http("orders"), clients.http("bank")
        for client in (clients.http("web"), orders, bank, orders.with_key("other-key"), orders.as_user("a-user")):
            await client.get("/x")
        answered = await bank.anonymous().get("/x")
        masked = bank.exchanges[0].request.headers["x-bank"]

    names = ("x-api-key", "x-shop", "x-bank", "authorization")
    sent = [
        [headers[name] for name in names if name in headers] for headers in (each.headers for each in server.received)
    ]
    assert sent == [
        ["general-key"],
        ["Bearer orders-credential"],
        ["bank-credential"],
        ["Bearer other-key"],
        ["Bearer a-user"],
        [],
    ]
    assert "bank-credential" not in masked
    assert "x-bank" not in answered.exchange.request.headers


async def test_an_external_service_never_gets_a_credential_of_the_environment(connect: Connect) -> None:
    async with peer(always(200, {})) as server:
        clients = connect({"post": server.url}, **shop(api_key=Secret("general-key"), token=Secret("general-token")))
        await clients.http("post").get("/x")
    assert "general" not in str(server.received[0].headers)


async def test_a_service_behind_another_one_gets_the_credential_of_that_one(connect: Connect) -> None:
    async with peer(always(200, {})) as server:
        answered = (
            await connect({"web": server.url}, **shop(api_key=Secret("general-key"))).http("orders").get("/orders/7")
        )
    assert server.received[0].target == "/api/orders/7"
    assert server.received[0].headers["x-api-key"] == "general-key"
    assert (answered.exchange.service, answered.exchange.via) == ("orders", "web")


async def test_a_service_has_its_own_timeouts(connect: Connect) -> None:
    async with silent() as port:
        clients = connect({"slow": f"http://127.0.0.1:{port}"}, **shop())
        with pytest.raises(DeadlineExceeded, match=r"no response within 0\.3 s[\s\S]*\[services\.slow\.timeouts\]"):
            await clients.http("slow").get("/x")


@pytest.mark.parametrize(
    ("service", "reason"),
    [
        ("web", "the sandbox does not run web; add `command` to [services.web.sandbox] of gaia.toml"),
        ("bank", "the sandbox does not run bank, which is an external service"),
    ],
)
async def test_a_service_that_the_sandbox_does_not_run_names_the_key(
    connect: Connect, service: str, reason: str
) -> None:
    with pytest.raises(NotApplicable) as caught:
        connect({}, **shop(sandbox=True)).http(service)
    assert str(caught.value) == reason


async def test_a_service_whose_url_is_disabled_names_the_source(connect: Connect) -> None:
    given = shop(disabled=frozenset({"cache"}), sources={"urls.cache": "gaia.toml:7"})
    with pytest.raises(NotApplicable, match=r"has no redis service cache: its URL is disabled \(gaia\.toml:7\)"):
        connect({}, **given).redis("cache")


async def test_an_unknown_service_gets_the_nearest_name(connect: Connect) -> None:
    with pytest.raises(ValueError, match="did you mean gateway"):
        connect({}).http("gatway")


def test_the_environment_of_these_tests_holds_a_key_that_does_not_show() -> None:
    assert "key-of-the-environment" not in repr(environment())


async def test_what_a_service_lists_as_unsafe_stays_unsafe_through_another_one(connect: Connect) -> None:
    inner = Service(
        "inner",
        via="web",
        routes={"/danger": "/gw/danger", "/x/*": "/gw/x/*"},
        unsafe=(Operation.of("GET /danger"), Operation.of("GET /x/{id}/confirm")),
    )
    platform = Platform({"web": Service("web"), "inner": inner}, entry="web")
    given: dict[str, Any] = {"platform": platform, "services": platform.names, "required": ("web",), "writes": False}
    async with peer(always(200, {})) as server:
        through = connect({"web": server.url}, permitted=False, **given).http("inner")
        for path in ("/danger", "/x/7/confirm"):
            with pytest.raises(WriteRefused, match=r"`unsafe` of \[services\.inner\] lists it"):
                await through.get(path)
        for path in ("/x/../danger", "/x/%2e%2e/danger"):
            with pytest.raises(NotApplicable):
                await through.get(path)
        await through.get("/x/7")

    assert [request.target for request in server.received] == ["/gw/x/7"]
