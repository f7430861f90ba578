"""Is a service there, seen through the gateway? One cheap request for each, that changes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_gaia.clients.http.client import HttpClient
    from pytest_gaia.clients.http.responses import Response

NOWHERE = "00000000-0000-4000-8000-000000000000"
"""an id that nothing has"""


async def ask(gateway: HttpClient, service: str) -> Response:
    """Return the gateway's answer to a request that ``service`` has to answer: 503 where it is down."""
    if service == "auth":
        return await gateway.anonymous().post("/api/v1/auth/validate", json={})
    if service == "asset":
        return await gateway.get("/api/v1/assets/{asset_id}", path_params={"asset_id": NOWHERE})
    return await gateway.anonymous().get("/api/v0.2/health")


async def require_up(gateway: HttpClient, service: str) -> None:
    """Raise ``UnexpectedResponse`` unless ``service`` answers behind the gateway.

    Checks of a service's own URL ask this first: that the service is down is then told by the platform's own 503.
    """
    response = await ask(gateway, service)
    if response.status >= 500:
        raise response.unexpected(f"returned {response.status} for the {service} service, which should be there")
