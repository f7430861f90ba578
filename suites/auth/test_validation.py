"""Validation of keys and tokens: a valid one is accepted with its user, all others are rejected."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import pytest

from pytest_gaia.secrets.masks import Secret
from suites.forgeries import FORGERIES
from suites.services import require_up
from suites.shapes import NOTHING, TEXT, UUID, equal, shaped

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_gaia.clients.http.client import HttpClient
    from pytest_gaia.clients.http.responses import Response
    from pytest_gaia.config.environment import Environment
    from suites.shapes import Shape

pytestmark = pytest.mark.gaia(requires=["auth"])

SERVICE = "/auth/validate"
ROUTES = ["/api/v1/auth/validate", "/api/v0.3/auth/validate"]

INVALID: Shape = {"valid": equal(False), "auth_type": equal("none"), "user_id": NOTHING, "error": TEXT}


def valid(kind: str, user_id: str | None = None) -> Shape:
    """Return the shape of a response for a valid key or token."""
    user = equal(user_id) if user_id else UUID
    return {"valid": equal(True), "auth_type": equal(kind), "user_id": user, "error": NOTHING}


async def validated(client: HttpClient, path: str, **content: Secret) -> Response:
    """Validate a key or token, with a route of the gateway or with that of the service.

    The values are hidden, because pytest prints the arguments of failed tests.
    """
    response = await client.anonymous().post(path, json={name: value.reveal() for name, value in content.items()})
    return response.expect(200)


@pytest.mark.gaia(requires=["api_key"], core=True)
@pytest.mark.parametrize("route", ROUTES)
async def test_the_key_of_this_run_is_valid_and_another_is_not(
    gateway: HttpClient, gaia_env: Environment, unique_name: str, route: str
) -> None:
    assert gaia_env.api_key is not None
    shaped(await validated(gateway, route, api_key=gaia_env.api_key), valid("api_key"))
    shaped(await validated(gateway, route, api_key=Secret(unique_name)), INVALID)


@pytest.mark.gaia(requires=["jwt"])
@pytest.mark.parametrize("route", ROUTES)
async def test_a_token_is_valid_for_its_user(gateway: HttpClient, gaia_tokens: Callable[..., str], route: str) -> None:
    user_id = str(uuid.uuid4())
    shaped(await validated(gateway, route, token=Secret(gaia_tokens(user_id))), valid("jwt", user_id))


@pytest.mark.gaia(requires=["jwt"])
@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("forgery", FORGERIES)
async def test_a_forged_token_is_not_valid(
    gateway: HttpClient, gaia_tokens: Callable[..., str], forgery: Callable[[Callable[..., str]], str], route: str
) -> None:
    shaped(await validated(gateway, route, token=Secret(forgery(gaia_tokens))), INVALID)


@pytest.mark.gaia(core=True)
@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("content", [{}, {"api_key": ""}, {"token": ""}], ids=["nothing", "no key", "no token"])
async def test_nothing_is_not_valid(gateway: HttpClient, content: dict[str, str], route: str) -> None:
    shaped(await validated(gateway, route, **{name: Secret(value) for name, value in content.items()}), INVALID)


@pytest.mark.gaia(requires=["auth:direct", "api_key", "jwt"])
async def test_the_service_validates_in_the_same_way(
    gateway: HttpClient,
    auth: HttpClient,
    gaia_env: Environment,
    gaia_tokens: Callable[..., str],
    unique_name: str,
) -> None:
    await require_up(gateway, "auth")
    assert gaia_env.api_key is not None
    user_id = str(uuid.uuid4())
    shaped(await validated(auth, SERVICE, api_key=gaia_env.api_key), valid("api_key"))
    shaped(await validated(auth, SERVICE, token=Secret(gaia_tokens(user_id))), valid("jwt", user_id))
    shaped(await validated(auth, SERVICE, token=Secret(gaia_tokens(user_id, expires_in=-60))), INVALID)
    shaped(await validated(auth, SERVICE, api_key=Secret(unique_name)), INVALID)
