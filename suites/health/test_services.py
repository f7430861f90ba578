"""The health of each service at its own URL."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from suites.services import OFFERS_V02, OFFERS_V03, require_up
from suites.shapes import COUNT, FLAG, MOMENT, TEXT, VERSION, each, equal, maybe, one_of, shaped, some

if TYPE_CHECKING:
    from pytest_gaia.clients.http.client import HttpClient
    from pytest_gaia.fixtures.declared import Services
    from suites.shapes import Shape

BROKER = one_of("connected", "disconnected", "disabled")


@pytest.mark.gaia(requires=["auth", "auth:direct"], operations=[OFFERS_V02])
async def test_auth_is_healthy_and_reaches_its_database(gateway: HttpClient, auth: HttpClient) -> None:
    await require_up(gateway, "auth")
    healthy: Shape = {
        "service": equal("auth"),
        "status": equal("healthy"),
        "timestamp": MOMENT,
        "database": {"status": equal("healthy"), "database": equal("postgresql"), "responsive": equal(True)},
        "supabase": {"status": TEXT, "service": equal("supabase"), "url": maybe(TEXT), "responsive": FLAG},
        "version": VERSION,
    }
    shaped((await auth.anonymous().get("/health")).expect(200), healthy)


@pytest.mark.gaia(requires=["auth", "auth:direct"])
async def test_auth_can_validate_keys_and_tokens(gateway: HttpClient, auth: HttpClient) -> None:
    await require_up(gateway, "auth")
    status: Shape = {
        "service": equal("auth"),
        "version": VERSION,
        "environment": one_of("local", "development", "dev", "test", "staging", "production"),
        "debug": FLAG,
        "features": {
            "jwt_validation": equal(True),
            "api_key_validation": equal(True),
            "supabase_auth": FLAG,
            "user_registration": FLAG,
        },
    }
    shaped((await auth.anonymous().get("/status")).expect(200), status)


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
        "nats": BROKER,
        "capabilities": some(TEXT),
    }
    shaped((await asset.anonymous().get("/health")).expect(200), healthy)


@pytest.mark.gaia(requires=["chat", "chat:direct"], operations=[OFFERS_V02])
async def test_chat_is_healthy_and_reaches_its_database(gateway: HttpClient, chat: HttpClient) -> None:
    await require_up(gateway, "chat")
    healthy: Shape = {
        "service": equal("chat"),
        "status": one_of("healthy"),
        "version": VERSION,
        "database": {"status": equal("connected")},
        "nats": {"status": BROKER},
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
    healthy: Shape = {"service": equal(service), "status": equal("healthy"), "version": VERSION, "timestamp": MOMENT}
    shaped((await services[service].anonymous().get("/health")).expect(200), healthy)
