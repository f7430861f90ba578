"""Usage and its costs: totals are sums of their parts, and the rest is the limit minus the usage."""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from suites.shapes import AMOUNT, COUNT, DAY, FLAG, MOMENT, OBJECT, TEXT, each, equal, like, named, shaped, some

if TYPE_CHECKING:
    from pytest_gaia.clients.http.client import HttpClient
    from suites.shapes import Fields, Shape

pytestmark = pytest.mark.gaia(requires=["chat"])

USAGE = "/api/v0.2/usage"
CENT = 0.01

TOTALS: Fields = {
    "total_cost": AMOUNT,
    "total_requests": COUNT,
    "total_tokens": COUNT,
    "total_images": COUNT,
    "total_3d_models": COUNT,
}
PROVIDER: Shape = {"cost": AMOUNT, "requests": COUNT}


def assert_sums(totals: dict[str, Any], providers: dict[str, dict[str, Any]]) -> None:
    """Assert that totals are the sums over all providers; images may have other sources too."""

    def summed(field: str) -> Any:
        return sum(provider.get(field, 0) for provider in providers.values())

    assert totals["total_cost"] == pytest.approx(summed("cost"), abs=CENT)
    assert totals["total_requests"] == summed("requests")
    assert totals["total_tokens"] == summed("tokens")
    assert totals["total_3d_models"] == summed("models")
    assert totals["total_images"] >= summed("images")


@pytest.mark.gaia(core=True, command="usage-current")
async def test_usage_of_all_providers_adds_up(gateway: HttpClient) -> None:
    shape: Shape = {
        **TOTALS,
        "providers": named(PROVIDER, least=1),
        "billing_period": {"start": DAY, "end": MOMENT},
        "as_of": MOMENT,
    }
    content = shaped((await gateway.get(f"{USAGE}/current")).expect(200), shape)
    assert_sums(content, content["providers"])
    assert content["billing_period"]["start"] <= content["billing_period"]["end"][:10]


@pytest.mark.gaia(core=True, command="usage-history")
@pytest.mark.parametrize("days", [1, 7])
async def test_history_has_every_day_once_and_adds_up(gateway: HttpClient, days: int) -> None:
    summary: Shape = {
        "total_cost": AMOUNT,
        "total_requests": COUNT,
        "average_daily_cost": AMOUNT,
        "peak_cost_day": DAY,
    }
    day: Shape = {
        "date": DAY,
        "total_cost": AMOUNT,
        "total_requests": COUNT,
        "total_tokens": COUNT,
        "total_images": COUNT,
        "breakdown": named(PROVIDER),
    }
    period: Shape = {"start_date": DAY, "end_date": DAY, "days": equal(days)}
    shape: Shape = {"period": period, "usage_history": some(day), "summary": summary}
    content = shaped((await gateway.get(f"{USAGE}/history", params={"days": days})).expect(200), shape)
    history, total = content["usage_history"], content["summary"]
    first = date.fromisoformat(content["period"]["start_date"])
    assert [entry["date"] for entry in history] == [f"{first + timedelta(offset)}" for offset in range(days)]
    for entry in history:
        parts = entry["breakdown"].values()
        assert entry["total_cost"] == pytest.approx(sum(part["cost"] for part in parts), abs=CENT), entry["date"]
        assert entry["total_requests"] == sum(part["requests"] for part in parts), entry["date"]
    assert total["total_cost"] == pytest.approx(sum(entry["total_cost"] for entry in history), abs=CENT)
    assert total["total_requests"] == sum(entry["total_requests"] for entry in history)
    assert total["average_daily_cost"] == pytest.approx(total["total_cost"] / days, abs=CENT)
    assert total["peak_cost_day"] in _most_expensive_days(history)


