"""The models for streaming, and their comparison."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from suites.shapes import AMOUNT, COUNT, FLAG, TEXT, each, shaped, some

if TYPE_CHECKING:
    from pytest_gaia.clients.http.client import HttpClient
    from suites.shapes import Fields, Shape

pytestmark = pytest.mark.gaia(requires=["chat"], core=True)

MODELS = "/api/v0.2/chat/stream/models"

MODEL: Fields = {"model_id": TEXT, "name": TEXT, "avg_ttft_ms": AMOUNT, "quality_score": AMOUNT, "vr_suitable": FLAG}
RANKINGS: Shape = {
    "fastest_ttft": some({"rank": COUNT, "model": TEXT, "ttft_ms": AMOUNT}),
    "highest_quality": some({"rank": COUNT, "model": TEXT, "quality": AMOUNT}),
    "vr_suitable": each({"model": TEXT, "ttft_ms": AMOUNT}),
}
RECOMMENDATIONS: Shape = {"vr_best": TEXT, "quality_best": TEXT, "balanced": TEXT, "emergency": TEXT}


async def compared(gateway: HttpClient) -> dict[str, Any]:
    """Return the comparison of all models."""
    shape: Shape = {"all_models": some(MODEL), "rankings": RANKINGS, "recommendations": RECOMMENDATIONS}
    content: dict[str, Any] = shaped((await gateway.get(f"{MODELS}/performance")).expect(200), shape)
    return content


async def test_streaming_lists_its_models(gateway: HttpClient) -> None:
    shape: Shape = {
        "models": some({**MODEL, "provider": TEXT}),
        "default_selection": TEXT,
        "selection_criteria": some(TEXT),
    }
    models = shaped((await gateway.get(MODELS)).expect(200), shape)["models"]
    assert [{name: model[name] for name in MODEL} for model in models] == (await compared(gateway))["all_models"]


@pytest.mark.parametrize(
    ("ranking", "figure", "best_is_highest"),
    [("fastest_ttft", "ttft_ms", False), ("highest_quality", "quality", True)],
)
async def test_models_are_ranked_by_their_figures(
    gateway: HttpClient, ranking: str, figure: str, best_is_highest: bool
) -> None:
    content = await compared(gateway)
    ranked = content["rankings"][ranking]
    assert [entry["rank"] for entry in ranked] == list(range(1, len(content["all_models"]) + 1))
    figures = [entry[figure] for entry in ranked]
    assert figures == sorted(figures, reverse=best_is_highest)
    known = {model["name"]: model for model in content["all_models"]}
    field = "quality_score" if best_is_highest else "avg_ttft_ms"
    assert [known[entry["model"]][field] for entry in ranked] == figures


@pytest.mark.gaia(command="vr")
async def test_the_model_for_vr_is_suitable_for_it(gateway: HttpClient) -> None:
    content = await compared(gateway)
    suitable = {model["model_id"]: model["name"] for model in content["all_models"] if model["vr_suitable"]}
    assert content["recommendations"]["vr_best"] in suitable
    assert set(content["recommendations"].values()) <= {model["model_id"] for model in content["all_models"]}
    assert {entry["model"] for entry in content["rankings"]["vr_suitable"]} == set(suitable.values())
