"""Who asks: API keys through the database, user tokens by their signature."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_gaia.sandbox.services.asgi import HttpError, Identity
from pytest_gaia.sandbox.services.database import DatabaseDown
from pytest_gaia.sandbox.services.storage import USER_ID, key_hash

if TYPE_CHECKING:
    from pytest_gaia.sandbox.services.asgi import Request
    from pytest_gaia.sandbox.services.database import Database

AUDIENCE = "authenticated"

_USE_KEY = """
    UPDATE api_keys SET last_used_at = now()
    WHERE key_hash = $1 AND is_active AND (expires_at IS NULL OR expires_at > now())
    RETURNING user_id
"""


class Identities:
    """Finds the user of a request."""

    def __init__(self, database: Database, jwt_secret: str, api_key: str) -> None:
        self._database = database
        self._jwt_secret = jwt_secret
        self._api_key = api_key

    async def authenticate(self, request: Request) -> Identity:
        """Return the user of the token or key. Raises ``HttpError``: 401 without a valid one, 403 for a wrong key."""
        headers = request.headers
        scheme, _, token = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and (subject := self.user_of_token(token)):
            return Identity(subject, "jwt", ("authorization", f"Bearer {token}"))
        key = headers.get("x-api-key")
        if not key:
            raise HttpError(401, "Not authenticated. Provide a valid JWT or API Key.")
        user = await self.user_of_key(key, any_key=request.any_key)
        if user is None:
            raise HttpError(403, "Could not validate credentials")
        return Identity(user, "api_key", ("x-api-key", self._api_key if request.any_key else key))

    async def user_of_key(self, key: str, *, any_key: bool = False) -> str | None:
        """Return the user of an API key and note its use; None for a wrong key, and for any while the database is down."""
        if any_key:
            return USER_ID
        try:
            rows = await self._database.write(_USE_KEY, key_hash(key))
        except DatabaseDown:
            return None
        return str(rows[0]["user_id"]) if rows else None

    def user_of_token(self, token: str) -> str | None:
        """Return the subject of a user token, or None where it is not valid, not for this audience, or expired."""
        import jwt

        try:
            claims = jwt.decode(token, self._jwt_secret, algorithms=["HS256"], audience=AUDIENCE)
        except jwt.InvalidTokenError:
            return None
        return str(claims["sub"]) if claims.get("sub") else None
