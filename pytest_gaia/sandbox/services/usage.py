"""Usage, limits and bills over HTTP. All of them tell of the same month, and add up."""

from __future__ import annotations

import calendar
from datetime import timedelta
from typing import TYPE_CHECKING

from pytest_gaia.sandbox.services.app import naive_now, today
from pytest_gaia.sandbox.services.ledger import NOTHING, RATES, Entry, money, on_day, units_of
from pytest_gaia.sandbox.services.pricing import DALLE_TIERS, MESHY_OPERATIONS, MESHY_PACKAGES, mistake
from pytest_gaia.sandbox.services.validation import json_object, whole_number

if TYPE_CHECKING:
    from datetime import date

    from pytest_gaia.sandbox.services.app import Request, Router

THIS_MONTH = {
    "dalle": Entry(425, 425, 17.0),
    "meshy": Entry(25, 25, 20.0),
    "stability": Entry(130, 130, 1.3),
    "claude": Entry(1250, 250_000, 2.0),
    "openai_gpt": Entry(1000, 300_000, 3.0),
}
"""What the month has seen before anything was logged; Meshy is paid by its package, the others by use."""

TOKEN_LIMIT = 1_000_000
STABILITY_DAILY = 150
ALERT_PERCENT = 80


def add_usage(router: Router, *, fixed: bool) -> None:
    """Add the routes. In the release every mistake in a log entry is a 500."""
    usage = Usage(fixed=fixed)
    base = "/api/v0.2/usage"
    router.add(f"GET {base}/current", usage.current)
    router.add(f"GET {base}/history", history)
    router.add(f"POST {base}/log", usage.log)
    router.add(f"GET {base}/limits", usage.limits)
    router.add(f"GET {base}/billing/current", usage.billing)
    router.add(f"GET {base}/reports/monthly", usage.monthly)


