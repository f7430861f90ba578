"""The secrets that a run knows by their value, each under the name that a message may call it by."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pytest_gaia.clients.fields import named
from pytest_gaia.config.secret_names import is_secret_name
from pytest_gaia.config.secret_shapes import url_secrets
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
        # A DSN without a password is no secret, and shows where the database is.
        is_address = name == "database" and secret is not None and not any(_of_url(name, secret.reveal()))
        if secret is not None and not is_address and not _is_word(secret.reveal()):
            source = environment.sources.get(f"secrets.{name}")
            yield f"{name} (from {source})" if source else name, secret.reveal()
    if environment.database is not None:
        yield from _of_url("database", environment.database.reveal())
    for name, url in (("nats", environment.nats or ""), *environment.urls.items()):
        yield from _of_url(name, url)


def secrets_around(variables: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield name and value of the secrets among ``variables``: those whose names say so, and passwords in URLs.

    Values that are no secret whatever their name says are left out: paths, references, plain words.
    """
    for name, value in variables.items():
        if "://" in value:
            yield from _of_url(name, value)
        if is_secret_name(name) and (_URL.match(value) or is_literal(value, name)) and not _is_word(value):
            yield name, value
            if "," in value:
                # Several tokens may stand in one variable.
                yield from ((name, part.strip()) for part in value.split(","))


def _of_url(name: str, url: str) -> Iterator[tuple[str, str]]:
    """Yield what of ``url`` is secret: its password, or the user of a NATS URL without one, which is a token.

    Libraries end a password at an ``@`` that should have been encoded, and call the rest the host: its pieces are secret too.
    """
    for start, end in (*url_secrets(url, cut=False), *named(url)):
        kind, secret = "token" if url[start - 1] == "/" else "password", url[start:end]
        pieces = re.split("[@:/?#]", secret)
        for each in (secret, *(pieces if len(pieces) > 1 else ())):
            if kind == "token" or not _is_word(each):
                yield f"{name} ({kind})", each
