"""The health of each service at its own URL."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from suites.services import OFFERS_V02, OFFERS_V03, require_up
from suites.shapes import COUNT, FLAG, MOMENT, TEXT, each, equal, named, one_of, shaped, some

if TYPE_CHECKING:
    from pytest_gaia.clients.http.client import HttpClient
    from pytest_gaia.fixtures.declared import Services
    from suites.shapes import Shape


@pytest.mark.gaia(requires=["auth", "auth:direct"], operations=[OFFERS_V02])
async def test_auth_is_healthy_and_reaches_its_database(gateway: HttpClient, auth: HttpClient) -> None:
    await require_up(gateway, "auth")
    healthy: Shape = {
        "service": equal("auth"),
        "status": equal("healthy"),
        "timestamp": MOMENT,
        "database": {"status": equal("healthy"), "database": TEXT, "responsive": equal(True)},
        "supabase": {"status": TEXT, "service": TEXT, "responsive": FLAG},
        "version": TEXT,
    }
    shaped((await auth.anonymous().get("/health")).expect(200), healthy)


@pytest.mark.gaia(requires=["auth", "auth:direct"])
async def test_auth_can_validate_keys_and_tokens(gateway: HttpClient, auth: HttpClient) -> None:
    await require_up(gateway, "auth")
    status: Shape = {
        "service": equal("auth"),
        "version": TEXT,
        "environment": TEXT,
        "debug": FLAG,
        "features": named(FLAG),
    }
    features = shaped((await auth.anonymous().get("/status")).expect(200), status)["features"]
    assert features["jwt_validation"]
    assert features["api_key_validation"]


@pytest.mark.gaia(requires=["auth", "auth:direct"])
async def test_auth_reports_its_secrets_and_its_backend(gateway: HttpClient, auth: HttpClient) -> None:
    await require_up(gateway, "auth")
    secrets: Shape = {"status": TEXT, "secrets_configured": COUNT, "last_checked": TEXT, "warnings": each(TEXT)}
    shape: Shape = {
        "service": equal("auth"),
        "timestamp": MOMENT,
        "overall_status": TEXT,
        "checks": {"secrets": secrets, "auth_backend": {"configured": TEXT, "status": equal("healthy")}},
        "warning_count": COUNT,
    }
    content = shaped((await auth.anonymous().get("/auth/health")).expect(200), shape)
    # A warning in one of its checks must not be lost in the summary.
    assert (content["overall_status"] == "healthy") == (content["warning_count"] == 0)
    assert content["warning_count"] >= len(content["checks"]["secrets"]["warnings"])


@pytest.mark.gaia(requires=["asset", "asset:direct"], operations=[OFFERS_V02])
async def test_asset_is_healthy_and_reaches_its_database(gateway: HttpClient, asset: HttpClient) -> None:
    await require_up(gateway, "asset")
    # The state of NATS is not checked: it is "connected" even if NATS is down.
    healthy: Shape = {
        "service": equal("asset-service"),
        "status": equal("healthy"),
        "database": equal("connected"),
        "nats": TEXT,
        "capabilities": some(TEXT),
    }
    shaped((await asset.anonymous().get("/health")).expect(200), healthy)


@pytest.mark.gaia(requires=["chat", "chat:direct"], operations=[OFFERS_V02])
async def test_chat_is_healthy_and_reaches_its_database(gateway: HttpClient, chat: HttpClient) -> None:
    await require_up(gateway, "chat")
    healthy: Shape = {
        "service": equal("chat"),
        "status": one_of("healthy"),
        "version": TEXT,
        "database": {"status": equal("connected")},
        "nats": {"status": TEXT},
    }
    shaped((await chat.anonymous().get("/health")).expect(200), healthy)


@pytest.mark.gaia(core=True, operations=[OFFERS_V03])
@pytest.mark.parametrize(
    "service",
    [
        pytest.param("auth", marks=pytest.mark.gaia(requires=["auth", "auth:direct"])),
        pytest.param("asset", marks=pytest.mark.gaia(requires=["asset", "asset:direct"])),
        pytest.param("kb", marks=pytest.mark.gaia(requires=["kb"])),
    ],
)
async def test_a_service_is_healthy_and_names_itself(gateway: HttpClient, services: Services, service: str) -> None:
    if service != "kb":
        await require_up(gateway, service)
    healthy: Shape = {"service": equal(service), "status": equal("healthy"), "version": TEXT, "timestamp": MOMENT}
    shaped((await services[service].anonymous().get("/health")).expect(200), healthy)