@pytest.mark.gaia(core=True, command="usage-limits")
async def test_the_rest_is_the_limit_minus_the_usage(gateway: HttpClient) -> None:
    quotas = {
        "dalle": ("monthly_limit", "used_this_month", "remaining"),
        "meshy": ("credit_limit", "credits_used", "credits_remaining"),
        "stability": ("daily_limit", "used_today", "remaining_today"),
        "claude": ("token_limit", "tokens_used", "tokens_remaining"),
        "openai_gpt": ("token_limit", "tokens_used", "tokens_remaining"),
    }
    shape: Shape = {
        "billing_period": {"start": DAY, "end": MOMENT},
        "limits": {provider: dict.fromkeys(fields, COUNT) for provider, fields in quotas.items()},
        "warnings": each(OBJECT),
    }
    limits = shaped((await gateway.get(f"{USAGE}/limits")).expect(200), shape)["limits"]
    for provider, fields in quotas.items():
        limit, used, remaining = (limits[provider][field] for field in fields)
        assert remaining == limit - used, provider
    tiers = (await gateway.get("/api/v0.2/assets/pricing/cost-estimator/dalle-tiers")).expect(200).field("tiers")
    assert limits["dalle"].get("current_tier") in [tier["name"] for tier in tiers]


@pytest.mark.gaia(core=True, command="billing-current")
async def test_the_bill_adds_up_and_the_next_one_is_after_this_period(gateway: HttpClient) -> None:
    charges: Fields = dict.fromkeys(("subscription_fees", "usage_charges", "overage_charges", "total"), AMOUNT)
    shape: Shape = {
        "billing_period": {"start_date": DAY, "end_date": DAY, "days_remaining": COUNT},
        "current_charges": charges,
        # Only the last four digits of a card may be shown.
        "payment_method": {"type": TEXT, "last_four": like(r"\d{4}"), "status": TEXT},
        "next_billing_date": DAY,
        "auto_payment": FLAG,
        "estimated_next_bill": AMOUNT,
        "billing_alerts": each({"type": TEXT, "message": TEXT, "severity": TEXT}),
    }
    content = shaped((await gateway.get(f"{USAGE}/billing/current")).expect(200), shape)
    *parts, total = (content["current_charges"][name] for name in charges)
    assert total == pytest.approx(sum(parts), abs=CENT)
    period = content["billing_period"]
    start, end = (date.fromisoformat(period[name]) for name in ("start_date", "end_date"))
    assert period["days_remaining"] <= (end - start).days
    assert date.fromisoformat(content["next_billing_date"]) == end + timedelta(1)


@pytest.mark.gaia(core=True, command="monthly-report")
async def test_the_report_adds_up_in_both_of_its_breakdowns(gateway: HttpClient) -> None:
    shape: Shape = {
        "report_period": like(r"\d{4}-\d{2}"),
        "generated_at": MOMENT,
        "summary": {**TOTALS, "unique_operations": COUNT},
        "provider_breakdown": named(PROVIDER, least=1),
        "cost_categories": named(AMOUNT, least=1),
        "top_operations": each({"operation": TEXT, "cost": AMOUNT, "count": COUNT}),
        "cost_optimization_suggestions": each({"suggestion": TEXT, "potential_savings": AMOUNT, "reasoning": TEXT}),
    }
    content = shaped((await gateway.get(f"{USAGE}/reports/monthly")).expect(200), shape)
    assert_sums(content["summary"], content["provider_breakdown"])
    assert sum(content["cost_categories"].values()) == pytest.approx(content["summary"]["total_cost"], abs=CENT)
    costs = [operation["cost"] for operation in content["top_operations"]]
    assert costs == sorted(costs, reverse=True)
    assert costs or not content["summary"]["total_cost"]


@pytest.mark.gaia(writes=True)
async def test_an_entry_without_its_cost_is_a_client_error(gateway: HttpClient) -> None:
    entry = {"provider": "claude", "operation": "chat", "quantity": 1}
    assert "cost" in (await gateway.post(f"{USAGE}/log", json=entry)).expect(400, 422).field("detail")


def _most_expensive_days(history: list[dict[str, Any]]) -> list[str]:
    most = max(entry["total_cost"] for entry in history)
    return [entry["date"] for entry in history if entry["total_cost"] == most]
