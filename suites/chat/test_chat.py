"""Conversations: one message, one response, and the history of both."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import pytest

from suites.shapes import COUNT, FLAG, MOMENT, TEXT, VERSION, equal, maybe, shaped
from suites.stream.test_stream import of_type, streamed

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_gaia.clients.http.client import HttpClient
    from pytest_gaia.config.environment import Environment
    from suites.shapes import Fields, Shape

pytestmark = pytest.mark.gaia(requires=["chat"])

CHAT = "/api/v0.2/chat"
GREETING = "Say hello."

USAGE: Shape = {"input_tokens": COUNT, "output_tokens": COUNT, "total_tokens": COUNT}
REPLY: Shape = {
    "response": TEXT,
    "provider": TEXT,
    "model": TEXT,
    "usage": USAGE,
    "response_time_ms": COUNT,
    "reasoning": TEXT,
    "fallback_used": FLAG,
}
PLAIN_REPLY: Shape = {
    "response": TEXT,
    "provider": TEXT,
    "model": TEXT,
    "usage": maybe(USAGE),
    "response_time_ms": maybe(COUNT),
    "reasoning": maybe(TEXT),
    "fallback_used": maybe(FLAG),
}
"""the routes that choose no model have these fields too, with null"""


@pytest.fixture
def new_user(gateway: HttpClient, gaia_env: Environment) -> HttpClient:
    """The client of the gateway as a new user, so that no other conversation is deleted.

    Without the secret for tokens it is the user of the API key, as with the old command.
    """
    if gaia_env.jwt_secret is None:
        return gateway
    from pytest_gaia.clients.known_secrets import mint

    return gateway.as_user(mint(gaia_env.jwt_secret, str(uuid.uuid4())))


@pytest.mark.gaia(core=True, command="chat")
async def test_a_message_gets_a_response_and_its_tokens_add_up(
    gateway: HttpClient, command_argument: str | None
) -> None:
    response = await gateway.post(CHAT, json={"message": command_argument or GREETING, "stream": False})
    usage = shaped(response.expect(200), REPLY)["usage"]
    assert usage["input_tokens"] > 0
    assert usage["output_tokens"] > 0
    assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"]


@pytest.mark.gaia(core=True, command="chat")
async def test_the_response_is_from_a_model_of_its_provider(gateway: HttpClient) -> None:
    reply = shaped((await gateway.post(CHAT, json={"message": GREETING, "stream": False})).expect(200), REPLY)
    route = "/api/v0.2/providers/{provider}/models"
    models = (await gateway.get(route, path_params={"provider": reply["provider"]})).expect(200).field("models")
    assert reply["model"] in [model["id"] for model in models]


@pytest.mark.gaia(core=True)
@pytest.mark.parametrize("content", [{}, {"message": None}, {"message": 7}], ids=["missing", "null", "a number"])
async def test_a_message_that_is_not_text_is_rejected(gateway: HttpClient, content: dict[str, object]) -> None:
    assert "message" in (await gateway.post(CHAT, json=content)).expect(422).field("detail")


async def test_a_message_can_ask_for_a_stream(gateway: HttpClient) -> None:
    async with gateway.stream(CHAT, json={"message": GREETING, "stream": True}) as events:
        kinds = [event.type for event in await events.collect()]
    assert kinds[0] == "start"
    assert "content" in kinds


async def test_a_stream_counts_the_tokens_of_its_response(gateway: HttpClient) -> None:
    (figures,) = of_type(await streamed(gateway), "metadata")
    assert figures["total_tokens"] > 0, "a stream that has content counts no tokens"


@pytest.mark.gaia(writes=True, command="clear")
@pytest.mark.parametrize("history", ["/api/v0.2/chat/stream/history", "/api/v0.2/chat/history"])
async def test_a_cleared_history_is_empty(new_user: HttpClient, history: str) -> None:
    async with new_user.stream("/api/v0.2/chat/stream", json={"message": GREETING}) as events:
        await events.collect()
    more: Fields = {"timestamp": MOMENT} if "stream" in history else {"api_version": VERSION}
    cleared: Shape = {"status": equal("success"), "message": TEXT, **more}
    shaped((await new_user.delete(history)).expect(200), cleared)
    after = (await new_user.get("/api/v0.2/chat/stream/status")).expect(200)
    left = after.field("message_count")
    assert left == 0, f"after DELETE {history} messages are left: {left}"
    assert after.field("has_history") is False


@pytest.mark.gaia(requires=["jwt"], writes=True)
async def test_histories_of_two_users_are_apart(gateway: HttpClient, gaia_tokens: Callable[..., str]) -> None:
    one, other = (gateway.as_user(gaia_tokens(str(uuid.uuid4()))) for _ in range(2))
    try:
        async with one.stream("/api/v0.2/chat/stream", json={"message": GREETING}) as events:
            await events.collect()
        status = (await one.get("/api/v0.2/chat/stream/status")).expect(200)
        assert status.field("message_count") == 2, "a message and its response"
        assert status.field("has_history") is True
        assert (await other.get("/api/v0.2/chat/stream/status")).expect(200).field("message_count") == 0
    finally:
        (await one.delete("/api/v0.2/chat/stream/history")).expect(200)
