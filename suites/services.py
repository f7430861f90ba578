"""Probe services through the gateway with one cheap request each, and tell releases apart by what they offer."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_gaia.clients.http.client import HttpClient
    from pytest_gaia.clients.http.responses import Response

NOWHERE = "00000000-0000-4000-8000-000000000000"
"""an id that does not exist"""

OFFERS_V02 = "GET /api/v0.2/health"
OFFERS_V03 = "GET /api/v0.3/conversations"
"""an operation of each release of the API, for tests of a route that both have and that responds differently"""


async def ask(gateway: HttpClient, service: str) -> Response:
    """Return the gateway's response to a request for ``service``: 503 if the service is down."""
    if service == "auth":
        return await gateway.anonymous().post("/api/v1/auth/validate", json={})
    if service == "asset":
        return await gateway.get("/api/v1/assets/{asset_id}", path_params={"asset_id": NOWHERE})
    # The only read that every release forwards to chat; some respond with 404, which is from chat itself.
    return await gateway.get("/api/v1/chat/personas")


async def require_up(gateway: HttpClient, service: str) -> None:
    """Raise ``UnexpectedResponse`` unless ``service`` responds through the gateway.

    Tests of a service's own URL call this first, so that an outage is reported by the platform's own 503.
    """
    response = await ask(gateway, service)
    if response.status >= 500:
        raise response.unexpected(f"returned {response.status} for the {service} service, which is expected to run")
