"""The costs of assets: price lists, estimates, comparisons and spending."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from suites.shapes import AMOUNT, COUNT, DAY, MOMENT, TEXT, each, equal, named, one_of, shaped, some
from suites.together import together

if TYPE_CHECKING:
    from pytest_gaia.clients.http.client import HttpClient
    from suites.shapes import Shape

pytestmark = pytest.mark.gaia(requires=["chat"])

PRICING = "/api/v0.2/assets/pricing"
CENT = 0.01

MODEL = one_of("tier_based", "credit_based", "per_image", "token_based")
TIER: Shape = {
    "name": TEXT,
    "monthly_fee": AMOUNT,
    "images_per_minute": COUNT,
    "monthly_limit": COUNT,
    "standard_cost": AMOUNT,
    "hd_cost": AMOUNT,
}
PRICE_LIST: Shape = {
    "pricing": {"model": MODEL, "provider": TEXT, "quality": equal("standard"), "last_updated": MOMENT},
    "effective_date": MOMENT,
    "currency": equal("USD"),
}


async def providers(gateway: HttpClient) -> list[dict[str, Any]]:
    """Return the providers that have prices."""
    one: Shape = {
        "name": TEXT,
        "pricing_model": MODEL,
        "status": one_of("active", "inactive", "deprecated"),
        "last_updated": MOMENT,
        "capabilities": some(TEXT),
    }
    response = (await gateway.get(f"{PRICING}/providers")).expect(200)
    shape: Shape = {"providers": some(one), "total_providers": COUNT, "supported_models": some(TEXT)}
    content = shaped(response, shape)
    assert content["total_providers"] == len(content["providers"])
    assert {provider["pricing_model"] for provider in content["providers"]} <= set(content["supported_models"])
    return list(content["providers"])


@pytest.mark.gaia(core=True, command="pricing-providers")
async def test_the_providers_are_counted_without_duplicates(gateway: HttpClient) -> None:
    names = [provider["name"] for provider in await providers(gateway)]
    assert len(set(names)) == len(names)


@pytest.mark.gaia(core=True, command="pricing-current")
async def test_a_provider_has_the_kind_of_prices_in_the_list(gateway: HttpClient, command_argument: str | None) -> None:
    kinds = {provider["name"]: provider["pricing_model"] for provider in await providers(gateway)}
    wanted = [command_argument] if command_argument else list(kinds)
    responses = await together(*(gateway.get(f"{PRICING}/current", params={"provider": name}) for name in wanted))
    for name, response in zip(wanted, responses, strict=True):
        pricing = shaped(response.expect(200), PRICE_LIST)["pricing"]
        assert pricing["provider"] == name
        assert pricing["model"] == kinds[name]


@pytest.mark.gaia(core=True, command="dalle-tiers")
async def test_a_higher_tier_costs_more_and_allows_more(gateway: HttpClient) -> None:
    response = (await gateway.get(f"{PRICING}/cost-estimator/dalle-tiers")).expect(200)
    shape: Shape = {
        "provider": equal("dalle"),
        "pricing_model": TEXT,
        "tiers": some(TIER),
        "currency": equal("USD"),
        "billing_cycle": one_of("monthly", "yearly"),
    }
    content = shaped(response, shape)
    tiers = content["tiers"]
    for field in ("monthly_fee", "images_per_minute", "monthly_limit"):
        assert [tier[field] for tier in tiers] == sorted({tier[field] for tier in tiers}), field
    assert all(0 < tier["standard_cost"] <= tier["hd_cost"] for tier in tiers)
    listed = (await gateway.get(f"{PRICING}/current", params={"provider": "dalle"})).expect(200)
    assert listed.field("pricing.tiers") == tiers
    assert listed.field("pricing.model") == content["pricing_model"]
    (dalle,) = [provider for provider in await providers(gateway) if provider["name"] == "dalle"]
    assert dalle["tier_count"] == len(tiers)


@pytest.mark.gaia(core=True, command="meshy-packages")
async def test_a_bigger_package_has_no_higher_price_per_credit(gateway: HttpClient) -> None:
    response = (await gateway.get(f"{PRICING}/cost-estimator/meshy-packages")).expect(200)
    shape: Shape = {
        "provider": equal("meshy"),
        "pricing_model": TEXT,
        "packages": some({"name": TEXT, "credits": COUNT, "cost": AMOUNT}),
        "operations": dict.fromkeys(("text_to_3d", "texture_generation", "refinement"), COUNT),
        "currency": equal("USD"),
    }
    content = shaped(response, shape)
    packages = content["packages"]
    assert len({package["name"] for package in packages}) == len(packages)
    for field in ("credits", "cost"):
        assert [package[field] for package in packages] == sorted({package[field] for package in packages}), field
    per_credit = [package["cost"] / package["credits"] for package in packages]
    assert per_credit == sorted(per_credit, reverse=True)
    query = {"provider": "meshy"}
    listed = (await gateway.get(f"{PRICING}/current", params=query)).expect(200).field("pricing")
    assert listed["model"] == content["pricing_model"]
    for field in ("packages", "operations"):
        assert listed.get(field, content[field]) == content[field]


@pytest.mark.gaia(core=True, command="pricing-analytics")
async def test_costs_by_provider_add_up_to_the_total(gateway: HttpClient) -> None:
    response = (await gateway.get(f"{PRICING}/analytics")).expect(200)
    counts = ("total_images", "total_3d_models", "total_tokens", "total_credits")
    shape: Shape = {
        "period": {"start_date": DAY, "end_date": DAY},
        "total_cost": AMOUNT,
        "cost_breakdown": named(AMOUNT, least=1),
        "usage_metrics": dict.fromkeys(counts, COUNT),
        "cost_trends": each({"date": DAY, "daily_cost": AMOUNT}),
        "top_cost_operations": each({"operation": TEXT, "cost": AMOUNT, "count": COUNT}),
    }
    content = shaped(response, shape)
    assert content["total_cost"] == pytest.approx(sum(content["cost_breakdown"].values()), abs=CENT)
    assert content["period"]["start_date"] <= content["period"]["end_date"]
    days = [trend["date"] for trend in content["cost_trends"]]
    assert days == sorted(set(days))
    costs = [operation["cost"] for operation in content["top_cost_operations"]]
    assert costs == sorted(costs, reverse=True)
    if content["total_cost"]:
        assert days
        assert costs
