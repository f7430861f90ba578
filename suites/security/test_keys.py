"""API keys: requests without a valid key are rejected, and no response contains a key."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_gaia.secrets.masks import Secret
from suites.shapes import NOT_FOUND, REFUSED, TEXT, VERSION, like, named, shaped
from suites.together import together

if TYPE_CHECKING:
    from pytest_gaia.clients.http.client import HttpClient
    from pytest_gaia.clients.http.responses import Response
    from pytest_gaia.config.environment import Environment
    from suites.shapes import Shape

CONVERSATIONS = ["/api/v0.3/conversations", "/api/v1/conversations"]
PROTECTED = [
    "/api/v0.2/providers",
    "/api/v0.2/models",
    "/api/v0.2/usage/current",
    "/api/v0.2/personas",
    *CONVERSATIONS,
]
ONE_OF_EACH = ["/api/v0.2/providers", "/api/v1/conversations"]
"""one read of each release of the API"""

SERVED = {"/", "/health", "/calculator/add", "/api/v1/assets", "/api/v1/chat", "/api/v1/chat/personas"}
"""paths in the document of every release"""
DOCUMENT: Shape = {
    "openapi": like(r"3\.\d+\.\d+"),
    "info": {"title": TEXT, "version": VERSION},
    "paths": named(named({"responses": named({}, least=1)}, least=1), least=1),
}
"""every path of an OpenAPI document has operations, and every operation has responses"""

pytestmark = pytest.mark.gaia(core=True)


@pytest.mark.parametrize("path", [*PROTECTED, "/api/v1/assets", "/api/v1/chat/personas"])
async def test_a_request_without_a_key_is_rejected(anonymous: HttpClient, path: str) -> None:
    shaped((await anonymous.get(path)).expect(401), REFUSED)


async def test_every_protected_read_requires_a_key(anonymous: HttpClient) -> None:
    paths = shaped((await anonymous.get("/openapi.json")).expect(200), DOCUMENT)["paths"]
    assert paths.keys() >= SERVED
    protected = [path for path, methods in paths.items() if methods.get("get", {}).get("security")]
    assert len(protected) >= len(PROTECTED)
    responses = await together(*(anonymous.get(path, path_params=_placeholders(path)) for path in protected))
    open_to_all = [_where(response) for response in responses if response.status != 401]
    assert not open_to_all
    for response in responses:
        shaped(response, REFUSED)


@pytest.mark.parametrize(
    "path",
    [
        "/api/v0.2/chat",
        "/api/v0.2/chat/stream",
        "/api/v1/chat",
        # A message of version 0.3 is part of a conversation, so the platform does not call it read-only.
        pytest.param("/api/v0.3/chat", marks=pytest.mark.gaia(writes=True)),
    ],
)
async def test_chat_without_a_key_is_rejected(anonymous: HttpClient, path: str) -> None:
    shaped((await anonymous.post(path, json={"message": "hello"})).expect(401), REFUSED)


@pytest.mark.gaia(requires=["api_key", "chat"])
@pytest.mark.parametrize("path", PROTECTED)
async def test_a_wrong_key_is_rejected_and_the_right_one_is_not(
    gateway: HttpClient, unique_name: str, path: str
) -> None:
    refused = (await gateway.with_key(unique_name).get(path)).expect(403)
    # If the database is down every key is rejected, so a 403 alone proves nothing.
    (await gateway.get(path)).expect(200)
    assert unique_name not in refused.text


@pytest.mark.gaia(requires=["api_key", "chat"])
@pytest.mark.parametrize("path", ONE_OF_EACH)
async def test_a_key_is_the_whole_key(gateway: HttpClient, gaia_env: Environment, path: str) -> None:
    assert gaia_env.api_key is not None
    for wrong in _nearly(gaia_env.api_key):
        (await gateway.with_key(wrong.reveal()).get(path)).expect(401, 403)
    (await gateway.get(path)).expect(200)


@pytest.mark.parametrize("path", ONE_OF_EACH)
async def test_a_key_in_the_address_is_not_accepted(anonymous: HttpClient, unique_name: str, path: str) -> None:
    # Not the right key, which would end up in logs: a platform that reads it would return 403.
    for name in ("api_key", "x-api-key", "key", "token"):
        (await anonymous.get(path, params={name: unique_name})).expect(401)


# Some of these paths are unknown to each release, and a 404 must not repeat the key either.
@pytest.mark.gaia(requires=["api_key"], operations=[])
async def test_no_response_repeats_the_key(gateway: HttpClient, gaia_env: Environment) -> None:
    assert gaia_env.api_key is not None
    responses = await together(*(gateway.get(path) for path in (*PROTECTED, "/api/v0.2/nothing-here", "/health")))
    for response in responses:
        # Without the chat service, the gateway returns 503 for its routes.
        if response.expect(200, 404, 503).status == 404:
            shaped(response, NOT_FOUND)
        assert response.json(), _where(response)
    assert not [_where(response) for response in responses if _holds(response, gaia_env.api_key)]


@pytest.mark.gaia(operations=[])
async def test_an_unknown_path_is_not_found(gateway: HttpClient, anonymous: HttpClient) -> None:
    for client in (gateway, anonymous):
        shaped((await client.get("/api/v0.2/nothing-here")).expect(404), NOT_FOUND)


def _placeholders(path: str) -> dict[str, str]:
    return {part.strip("{}"): "gaia-test-nothing" for part in path.split("/") if part.startswith("{")}


def _where(response: Response) -> str:
    return f"{response.exchange.route}: {response.status}"


def _nearly(key: Secret) -> set[Secret]:
    """Return keys that differ slightly from the right one; hidden, because they reveal it."""
    right = key.reveal()
    return {Secret(wrong) for wrong in (right[:-1], right + "x", right.swapcase(), f"{right}' OR 'a'='a")} - {key}


def _holds(response: Response, key: Secret) -> bool:
    return key.reveal() in response.text or key.reveal() in " ".join(response.headers.values())
