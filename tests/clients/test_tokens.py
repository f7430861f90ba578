"""Tokens for the platform's authentication."""

from __future__ import annotations

import jwt
import pytest

from pytest_gaia.clients.known_secrets import mint
from pytest_gaia.secrets.masks import Secret

SECRET = Secret("a-secret-that-is-long-enough-for-hs256")


def read(token: str, audience: str = "authenticated") -> dict[str, object]:
    return jwt.decode(token, SECRET.reveal(), algorithms=["HS256"], audience=audience)


def test_a_token_is_signed_for_a_user_and_an_audience() -> None:
    claims = read(mint(SECRET, "user-7", email="a@b.c"))
    assert (claims["sub"], claims["aud"], claims["email"], claims["role"]) == (
        "user-7",
        "authenticated",
        "a@b.c",
        "authenticated",
    )


def test_a_token_can_have_expired() -> None:
    with pytest.raises(jwt.ExpiredSignatureError):
        read(mint(SECRET, "user-7", expires_in=-60))


def test_a_token_can_be_for_another_audience() -> None:
    token = mint(SECRET, "user-7", audience="anon")
    with pytest.raises(jwt.InvalidAudienceError):
        read(token)
    assert read(token, "anon")["sub"] == "user-7"


def test_a_claim_that_is_given_wins() -> None:
    assert read(mint(SECRET, "user-7", sub="another", role="service_role"))["sub"] == "another"
