"""Accounts, which are stored in Supabase; without it the platform returns 400, which is not a bug.

These tests create no account unless the user passes one, because the platform cannot delete accounts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from pytest_gaia.secrets.masks import Secret

if TYPE_CHECKING:
    from pytest_gaia.clients.http.client import HttpClient
    from pytest_gaia.clients.http.responses import Response

# None of these requests is read-only for the platform, whatever the response.
pytestmark = pytest.mark.gaia(requires=["auth"], writes=True)

REGISTER, LOGIN, REFRESH = (f"/api/v1/auth/{action}" for action in ("register", "login", "refresh"))
V03 = "/api/v0.3/auth"
NOBODY = "nobody@gaia-test.invalid"
TOO_SHORT = "Gx1!"


async def refused(client: HttpClient, path: str, content: dict[str, str]) -> Response:
    """Return the response to a request that the platform must reject; it must not contain the secret."""
    response = (await client.anonymous().post(path, json=content)).expect(400, 401, 422)
    secret = content.get("password") or content.get("refresh_token")
    if secret and secret in response.text:
        raise response.unexpected("contains a secret from the request")
    return response


@dataclass(frozen=True)
class Account:
    """The account that the user passed. pytest prints arguments, so the password is hidden."""

    email: str
    password: Secret


@pytest.fixture
def account(gaia_argument: tuple[str, ...]) -> Account | None:
    """The account from the arguments of the old command, if there is one."""
    return Account(gaia_argument[0], Secret(gaia_argument[1])) if len(gaia_argument) == 2 else None


@pytest.mark.gaia(command="auth-register")
async def test_registration_with_a_weak_password_is_rejected(gateway: HttpClient, account: Account | None) -> None:
    if account:
        (await _sent(gateway, REGISTER, account)).expect(200, 201, 400)
        return
    response = await refused(gateway, REGISTER, {"email": NOBODY, "password": TOO_SHORT})
    assert response.field("detail")


@pytest.mark.gaia(command="auth-login")
async def test_login_without_an_account_is_rejected(gateway: HttpClient, account: Account | None) -> None:
    if account:
        (await _sent(gateway, LOGIN, account)).expect(200, 400, 401)
        return
    response = await refused(gateway, LOGIN, {"email": NOBODY, "password": "Gaia-test-0!"})
    assert response.field("detail")


@pytest.mark.parametrize(
    ("path", "content", "missing"),
    [
        pytest.param(REGISTER, {"email": NOBODY}, "password", id="register"),
        pytest.param(LOGIN, {"email": NOBODY}, "password", id="login"),
        pytest.param(LOGIN, {"password": "Gaia-test-0!"}, "email", id="login without e-mail"),
        pytest.param(REFRESH, {}, "refresh_token", id="refresh"),
    ],
)
async def test_a_missing_field_is_named(gateway: HttpClient, path: str, content: dict[str, str], missing: str) -> None:
    assert missing in (await gateway.anonymous().post(path, json=content)).expect(422).field("detail")


@pytest.mark.parametrize("missing", ["email", "password"])
@pytest.mark.parametrize("action", ["register", "login"])
async def test_version_0_3_names_a_missing_field(gateway: HttpClient, action: str, missing: str) -> None:
    content = {"email": NOBODY, "password": "Gaia-test-0!"}
    del content[missing]
    response = (await gateway.anonymous().post(f"{V03}/{action}", json=content)).expect(400, 422)
    assert missing in response.text


@pytest.mark.parametrize(
    ("action", "content"),
    [
        pytest.param("register", {"email": NOBODY, "password": TOO_SHORT}, id="register with a weak password"),
        pytest.param("login", {"email": NOBODY, "password": "Gaia-test-0!"}, id="login without an account"),
        pytest.param("refresh", {"refresh_token": "gaia-test-refresh-token"}, id="refresh with a made-up token"),
    ],
)
async def test_version_0_3_rejects(gateway: HttpClient, action: str, content: dict[str, str]) -> None:
    await refused(gateway, f"{V03}/{action}", content)


async def test_a_made_up_token_is_not_refreshed(gateway: HttpClient) -> None:
    assert (await refused(gateway, REFRESH, {"refresh_token": "gaia-test-refresh-token"})).field("detail")


async def _sent(gateway: HttpClient, path: str, account: Account) -> Response:
    return await gateway.anonymous().post(path, json={"email": account.email, "password": account.password.reveal()})
