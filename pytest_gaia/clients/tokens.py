"""User tokens, signed as the platform's own authentication signs them."""

import time
from typing import Any

from pytest_gaia.secrets.masks import Secret

AUDIENCE = "authenticated"


def mint(secret: Secret, subject: str, *, audience: str = AUDIENCE, expires_in: float = 3600, **claims: Any) -> str:
    """Return an HS256 token for the user ``subject``.

    ``expires_in`` is in seconds and may be negative for a token that has expired. ``claims`` are added as they are
    and win over the standard ones.
    """
    # PyJWT is imported here: it loads cryptography where that is installed, and few tests mint tokens.
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
