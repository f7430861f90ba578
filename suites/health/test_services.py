"""The health of each service at its own URL."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from suites.services import require_up
from suites.shapes import FLAG, MOMENT, TEXT, equal, named, one_of, shaped, some

if TYPE_CHECKING:
    from pytest_gaia.clients.http.client import HttpClient
    from suites.shapes import Shape


@pytest.mark.gaia(requires=["auth", "auth:direct"])
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


@pytest.mark.gaia(requires=["asset", "asset:direct"])
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


@pytest.mark.gaia(requires=["chat", "chat:direct"])
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
