"""The asset service: accepts requests for assets; its list is always empty in this version."""

import json
from collections.abc import Mapping

from pytest_gaia.sandbox._services.app import Request, Service, add_canned, naive_now
from pytest_gaia.sandbox._services.auth import Identities
from pytest_gaia.sandbox._services.database import Database
from pytest_gaia.sandbox._services.validation import OPTIONAL_OBJECT, OPTIONAL_STRING, STRING, Field, validated

CAPABILITIES = ["asset_generation", "asset_search", "asset_upload", "cost_optimization"]

_CATEGORIES = ("environment", "character", "prop", "audio", "texture", "animation", "image")

_REQUEST = {
    "category": Field((str,), "string", choices=_CATEGORIES),
    "style": STRING,
    "description": STRING,
    "requirements": OPTIONAL_OBJECT,
    "preferences": OPTIONAL_OBJECT,
    "session_id": OPTIONAL_STRING,
}

# The subject of a token need not be a user of this database; then the asset has no owner.
_ADD = """
    INSERT INTO assets (user_id, type, name, description, generation_params)
    VALUES ((SELECT id FROM users WHERE id::text = $1), $2, $3, $4, $5) RETURNING id, status
"""


def asset_service(identities: Identities, database: Database, *, fixed: bool = False) -> Service:
    """Build the asset service. ``fixed`` adds the route to which the gateway forwards generation."""
    router = Service("Gaia Asset Service", identities.authenticate)
    assets = Assets(database)
    add_canned(router, "asset", "GET /api/v1/assets/")
    add_canned(router, "asset", "GET /api/v1/assets/test", open_=True)
    router.add("POST /api/v1/assets/request", assets.request)
    if fixed:
        router.add("POST /api/v1/assets/generate", assets.generate)
    add_canned(router, "asset", "GET /api/v1/assets/health", open_=True)
    router.add("GET /health", assets.health, open_=True)
    add_canned(router, "asset", "GET /", open_=True)
    return router


class Assets:
    """The handlers of the asset service."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def request(self, request: Request) -> object:
        """Store a pending request for an asset."""
        wish = validated(request.content, _REQUEST)
        return await self._add(request, wish["category"], wish["description"], wish)

    async def generate(self, request: Request) -> object:
        """Store a request for an asset from the gateway's API, version 1."""
        wish = validated(request.content, {"type": STRING, "prompt": STRING})
        return await self._add(request, wish["type"], wish["prompt"], wish)

    async def _add(self, request: Request, category: str, description: str, wish: Mapping[str, object]) -> object:
        parameters = json.dumps({name: wish[name] for name in ("style", "requirements", "preferences") if name in wish})
        values = (request.user_id, category, description[:255], description, parameters)
        rows = await self._database.write(_ADD, *values, dry=request.dry)
        asset = {"asset_id": str(rows[0]["id"]), "status": rows[0]["status"]}
        return {**asset, "category": category, "timestamp": naive_now()}

    async def health(self, request: Request) -> object:
        """Report the health of the service and its database; NATS is always reported as connected."""
        up = await self._database.responds()
        return {
            "status": "healthy" if up else "unhealthy",
            "service": "asset-service",
            "database": "connected" if up else "disconnected",
            "nats": "connected",
            "capabilities": CAPABILITIES,
        }