class Usage:
    """The handlers that tell of this month, to which what is logged is added."""

    def __init__(self, *, fixed: bool) -> None:
        self._fixed = fixed
        self._entries = dict(THIS_MONTH)

    async def log(self, request: Request) -> object:
        """Add to this month's usage of a provider."""
        entry = json_object(request.body)
        for name in ("provider", "operation", "quantity", "cost"):
            if name not in entry:
                raise mistake(400, f"Missing required field: {name}", fixed=self._fixed)
        provider, quantity, cost = entry["provider"], entry["quantity"], entry["cost"]
        if provider not in RATES or not isinstance(quantity, int) or not isinstance(cost, int | float):
            raise mistake(400, "Valid provider, quantity and cost required", fixed=self._fixed)
        if not request.dry:
            self._entries[provider] += Entry(1, quantity, float(cost))
        return {"success": True, "message": "Usage logged successfully", "timestamp": naive_now()}

    async def current(self, request: Request) -> object:
        """Return this month's usage of one ``provider``, or all."""
        wanted = request.query.get("provider")
        entries = {name: entry for name, entry in self._entries.items() if wanted in (None, name)}
        first = today().replace(day=1)
        period = {"start": f"{first}", "end": naive_now()}
        return {**_totals(entries), "providers": _by_provider(entries), "billing_period": period, "as_of": naive_now()}

    async def limits(self, request: Request) -> object:
        """Return what is left of this month's limits of one ``provider``, or all."""
        limits = {"dalle": self._dalle(), "meshy": self._meshy(), "stability": self._stability()}
        limits |= {name: self._tokens(name) for name in ("claude", "openai_gpt")}
        wanted = request.query.get("provider")
        shown = {name: limit for name, limit in limits.items() if wanted in (None, name)}
        period = {"start": f"{today().replace(day=1)}", "end": naive_now()}
        return {"billing_period": period, "limits": shown, "warnings": []}

    async def billing(self, request: Request) -> object:
        """Return this month's bill so far."""
        day = today()
        last = day.replace(day=calendar.monthrange(day.year, day.month)[1])
        fees, charges = self._fees(), self._charges()
        total = money(fees + charges)
        return {
            "billing_period": {
                "start_date": f"{day.replace(day=1)}",
                "end_date": f"{last}",
                "days_remaining": (last - day).days,
            },
            "current_charges": {
                "subscription_fees": fees,
                "usage_charges": charges,
                "overage_charges": 0.0,
                "total": total,
            },
            "payment_method": {"type": "credit_card", "last_four": "4242", "status": "active"},
            "next_billing_date": f"{last + timedelta(1)}",
            "auto_payment": True,
            "estimated_next_bill": total,
            "billing_alerts": self._alerts(),
        }

    async def monthly(self, request: Request) -> object:
        """Return this month's report."""
        operations = [
            {"operation": f"{name}_{RATES[name].operation}", "cost": entry.cost, "count": entry.requests}
            for name, entry in sorted(self._entries.items(), key=lambda item: -item[1].cost)
        ]
        saved = money(self._entries["dalle"].units * (RATES["dalle"].price - RATES["stability"].price))
        return {
            "report_period": request.query.get("month", f"{today():%Y-%m}"),
            "generated_at": naive_now(),
            "summary": {**_totals(self._entries), "unique_operations": len(operations)},
            "provider_breakdown": _by_provider(self._entries),
            "cost_categories": {
                "subscription_fees": self._fees(),
                "per_use_charges": self._charges(),
                "overage_charges": 0.0,
            },
            "top_operations": operations,
            "cost_optimization_suggestions": [
                {
                    "suggestion": "Use Stability for drafts",
                    "potential_savings": saved,
                    "reasoning": "An image of standard quality costs a quarter there",
                }
            ],
        }

    def _fees(self) -> float:
        return self._entries["meshy"].cost

    def _charges(self) -> float:
        return money(sum(entry.cost for name, entry in self._entries.items() if name != "meshy"))

    def _dalle(self) -> dict[str, object]:
        tier, used = DALLE_TIERS[0], self._entries["dalle"].units
        limit = int(str(tier["monthly_limit"]))
        return {
            "current_tier": tier["name"],
            "monthly_limit": limit,
            "used_this_month": used,
            "remaining": limit - used,
            "rate_limit": tier["images_per_minute"],
            "monthly_fee": tier["monthly_fee"],
            "overage_cost": tier["standard_cost"],
        }

    def _meshy(self) -> dict[str, object]:
        package, used = MESHY_PACKAGES[1], self._entries["meshy"].units * MESHY_OPERATIONS["text_to_3d"]
        limit = int(str(package["credits"]))
        return {
            "current_package": package["name"],
            "credit_limit": limit,
            "credits_used": used,
            "credits_remaining": limit - used,
            "auto_renewal": True,
            "package_cost": package["cost"],
        }

    def _stability(self) -> dict[str, object]:
        used = on_day(today(), "stability").units
        left = {"used_today": used, "remaining_today": STABILITY_DAILY - used}
        return {"daily_limit": STABILITY_DAILY, **left, "cost_per_image": RATES["stability"].price}

    def _tokens(self, provider: str) -> dict[str, object]:
        used = self._entries[provider].units
        left = {"tokens_used": used, "tokens_remaining": TOKEN_LIMIT - used}
        return {"token_limit": TOKEN_LIMIT, **left, "cost_per_1k_tokens": money(RATES[provider].price * 1000)}

    def _alerts(self) -> list[dict[str, object]]:
        percent = 100 * self._entries["dalle"].units // int(str(DALLE_TIERS[0]["monthly_limit"]))
        if percent < ALERT_PERCENT:
            return []
        message = f"DALL-E usage at {percent}% of monthly limit"
        return [{"type": "approaching_limit", "message": message, "severity": "warning"}]


async def history(request: Request) -> object:
    """Return usage of the last ``days``, of one ``provider`` or all."""
    count = max(1, whole_number(request, "days", 30))
    wanted = request.query.get("provider")
    names = [name for name in RATES if wanted in (None, name)]
    end = today()
    days = [_day(end - timedelta(offset), names) for offset in range(count - 1, -1, -1)]
    costs = [float(str(day["total_cost"])) for day in days]
    total = money(sum(costs))
    return {
        "period": {"start_date": days[0]["date"], "end_date": days[-1]["date"], "days": count},
        "usage_history": days,
        "summary": {
            "total_cost": total,
            "total_requests": sum(int(str(day["total_requests"])) for day in days),
            "average_daily_cost": money(total / count),
            "peak_cost_day": days[costs.index(max(costs))]["date"],
        },
    }


def _day(day: date, names: list[str]) -> dict[str, object]:
    entries = {name: on_day(day, name) for name in names}
    totals = _totals(entries)
    del totals["total_3d_models"]
    breakdown = {name: {"cost": entry.cost, "requests": entry.requests} for name, entry in entries.items()}
    return {"date": f"{day}", **totals, "breakdown": breakdown}


def _totals(entries: dict[str, Entry]) -> dict[str, object]:
    summed = sum(entries.values(), NOTHING)
    return {
        "total_cost": summed.cost,
        "total_requests": summed.requests,
        "total_tokens": units_of(entries, "tokens"),
        "total_images": units_of(entries, "images"),
        "total_3d_models": units_of(entries, "models"),
    }


def _by_provider(entries: dict[str, Entry]) -> dict[str, object]:
    return {
        name: {"cost": entry.cost, "requests": entry.requests, RATES[name].unit: entry.units}
        for name, entry in entries.items()
    }
