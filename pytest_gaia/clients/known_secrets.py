"""The secrets that a run knows by their value, each under the name that a message may call it by."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from pytest_gaia.config.secret_names import is_secret_name
from pytest_gaia.preflight.credentials import is_literal

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pytest_gaia.config.environment import Environment

_URL = re.compile(r"[a-z][a-z0-9+.-]{0,19}://[^\s/@]+@", re.IGNORECASE)


_WORD = re.compile(r"[a-z]{1,12}|[A-Z][a-z]{1,11}|\d{1,9}")


def _is_word(value: str) -> bool:
    """Whether ``value`` stands in texts for what it is: ``postgres`` is a password in many places, and a name in more."""
    return bool(_WORD.fullmatch(value))


def secrets_of(environment: Environment) -> Iterator[tuple[str, str]]:
    """Yield name and value of the secrets of ``environment``, and of what its addresses hold."""
    for name in ("api_key", "jwt_secret", "token", "database"):
        secret = getattr(environment, name)
        if secret is not None and not _is_word(secret.reveal()):
            source = environment.sources.get(f"secrets.{name}")
            yield f"{name} (from {source})" if source else name, secret.reveal()
    if environment.database is not None:
        yield from _of_url("database", environment.database.reveal())
    for name, url in (("nats", environment.nats or ""), *environment.urls.items()):
        if "@" in url:
            yield from _of_url(name, url)


def secrets_around(variables: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield name and value of the secrets among ``variables``: those whose names say so, and passwords in URLs.

    Values that are no secret whatever their name says are left out: paths, references, plain words.
    """
    for name, value in variables.items():
        if _URL.match(value):
            yield from _of_url(name, value)
        if is_secret_name(name) and (_URL.match(value) or is_literal(value, name)) and not _is_word(value):
            yield name, value
            if "," in value:
                # Several tokens may stand in one variable.
                yield from ((name, part.strip()) for part in value.split(","))


def _of_url(name: str, url: str) -> Iterator[tuple[str, str]]:
    """Yield what of ``url`` is secret: its password, or the user of a NATS URL without one, which is a token."""
    for each in url.split(","):
        address = each.strip()
        try:
            parts = urlsplit(address)
        except ValueError:
            continue
        if parts.password and not _is_word(parts.password):
            yield f"{name} (password)", parts.password
        elif parts.username and not parts.password and parts.scheme in ("nats", "tls", "ws", "wss"):
            yield f"{name} (token)", parts.username
