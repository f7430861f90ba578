"""The providers of language models: their models, health and statistics."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from suites.shapes import AMOUNT, COUNT, MOMENT, SHARE, TEXT, equal, maybe, named, one_of, shaped, some
from suites.together import together

if TYPE_CHECKING:
    from pytest_gaia.clients.http.client import HttpClient
    from suites.shapes import Fields, Shape

pytestmark = pytest.mark.gaia(requires=["chat"])

PROVIDERS = "/api/v0.2/providers"
STATE = one_of("healthy", "degraded", "warning", "unhealthy", "unknown")

PROVIDER: Shape = {
    "id": TEXT,
    "name": TEXT,
    "status": one_of("available", "unavailable", "degraded", "disabled"),
    "health": STATE,
    "models": some(TEXT),
    "capabilities": some(TEXT),
    "last_health_check": maybe(MOMENT),
}
MODEL: Fields = {
    "id": TEXT,
    "name": TEXT,
    "capabilities": some(TEXT),
    "max_tokens": COUNT,
    "context_window": COUNT,
    "pricing": {"input_tokens_per_million": AMOUNT, "output_tokens_per_million": AMOUNT},
}
STATS: Shape = {
    "requests_count": COUNT,
    "total_tokens": COUNT,
    "total_cost": AMOUNT,
    "avg_response_time_ms": AMOUNT,
    "error_count": COUNT,
    "error_rate": SHARE,
    "last_request": maybe(MOMENT),
}


async def listed(gateway: HttpClient) -> list[dict[str, Any]]:
    """Return the listed providers."""
    response = (await gateway.get(PROVIDERS)).expect(200)
    return list(shaped(response, {"providers": some(PROVIDER)})["providers"])


@pytest.mark.gaia(core=True, command="providers")
async def test_the_list_counts_its_providers(gateway: HttpClient) -> None:
    response = (await gateway.get(PROVIDERS)).expect(200)
    shape: Shape = {"providers": some(PROVIDER), "total_providers": COUNT, "health_status": TEXT, "timestamp": MOMENT}
    content = shaped(response, shape)
    ids = [provider["id"] for provider in content["providers"]]
    assert content["total_providers"] == len(ids) == len(set(ids))
    healthy = all(provider["health"] == "healthy" for provider in content["providers"])
    assert (content["health_status"] == "all_healthy") == healthy


@pytest.mark.gaia(core=True, command="provider-models")
async def test_a_provider_has_the_models_in_the_list(gateway: HttpClient, command_argument: str | None) -> None:
    models_of = {provider["id"]: provider["models"] for provider in await listed(gateway)}
    wanted = [command_argument] if command_argument else list(models_of)
    known = {model["id"]: model for model in (await gateway.get("/api/v0.2/models")).expect(200).field("models")}
    route = "/api/v0.2/providers/{provider}/models"
    responses = await together(*(gateway.get(route, path_params={"provider": provider}) for provider in wanted))
    for provider, response in zip(wanted, responses, strict=True):
        content = shaped(response.expect(200), {"provider": equal(provider), "models": some(MODEL), "total": COUNT})
        assert content["total"] == len(content["models"])
        assert {model["id"] for model in content["models"]} == set(models_of[provider])
        for model in content["models"]:
            summary = known.get(model["id"], {})
            assert {name: model[name] for name in MODEL if name in summary} == {
                name: summary[name] for name in MODEL if name in summary
            }
            assert 0 < model["max_tokens"] <= model["context_window"], model["id"]
            assert 0 < model["pricing"]["input_tokens_per_million"] <= model["pricing"]["output_tokens_per_million"]


async def test_an_unknown_provider_has_no_models(gateway: HttpClient, unique_name: str) -> None:
    response = await gateway.get("/api/v0.2/providers/{provider}/models", path_params={"provider": unique_name})
    assert unique_name in response.expect(404).field("detail")


@pytest.mark.gaia(core=True, command="provider-health")
async def test_health_covers_every_provider(gateway: HttpClient) -> None:
    one: Shape = {"status": STATE, "response_time_ms": AMOUNT, "last_check": MOMENT, "error_rate": SHARE}
    response = (await gateway.get("/api/v0.2/providers/health")).expect(200)
    content = shaped(response, {"overall_status": STATE, "providers": named(one, least=1), "timestamp": MOMENT})
    assert content["providers"].keys() == {provider["id"] for provider in await listed(gateway)}
    healthy = all(provider["status"] == "healthy" for provider in content["providers"].values())
    assert (content["overall_status"] == "healthy") == healthy


@pytest.mark.gaia(core=True, command="provider-stats")
async def test_statistics_add_up(gateway: HttpClient) -> None:
    summary: Shape = {
        "total_requests": COUNT,
        "total_tokens": COUNT,
        "total_cost": AMOUNT,
        "total_errors": COUNT,
        "overall_error_rate": SHARE,
    }
    response = (await gateway.get("/api/v0.2/providers/stats")).expect(200)
    content = shaped(response, {"provider_stats": named(STATS, least=1), "summary": summary, "timestamp": MOMENT})
    stats, total = content["provider_stats"].values(), content["summary"]
    assert total["total_requests"] == sum(one["requests_count"] for one in stats)
    assert total["total_tokens"] == sum(one["total_tokens"] for one in stats)
    assert total["total_errors"] == sum(one["error_count"] for one in stats)
    assert total["total_cost"] == pytest.approx(sum(one["total_cost"] for one in stats), abs=0.01)
    assert total["overall_error_rate"] == pytest.approx(_rate(total["total_errors"], total["total_requests"]), abs=1e-4)
    for one in stats:
        assert one["error_rate"] == pytest.approx(_rate(one["error_count"], one["requests_count"]), abs=1e-4)


async def test_a_single_provider_is_described(gateway: HttpClient) -> None:
    provider = (await listed(gateway))[0]
    response = await gateway.get("/api/v0.2/providers/{provider}", path_params={"provider": provider["id"]})
    assert shaped(response.expect(200), {"id": TEXT, "name": TEXT})["id"] == provider["id"]


@pytest.mark.parametrize("part", ["health", "stats"])
async def test_a_single_provider_has_health_and_statistics(gateway: HttpClient, part: str) -> None:
    provider = (await listed(gateway))[0]["id"]
    response = await gateway.get(f"/api/v0.2/providers/{{provider}}/{part}", path_params={"provider": provider})
    shaped(response.expect(200), {"provider": equal(provider), "error_rate": SHARE})


def _rate(errors: int, requests: int) -> float:
    return errors / requests if requests else 0.0
