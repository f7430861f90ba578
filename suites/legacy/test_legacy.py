"""The routes for older clients: version 1 of the API, and the calculator of the first release."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from suites.chat.test_chat import PLAIN_REPLY
from suites.services import OFFERS_V02
from suites.shapes import NOT_FOUND, TEXT, equal, shaped

if TYPE_CHECKING:
    from pytest_gaia.clients.http.client import HttpClient
    from suites.shapes import Shape

MODELS = "/api/v0.2/providers/{provider}/models"


@pytest.mark.gaia(requires=["chat"], operations=[f"GET {MODELS}"])
async def test_version_1_responds_to_a_message(gateway: HttpClient) -> None:
    reply = shaped(
        (await gateway.post("/api/v1/chat", json={"message": "Say hello."})).expect(200),
        PLAIN_REPLY,
    )
    models = await gateway.get(MODELS, path_params={"provider": reply["provider"]})
    assert reply["model"] in [model["id"] for model in models.expect(200).field("models")]


@pytest.mark.gaia(requires=["chat"], operations=[OFFERS_V02])
async def test_version_1_requires_a_message(gateway: HttpClient) -> None:
    assert "message" in (await gateway.post("/api/v1/chat", json={})).expect(422).field("detail")


@pytest.mark.gaia(requires=["chat"], writes=True, operations=["DELETE /api/v1/chat/history"])
async def test_version_1_clears_the_history_that_it_counts(gateway: HttpClient) -> None:
    (await gateway.post("/api/v1/chat", json={"message": "Say hello."})).expect(200)
    cleared: Shape = {"status": equal("success"), "message": TEXT}
    shaped((await gateway.delete("/api/v1/chat/history")).expect(200), cleared)
    empty: Shape = {"message_count": equal(0), "has_history": equal(False)}
    shaped((await gateway.get("/api/v1/chat/status")).expect(200), empty)


@pytest.mark.gaia(requires=["chat"])
@pytest.mark.parametrize(
    "path",
    # Version 0.3 of the API came with personas in version 1.
    [pytest.param("/api/v1/chat/personas", marks=pytest.mark.gaia(operations=[OFFERS_V02])), "/api/v1/filesystem"],
)
async def test_what_is_no_longer_served_is_not_found(gateway: HttpClient, path: str) -> None:
    shaped((await gateway.get(path)).expect(404), NOT_FOUND)


@pytest.mark.parametrize(("a", "b"), [(2, 3), (-7, 7), (0.5, 0.25)])
async def test_the_calculator_adds(anonymous: HttpClient, a: float, b: float) -> None:
    assert (await anonymous.post("/calculator/add", json={"a": a, "b": b})).expect(200).field("result") == a + b
