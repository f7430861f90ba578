"""Capabilities are probed with the same requests as in tests."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from pytest_gaia.config.environment import Environment
from pytest_gaia.config.platform import Auth, Operation, Platform, Service
from pytest_gaia.config.project import Project
from pytest_gaia.config.resolve import Options, resolve
from pytest_gaia.expectations.subjects import Observed
from pytest_gaia.observation.readiness import UNREACHABLE, ServiceState
from pytest_gaia.observation.targets import ABSENT, VIA
from pytest_gaia.run.sandbox import Sandbox, bind
from pytest_gaia.secrets.masks import Secret
from tests.observation.scripted import Says, observe
from tests.plugin.conftest import server
from tests.projects import ON_GAIA, gaia_environment, gaia_platform

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.observation.scripted import ScriptedService
    from tests.plugin.conftest import ScriptedServer

__all__ = ["server"]


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ({"api_key": Secret("a key"), "token": Secret("a token")}, "a key"),
        ({"token": Secret("a token")}, "Bearer a token"),
        ({}, None),
    ],
    ids=["key", "token", "nobody"],
)
def test_a_service_is_asked_with_what_the_clients_send(
    server: ScriptedServer, given: dict[str, Any], sent: str | None
) -> None:
    environment = gaia_environment("staging", urls={"gateway": server.url}, **given)

    observe(environment, [ServiceState("gateway", "ready")])

    assert len(server.seen) == 3
    assert server.identities == {sent}


READY = ServiceState("gateway", "ready")
ELSEWHERE = "http://127.0.0.1:1/health"


@pytest.mark.parametrize(
    ("status", "body", "shown"),
    [
        (200, {"status": "healthy"}, "there"),
        (404, {"detail": 'Service error: {"detail":"Not Found"}'}, "there"),
        (500, {"detail": "Service error: no"}, "there"),
        (503, {"detail": "Service chat unavailable"}, "down"),
        (503, {"detail": "Service asset unavailable"}, "unknown"),
        (404, {"detail": "Not Found"}, "unknown"),
        (404, {"detail": "Service chat unavailable"}, "unknown"),
        (401, {"detail": "Not authenticated. Provide a valid JWT or API Key."}, "unknown"),
        (403, {"detail": "Could not validate credentials"}, "unknown"),
        (405, {"detail": "Method Not Allowed"}, "unknown"),
        (422, {"detail": [{"type": "missing"}]}, "unknown"),
        (429, {"detail": "Too many requests"}, "unknown"),
        (500, {"detail": "Internal server error"}, "unknown"),
        (502, None, "unknown"),
        (200, "a page of whatever is in front of the gateway", "unknown"),
        (307, {"detail": "Service error: moved"}, "there"),
        (307, {"status": "healthy"}, "unknown"),
    ],
)
def test_only_a_response_that_the_service_made_shows_that_it_is_there(
    serve: Callable[..., ScriptedService], status: int, body: object, shown: str
) -> None:
    gateway = serve(Says(status, body, {"Location": ELSEWHERE}))
    environment = gaia_environment("staging", urls={"gateway": gateway.url}, api_key=Secret("k"))

    seen = observe(environment, [READY])

    assert ("chat" in seen.capabilities, "chat" in seen.unknown) == (shown == "there", shown == "unknown")
    assert "auth" in seen.unknown
    assert gateway.asked == 2


@pytest.mark.parametrize(
    ("state", "capable", "unknown"),
    [("ready", True, False), (UNREACHABLE, False, False), (f"{VIA}gateway", False, True)],
)
def test_where_the_gateway_shows_nothing_a_services_own_response_counts(
    serve: Callable[..., ScriptedService], state: str, capable: bool, unknown: bool
) -> None:
    environment = gaia_environment("staging", urls={"gateway": serve(Says(404, {"detail": "Not Found"})).url})

    for gateway in (READY, ServiceState("gateway", UNREACHABLE)):
        seen = observe(environment, [gateway, ServiceState("chat", state)])
        assert ("chat" in seen.capabilities, "chat" in seen.unknown) == (capable, unknown)


def test_a_post_is_sent_only_where_it_is_safe(server: ScriptedServer) -> None:
    gaia = gaia_platform()
    platform = replace(gaia, services={**gaia.services, "gateway": replace(gaia["gateway"], safe=())})

    seen = observe(gaia_environment("staging", platform=platform, urls={"gateway": server.url}), [READY])

    assert "auth" in seen.unknown
    assert not [each for each in server.seen if each.startswith("POST")]


def test_the_platform_shows_what_runs(sandbox: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "gaia.toml").write_text(ON_GAIA)
    declared = resolve(Options(project=Project(tmp_path), environ={}))
    services = frozenset({"gateway", "auth", "asset", "chat"})

    assert observe(bind(declared, sandbox.stack("capabilities")), [READY]) == Observed(services)
    with Sandbox.start(gaia_platform(), services=("gateway", "postgres")) as alone:
        assert observe(bind(declared, alone.stack("main")), [READY]) == Observed(frozenset({"gateway"}))


def shop(url: str, *, safe: tuple[Operation, ...] = ()) -> Environment:
    """Return an environment of another platform: an entry with a key of its own, and two services behind it."""
    edge = Service("edge", auth=(Auth("KEY", "authorization"),), safe=safe)
    orders = Service(
        "orders", via="edge", probe=Operation("GET", "/api/orders/status"), auth=(Auth("KEY", "x-api-key"),)
    )
    stock = Service("stock", via="edge")
    platform = Platform({each.name: each for each in (orders, edge, stock)}, entry="edge")
    credentials = {"edge.key": Secret("edge key"), "orders.key": Secret("orders key")}
    return Environment(
        "qa",
        platform=platform,
        urls={"edge": url},
        services=platform.names,
        credentials=credentials,
        required=("edge",),
    )


@pytest.mark.parametrize(
    ("status", "body", "shown"),
    [
        (200, {"open": 3}, "there"),
        (200, ["a page"], "unknown"),
        (404, {"detail": "Not Found"}, "unknown"),
        (405, {"message": "Method Not Allowed"}, "unknown"),
        # Only a description defines how errors of other services are passed on.
        (404, {"detail": "Service error: no such order"}, "unknown"),
        (503, {"message": "orders is unavailable"}, "down"),
        (503, {"error": "Orders service unavailable."}, "down"),
        (503, {"message": "orders-db is unavailable"}, "unknown"),
    ],
)
def test_the_same_rules_apply_to_any_platform(
    serve: Callable[..., ScriptedService], status: int, body: object, shown: str
) -> None:
    seen = observe(shop(serve(Says(status, body)).url), [ServiceState("edge", "ready")])

    assert ("orders" in seen.capabilities, "orders" in seen.unknown) == (shown == "there", shown == "unknown")
    assert "stock" in seen.unknown


def test_a_service_gets_no_credential_of_another_one(server: ScriptedServer) -> None:
    observe(shop(server.url), [ServiceState("edge", "ready")])

    assert server.seen == ["GET /api/orders/status"]
    assert server.identities == {"edge key"}


def test_a_service_without_an_address_is_unknown() -> None:
    states = [ServiceState("edge", UNREACHABLE), ServiceState("orders", ABSENT), ServiceState("stock", f"{VIA}edge")]

    assert observe(shop("http://127.0.0.1:1"), states) == Observed(unknown=frozenset({"orders", "stock"}))
