"""Related figures agree, and parts add up to totals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from pytest_gaia.sandbox._services.app import RESPONSES

if TYPE_CHECKING:
    from tests.sandbox.services.platform import Platform

V02 = "GET /api/v0.2"
TOTALS = ("total_cost", "total_requests", "total_tokens", "total_images", "total_3d_models")


def summed(entries: dict[str, Any], name: str) -> Any:
    return sum(entry.get(name, 0) for entry in entries.values())


async def test_usage_adds_up_and_is_what_is_reported_and_billed(platform: Platform) -> None:
    usage = await platform.content(f"{V02}/usage/current")
    report = await platform.content(f"{V02}/usage/reports/monthly")
    charges = (await platform.content(f"{V02}/usage/billing/current"))["current_charges"]

    for total, name in zip(TOTALS, ("cost", "requests", "tokens", "images", "models"), strict=True):
        assert usage[total] == pytest.approx(summed(usage["providers"], name))
        assert report["summary"][total] == usage[total]
    assert sum(report["cost_categories"].values()) == pytest.approx(usage["total_cost"])
    assert sum(one["cost"] for one in report["top_operations"]) == pytest.approx(usage["total_cost"])
    assert report["summary"]["unique_operations"] == len({one["operation"] for one in report["top_operations"]})
    assert charges.pop("total") == pytest.approx(sum(charges.values()))


async def test_limits_leave_what_is_not_used(platform: Platform) -> None:
    usage = (await platform.content(f"{V02}/usage/current"))["providers"]
    limits = (await platform.content(f"{V02}/usage/limits"))["limits"]
    dalle, meshy, stability = limits["dalle"], limits["meshy"], limits["stability"]

    assert dalle["remaining"] == dalle["monthly_limit"] - dalle["used_this_month"]
    assert dalle["used_this_month"] == usage["dalle"]["images"]
    assert meshy["credits_remaining"] == meshy["credit_limit"] - meshy["credits_used"]
    assert stability["remaining_today"] == stability["daily_limit"] - stability["used_today"]
    for name in ("claude", "openai_gpt"):
        assert limits[name]["tokens_remaining"] == limits[name]["token_limit"] - limits[name]["tokens_used"]
        cost = limits[name]["tokens_used"] / 1000 * limits[name]["cost_per_1k_tokens"]
        assert usage[name]["cost"] == pytest.approx(cost)


async def test_logged_usage_is_added(platform: Platform) -> None:
    before = await platform.content(f"{V02}/usage/current?provider=stability")
    entry = {"provider": "stability", "operation": "image_generation", "quantity": 3, "cost": 0.03}
    await platform.content("POST /api/v0.2/usage/log", json=entry)

    after = await platform.content(f"{V02}/usage/current?provider=stability")

    assert list(after["providers"]) == ["stability"]
    assert after["total_images"] == before["total_images"] + 3
    assert after["total_cost"] == pytest.approx(before["total_cost"] + 0.03)


@pytest.mark.parametrize("days", [1, 7, 30])
async def test_history_adds_up(platform: Platform, days: int) -> None:
    history = await platform.content(f"{V02}/usage/history?days={days}")
    listed, summary = history["usage_history"], history["summary"]

    assert (len(listed), history["period"]["days"]) == (days, days)
    for day in listed:
        assert day["total_cost"] == pytest.approx(summed(day["breakdown"], "cost"))
        assert day["total_requests"] == summed(day["breakdown"], "requests")
    assert summary["total_cost"] == pytest.approx(sum(day["total_cost"] for day in listed))
    assert summary["average_daily_cost"] == pytest.approx(summary["total_cost"] / days, abs=1e-4)
    assert summary["peak_cost_day"] == max(listed, key=lambda day: day["total_cost"])["date"]


async def test_analytics_add_up(platform: Platform) -> None:
    costs = await platform.content(f"{V02}/assets/pricing/analytics?start_date=2026-01-01&end_date=2026-01-31")
    total = pytest.approx(costs["total_cost"], abs=1e-3)

    assert costs["period"] == {"start_date": "2026-01-01", "end_date": "2026-01-31"}
    assert len(costs["cost_trends"]) == 31
    assert sum(costs["cost_breakdown"].values()) == total
    assert sum(day["daily_cost"] for day in costs["cost_trends"]) == total
    assert sum(one["cost"] for one in costs["top_cost_operations"]) == total


async def test_provider_statistics_add_up(platform: Platform) -> None:
    stats = await platform.content(f"{V02}/providers/stats")
    summary, each = stats["summary"], stats["provider_stats"]

    for total, name in (("requests", "requests_count"), ("tokens", "total_tokens"), ("cost", "total_cost")):
        assert summary[f"total_{total}"] == pytest.approx(summed(each, name))
    assert summary["total_errors"] == summed(each, "error_count")
    assert summary["overall_error_rate"] == pytest.approx(summary["total_errors"] / summary["total_requests"])
    for one in each.values():
        assert one["error_rate"] == pytest.approx(one["error_count"] / one["requests_count"])


async def test_stages_are_the_whole_request(platform: Platform) -> None:
    stages = await platform.content(f"{V02}/performance/stages?limit=7")
    timings, analysis = stages["stage_timings"], stages["analysis"]

    assert stages["limit_applied"] == 7
    assert summed(timings, "percentage_of_total") == pytest.approx(100)
    assert summed(timings, "average_duration") == pytest.approx(analysis["total_average_request_time"])
    for one in timings.values():
        assert one["min_duration"] <= one["average_duration"] <= one["max_duration"]


async def test_estimate_is_price_times_quantity(platform: Platform) -> None:
    wish = {"provider": "dalle", "operation": "image_generation", "quantity": 5, "quality": "hd"}
    estimate = await platform.content("POST /api/v0.2/assets/pricing/cost-estimator/estimate", json=wish)
    tiers = await platform.content(f"{V02}/assets/pricing/cost-estimator/dalle-tiers")

    assert estimate["total_cost"] == pytest.approx(5 * tiers["tiers"][0]["hd_cost"])


async def test_comparison_names_the_cheapest(platform: Platform) -> None:
    path = f"{V02}/assets/pricing/cost-estimator/provider-comparison?operation=image_generation&quantity=10"
    comparison = await platform.content(path)

    cheapest = min(comparison["providers"], key=lambda offer: offer["total_cost"])
    assert comparison["cheapest_provider"] == cheapest["provider"]
    assert cheapest["total_cost"] == pytest.approx(10 * cheapest["cost_per_unit"])


async def test_catalogues_agree(platform: Platform) -> None:
    models = (await platform.content(f"{V02}/models"))["models"]
    providers = await platform.content(f"{V02}/providers")

    assert providers["total_providers"] == len(providers["providers"])
    for provider in providers["providers"]:
        offered = await platform.content(f"{V02}/providers/{provider['id']}/models")
        assert [model["id"] for model in offered["models"]] == provider["models"]
        assert offered["total"] == len(provider["models"])
        assert sorted(provider["models"]) == sorted(one["id"] for one in models if one["provider"] == provider["id"])


async def test_models_are_filtered(platform: Platform) -> None:
    seeing = await platform.content(f"{V02}/models?provider=openai&capability=vision")

    assert ([model["id"] for model in seeing["models"]], seeing["total"]) == (["gpt-4o"], 1)
    assert seeing["filters"] == {"provider": "openai", "capability": "vision"}


async def test_reset_begins_to_measure_anew(platform: Platform) -> None:
    before = await platform.content(f"{V02}/performance/summary")
    reset = await platform.content("DELETE /api/v0.2/performance/reset")
    after = await platform.content(f"{V02}/performance/summary")

    period = reset["previous_data_summary"]["data_collection_period"]
    assert (period["start"], period["end"]) == (before["data_since"], after["data_since"])


@pytest.mark.parametrize(("service", "rule"), [(name, rule) for name, rules in RESPONSES.items() for rule in rules])
async def test_responses_leave_nothing_to_fill_in(fixed: Platform, service: str, rule: str) -> None:
    response = await fixed.ask(rule.format(provider="claude"), service=service)

    assert response.status_code == 200
    assert '"{' not in response.text
