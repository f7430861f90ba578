"""Forged tokens. Each function takes the factory of valid tokens and returns an invalid one."""

from __future__ import annotations

import base64
import json
import uuid
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    Mint = Callable[..., str]


def expired(mint: Mint) -> str:
    """A token that expired a minute ago."""
    return mint(_user(), expires_in=-60)


def for_another_audience(mint: Mint) -> str:
    """A token for another audience."""
    return mint(_user(), audience="anon")


def signed_by_another(mint: Mint) -> str:
    """A token that is signed with another secret."""
    from pytest_gaia.clients.known_secrets import mint as sign
    from pytest_gaia.secrets.masks import Secret

    return sign(Secret(uuid.uuid4().hex * 2), _user())


def unsigned(mint: Mint) -> str:
    """A token without a signature (algorithm ``none``)."""
    _, payload, _ = mint(_user()).split(".")
    return f"{_encoded({'alg': 'none', 'typ': 'JWT'})}.{payload}."


def for_another_user(mint: Mint) -> str:
    """A token whose user was changed after signing."""
    header, payload, signature = mint(_user()).split(".")
    claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return f"{header}.{_encoded(claims | {'sub': _user()})}.{signature}"


def no_token(mint: Mint) -> str:
    """A text that is not a token."""
    del mint
    return "gaia-test-not-a-token"


FORGERIES = [
    pytest.param(forgery, id=forgery.__name__)
    for forgery in (expired, for_another_audience, signed_by_another, unsigned, for_another_user, no_token)
]


def _user() -> str:
    return str(uuid.uuid4())


def _encoded(content: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(content).encode()).rstrip(b"=").decode()
