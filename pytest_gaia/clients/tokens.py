"""User tokens, signed like those of the platform's own authentication."""

import time
from typing import Any

from pytest_gaia.secrets.masks import Secret

AUDIENCE = "authenticated"


def mint(secret: Secret, subject: str, *, audience: str = AUDIENCE, expires_in: float = 3600, **claims: Any) -> str:
    """Return an HS256 token for the user ``subject``.

    ``expires_in`` is in seconds; a negative value makes an expired token. ``claims`` are added unchanged and override
    the standard ones.
    """
    # Imported here because PyJWT loads cryptography, and few tests need tokens.
    import jwt

    now = int(time.time())
    payload: dict[str, Any] = {
        "sub": subject,
        "aud": audience,
        "iat": now,
        "exp": now + int(expires_in),
        "role": AUDIENCE,
    }
    return jwt.encode(payload | claims, secret.reveal(), algorithm="HS256")
