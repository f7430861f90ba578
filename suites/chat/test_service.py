"""The chat service at its own URL."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from suites.chat.test_chat import GREETING, PLAIN_REPLY, REPLY
from suites.shapes import COUNT, FLAG, REFUSED, shaped

if TYPE_CHECKING:
    from pytest_gaia.clients.http.client import HttpClient

pytestmark = pytest.mark.gaia(requires=["chat", "chat:direct"], writes=True)


async def test_the_multi_provider_route_responds(chat: HttpClient) -> None:
    response = (await chat.post("/chat/multi-provider", json={"message": GREETING})).expect(200)
    usage = shaped(response, REPLY)["usage"]
    assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"] > 0


async def test_the_plain_route_responds(chat: HttpClient) -> None:
    response = (await chat.post("/chat/", json={"message": GREETING})).expect(200)
    shaped(response, PLAIN_REPLY)


async def test_the_service_requires_a_key(chat: HttpClient) -> None:
    status = shaped((await chat.get("/chat/status")).expect(200), {"message_count": COUNT, "has_history": FLAG})
    assert status["has_history"] == (status["message_count"] > 0)
    shaped((await chat.anonymous().get("/chat/status")).expect(401), REFUSED)
