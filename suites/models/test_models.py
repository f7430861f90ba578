"""The list of language models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from suites.shapes import AMOUNT, COUNT, FLAG, NOTHING, TEXT, equal, shaped, some
from suites.together import together

if TYPE_CHECKING:
    from pytest_gaia.clients.http.client import HttpClient
    from suites.shapes import Fields, Shape

pytestmark = pytest.mark.gaia(requires=["chat"])

MODELS = "/api/v0.2/models"

MODEL: Fields = {
    "id": TEXT,
    "name": TEXT,
    "provider": TEXT,
    "capabilities": some(TEXT),
    "max_tokens": COUNT,
    "context_window": COUNT,
}
DETAILS: Shape = {
    **MODEL,
    "cost_per_input_token": AMOUNT,
    "cost_per_output_token": AMOUNT,
    "avg_response_time_ms": AMOUNT,
    "quality_score": AMOUNT,
    "speed_score": AMOUNT,
    "description": TEXT,
    "is_deprecated": FLAG,
    "supports_system_prompt": FLAG,
    "supports_temperature": FLAG,
    "supports_streaming": FLAG,
}


async def listed(gateway: HttpClient, **filters: str) -> list[dict[str, Any]]:
    """Return the listed models that match the filters."""
    response = (await gateway.get(MODELS, params=filters)).expect(200)
    wanted: Shape = {
        "provider": equal(filters["provider"]) if "provider" in filters else NOTHING,
        "capability": equal(filters["capability"]) if "capability" in filters else NOTHING,
    }
    content = shaped(response, {"models": some(MODEL), "total": COUNT, "filters": wanted})
    assert content["total"] == len(content["models"])
    return list(content["models"])


@pytest.mark.gaia(core=True, command="models")
async def test_the_list_counts_its_models_without_duplicates(gateway: HttpClient) -> None:
    models = await listed(gateway)
    assert len({model["id"] for model in models}) == len(models)
    for model in models:
        assert 0 < model["max_tokens"] <= model["context_window"], model["id"]


@pytest.mark.gaia(core=True, command="models")
async def test_every_model_has_a_known_provider(gateway: HttpClient) -> None:
    providers = (await gateway.get("/api/v0.2/providers")).expect(200).field("providers")
    assert {model["provider"] for model in await listed(gateway)} <= {provider["id"] for provider in providers}


async def test_models_are_filtered_by_provider_and_by_capability(gateway: HttpClient) -> None:
    models = await listed(gateway)
    provider, capability = models[-1]["provider"], models[-1]["capabilities"][-1]
    of_provider = await listed(gateway, provider=provider)
    assert of_provider == [model for model in models if model["provider"] == provider]
    capable = await listed(gateway, capability=capability)
    assert capable == [model for model in models if capability in model["capabilities"]]


@pytest.mark.gaia(core=True, command="model-info")
async def test_a_model_is_described_as_in_the_list(gateway: HttpClient, command_argument: str | None) -> None:
    models = {model["id"]: model for model in await listed(gateway)}
    wanted = [command_argument] if command_argument else list(models)
    route = "/api/v0.2/models/{model_id}"
    responses = await together(*(gateway.get(route, path_params={"model_id": model_id}) for model_id in wanted))
    for model_id, response in zip(wanted, responses, strict=True):
        details = shaped(response.expect(200), DETAILS)
        assert details["id"] == model_id
        assert details["cost_per_input_token"] <= details["cost_per_output_token"]
        summary = models.get(model_id, {})
        assert {name: details[name] for name in summary} == summary


async def test_an_unknown_model_is_not_found(gateway: HttpClient, unique_name: str) -> None:
    response = await gateway.get("/api/v0.2/models/{model_id}", path_params={"model_id": unique_name})
    assert unique_name in response.expect(404).field("detail")


@pytest.mark.parametrize("name", ["capabilities", "priorities", "contexts"])
async def test_criteria_for_choosing_models_are_listed(gateway: HttpClient, name: str) -> None:
    shaped((await gateway.get(f"/api/v0.2/models/{name}")).expect(200), {name: some(TEXT)})
