"""User tokens: a forged token is rejected where a valid one is accepted."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import pytest

from pytest_gaia.secrets.masks import Secret
from suites.forgeries import FORGERIES
from suites.security.test_keys import ONE_OF_EACH

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_gaia.clients.http.client import HttpClient

pytestmark = pytest.mark.gaia(core=True, requires=["jwt", "chat"])


@pytest.mark.parametrize("path", ONE_OF_EACH)
@pytest.mark.parametrize("forgery", FORGERIES)
async def test_a_forged_token_is_rejected_and_a_good_one_is_not(
    gateway: HttpClient, gaia_tokens: Callable[..., str], forgery: Callable[[Callable[..., str]], str], path: str
) -> None:
    bad = Secret(forgery(gaia_tokens))
    refused = (await gateway.as_user(bad.reveal()).get(path)).expect(401)
    (await gateway.as_user(gaia_tokens(str(uuid.uuid4()))).get(path)).expect(200)
    if bad.reveal() in refused.text:
        raise refused.unexpected("contains the token")


@pytest.mark.parametrize("path", ONE_OF_EACH)
async def test_another_scheme_carries_no_token(
    gateway: HttpClient, anonymous: HttpClient, gaia_tokens: Callable[..., str], path: str
) -> None:
    token = Secret(gaia_tokens(str(uuid.uuid4())))
    for scheme in ("", "Basic "):
        response = await anonymous.get(path, headers={"authorization": f"{scheme}{token.reveal()}"})
        response.expect(401)
    (await gateway.as_user(token.reveal()).get(path)).expect(200)
