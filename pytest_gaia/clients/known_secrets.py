"""The secrets of an environment, each with a name that messages may show, and user tokens that they sign."""

import time
from collections.abc import Iterator
from typing import Any

from pytest_gaia.config.environment import Environment
from pytest_gaia.secrets.masks import Secret
from pytest_gaia.secrets.redaction import Redactor, is_word, secrets_in_url


def secrets_of(environment: Environment) -> Iterator[tuple[str, str]]:
    """Yield name and value of each secret of ``environment``, including those in its addresses."""
    for name, secret in _credentials(environment):
        if secret is not None and not is_word(secret.reveal()):
            source = environment.sources.get(f"secrets.{name}")
            yield f"{name} (from {source})" if source else name, secret.reveal()
    for name, connection in environment.connections.items():
        yield from _of_connection(environment, name, connection.reveal())
    for name, url in environment.urls.items():
        yield from secrets_in_url(name, url)


def _credentials(environment: Environment) -> Iterator[tuple[str, Secret | None]]:
    for name in ("api_key", "jwt_secret", "token"):
        yield name, getattr(environment, name)
    yield from environment.credentials.items()


def _of_connection(environment: Environment, name: str, url: str) -> Iterator[tuple[str, str]]:
    """Yield the password in a URL. The whole DSN of a database is a secret too if it contains one."""
    found = list(secrets_in_url(name, url))
    if found and environment.platform[name].kind == "postgres":
        yield f"{name} (from {environment.sources.get(f'urls.{name}', 'default')})", url
    yield from found


def redactor_of(environment: Environment) -> Redactor:
    """Return a redactor that knows the secrets and the headers with credentials of ``environment``."""
    redactor = Redactor()
    redactor.learn_all(secrets_of(environment))
    redactor.learn_headers(auth.header for service in environment.platform.services.values() for auth in service.auth)
    return redactor


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
