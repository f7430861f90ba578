"""Authentication with API keys (in the database) and user tokens (by signature), and the auth service.

Routes that need Supabase fail, because there is none.
"""

from collections.abc import Mapping

from pytest_gaia.sandbox._services.app import Handler, HttpError, Identity, Request, Service, add_canned, naive_now
from pytest_gaia.sandbox._services.database import USER_ID, Database, DatabaseDown, key_hash
from pytest_gaia.sandbox._services.validation import OPTIONAL_STRING, STRING, Field, json_object, validated

AUDIENCE = "authenticated"

_USE_KEY = """
    UPDATE api_keys SET last_used_at = now()
    WHERE key_hash = $1 AND is_active AND (expires_at IS NULL OR expires_at > now())
    RETURNING user_id
"""

_CREDENTIALS = {"email": STRING, "password": STRING}


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
        """Return the user of an API key and record its use; None for a wrong key, or while the database is down."""
        if any_key:
            return USER_ID
        try:
            rows = await self._database.write(_USE_KEY, key_hash(key))
        except DatabaseDown:
            return None
        return str(rows[0]["user_id"]) if rows else None

    def user_of_token(self, token: str) -> str | None:
        """Return the subject of a user token; None if it is invalid, expired or for another audience."""
        import jwt

        try:
            claims = jwt.decode(token, self._jwt_secret, algorithms=["HS256"], audience=AUDIENCE)
        except jwt.InvalidTokenError:
            return None
        return str(claims["sub"]) if claims.get("sub") else None


def auth_service(identities: Identities, database: Database) -> Service:
    """Build the auth service."""
    router = Service("Gaia Auth Service", identities.authenticate)
    auth = Auth(identities, database)
    router.add("GET /health", auth.health, open_=True)
    add_canned(router, "auth", "GET /status", open_=True)
    router.add("POST /auth/validate", auth.validate, open_=True)
    router.add("POST /auth/register", without_supabase("Registration", _CREDENTIALS), open_=True)
    router.add("POST /auth/login", without_supabase("Login", _CREDENTIALS), open_=True)
    router.add("POST /auth/refresh", without_supabase("Token refresh", {"refresh_token": STRING}), open_=True)
    # Tokens are not stored: there is nothing to forget.
    add_canned(router, "auth", "POST /auth/logout", open_=True)
    router.add("POST /internal/validate", auth.internal_validate, open_=True)
    return router


class Auth:
    """The handlers of the auth service."""

    def __init__(self, identities: Identities, database: Database) -> None:
        self._identities = identities
        self._database = database

    async def health(self, request: Request) -> object:
        """Report the health of the service and its database."""
        up = await self._database.responds()
        word = "healthy" if up else "unhealthy"
        return {
            "service": "auth",
            "status": word,
            "timestamp": naive_now(),
            "database": {"status": word, "database": "postgresql", "responsive": up},
            "supabase": {"status": "healthy", "service": "supabase", "url": None, "responsive": True},
            "version": "0.2",
        }

    async def validate(self, request: Request) -> object:
        """Validate a token or a key; the status is always 200, and ``valid`` has the result."""
        content = validated(request.content, {"token": OPTIONAL_STRING, "api_key": OPTIONAL_STRING})
        if content.get("token") and (user := self._identities.user_of_token(content["token"])):
            return {"valid": True, "auth_type": "jwt", "user_id": user, "error": None}
        key = content.get("api_key")
        if key and (user := await self._identities.user_of_key(key, any_key=request.any_key)):
            return {"valid": True, "auth_type": "api_key", "user_id": user, "error": None}
        error = "No valid authentication credentials provided"
        return {"valid": False, "auth_type": "none", "user_id": None, "error": error}

    async def internal_validate(self, request: Request) -> object:
        """Return the user that another service sent."""
        content = json_object(request.content)
        return {
            "valid": bool(content.get("user_id")),
            "auth_type": content.get("auth_type", "none"),
            "user_id": content.get("user_id"),
            "api_key": content.get("api_key"),
        }


def without_supabase(action: str, fields: Mapping[str, Field]) -> Handler:
    """Return a handler that fails after validation, because there is no Supabase."""

    async def refuse(request: Request) -> object:
        validated(request.content, fields)
        raise HttpError(400, f"{action} failed: 'NoneType' object has no attribute 'auth'")

    return refuse
