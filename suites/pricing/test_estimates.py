"""Cost estimates of an operation, for one provider and as a comparison."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from suites.pricing.test_pricing import MODEL
from suites.shapes import AMOUNT, MOMENT, TEXT, equal, shaped, some

if TYPE_CHECKING:
    from pytest_gaia.clients.http.client import HttpClient
    from suites.shapes import Shape

pytestmark = pytest.mark.gaia(requires=["chat"])

ESTIMATE = "/api/v0.2/assets/pricing/cost-estimator/estimate"
COMPARISON = "/api/v0.2/assets/pricing/cost-estimator/provider-comparison"
CENT = 0.01


@pytest.mark.gaia(core=True, command="cost-estimate")
@pytest.mark.parametrize("quality", ["standard", "hd"])
async def test_an_estimate_is_price_times_quantity(gateway: HttpClient, quality: str) -> None:
    wish = {"provider": "dalle", "operation": "image_generation", "quantity": 5, "quality": quality}
    shape: Shape = {
        "provider": equal("dalle"),
        "operation": equal("image_generation"),
        "quantity": equal(5),
        "cost_per_unit": AMOUNT,
        "total_cost": AMOUNT,
        "tier_fee": AMOUNT,
        "currency": equal("USD"),
        "estimate_time": MOMENT,
    }
    estimate = shaped((await gateway.post(ESTIMATE, json=wish)).expect(200), shape)
    assert estimate["cost_per_unit"] > 0
    assert estimate["total_cost"] == pytest.approx(5 * estimate["cost_per_unit"], abs=CENT)
    tiers = (await gateway.get("/api/v0.2/assets/pricing/cost-estimator/dalle-tiers")).expect(200)
    assert estimate["cost_per_unit"] == tiers.field(f"tiers.0.{quality}_cost")
    assert estimate["tier_fee"] == tiers.field("tiers.0.monthly_fee")


@pytest.mark.gaia(core=True, command="provider-comparison")
@pytest.mark.parametrize("quantity", [1, 10])
async def test_offers_are_compared_and_the_cheapest_is_first(gateway: HttpClient, quantity: int) -> None:
    query = {"operation": "image_generation", "quantity": quantity, "quality": "standard"}
    shape: Shape = {
        "operation": equal("image_generation"),
        "quantity": equal(quantity),
        "quality": equal("standard"),
        "providers": some({"provider": TEXT, "cost_per_unit": AMOUNT, "total_cost": AMOUNT, "model": MODEL}),
        "cheapest_provider": TEXT,
        "comparison_time": MOMENT,
    }
    content = shaped((await gateway.get(COMPARISON, params=query)).expect(200), shape)
    for offer in content["providers"]:
        assert offer["total_cost"] == pytest.approx(quantity * offer["cost_per_unit"], abs=CENT), offer["provider"]
    totals = [offer["total_cost"] for offer in content["providers"]]
    assert totals == sorted(totals)
    assert content["cheapest_provider"] == content["providers"][0]["provider"]


async def test_prices_of_an_unknown_provider_are_not_found(gateway: HttpClient, unique_name: str) -> None:
    response = await gateway.get("/api/v0.2/assets/pricing/current", params={"provider": unique_name})
    assert unique_name in response.expect(404).field("detail")


async def test_an_estimate_without_a_provider_is_a_client_error(gateway: HttpClient) -> None:
    assert "provider" in (await gateway.post(ESTIMATE, json={})).expect(400, 422).field("detail")
