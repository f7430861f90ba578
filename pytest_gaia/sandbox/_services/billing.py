"""The costs of providers of models and assets: prices, usage, limits and bills.

The same day always has the same figures, and all reports about this month are consistent.
"""

from __future__ import annotations

import calendar
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, NamedTuple

from pytest_gaia.sandbox._services.app import (
    FIGURES,
    RESPONSES,
    HttpError,
    Request,
    Service,
    add_canned,
    canned,
    filled,
    naive_now,
    today,
)
from pytest_gaia.sandbox._services.validation import json_object, required_query, whole_number

_PRICES = "/api/v0.2/assets/pricing"
_USAGE = "/api/v0.2/usage"
_ANALYSED_DAYS = 30
_ALERT_PERCENT = 80

_PRICING: Mapping[str, Mapping[str, Any]] = FIGURES["pricing"]
"""provider → its price list"""
_QUALITIES: Mapping[str, Mapping[str, float]] = FIGURES["prices"]
"""provider → quality → USD for one"""
_COMPARED: Mapping[str, list[str]] = FIGURES["compared"]
"""operation → providers, cheapest first; DALL-E has tiers and is not compared"""
_CREDITS: int = _PRICING["meshy"]["operations"]["text_to_3d"]
"""credits that Meshy charges for one model"""


class Rate(NamedTuple):
    """The rate of a provider. ``unit`` is what its requests produce, ``price`` is in USD for one unit."""

    operation: str
    unit: str
    price: float
    per_request: int
    """units of one request"""
    daily: int
    """minimum of requests for a day"""


@dataclass(frozen=True, slots=True)
class Entry:
    """The usage of one provider: requests, units of its rate, and USD."""

    requests: int
    units: int
    cost: float

    def __add__(self, other: Entry) -> Entry:
        return Entry(self.requests + other.requests, self.units + other.units, _money(self.cost + other.cost))


_NOTHING = Entry(0, 0, 0.0)
_RATES: Mapping[str, Rate] = {provider: Rate(**rate) for provider, rate in FIGURES["rates"].items()}
_THIS_MONTH: Mapping[str, Entry] = {provider: Entry(**entry) for provider, entry in FIGURES["this_month"].items()}
"""the usage of this month before any log entry; Meshy is paid by package, the others by use"""


def add_pricing(router: Service, *, fixed: bool) -> None:
    """Add the routes of prices. Without ``fixed``, every invalid request for a price returns 500."""
    prices = Pricing(fixed=fixed)
    tiers, packages = f"GET {_PRICES}/cost-estimator/dalle-tiers", f"GET {_PRICES}/cost-estimator/meshy-packages"
    router.add(f"GET {_PRICES}/current", prices.current)
    router.add(f"GET {_PRICES}/analytics", analytics)
    router.add(f"POST {_PRICES}/update", prices.update)
    add_canned(router, "chat", f"GET {_PRICES}/providers")
    router.add(f"POST {_PRICES}/cost-estimator/estimate", prices.estimate)
    router.add(tiers, canned(RESPONSES["chat"][tiers], **_PRICING["dalle"]))
    router.add(packages, canned(RESPONSES["chat"][packages], **_PRICING["meshy"]))
    router.add(f"GET {_PRICES}/cost-estimator/provider-comparison", prices.compare)


def add_usage(router: Service, *, fixed: bool) -> None:
    """Add the routes of usage. Without ``fixed``, every invalid log entry returns 500."""
    usage = Usage(fixed=fixed)
    router.add(f"GET {_USAGE}/current", usage.current)
    router.add(f"GET {_USAGE}/history", history)
    router.add(f"POST {_USAGE}/log", usage.log)
    router.add(f"GET {_USAGE}/limits", usage.limits)
    router.add(f"GET {_USAGE}/billing/current", usage.billing)
    router.add(f"GET {_USAGE}/reports/monthly", usage.monthly)


class Pricing:
    """The handlers that validate their input."""

    def __init__(self, *, fixed: bool) -> None:
        self._fixed = fixed

    async def current(self, request: Request) -> object:
        """Return the prices of one provider."""
        provider = self._provider(request)
        quality = request.query_params.get("quality", "standard")
        details = {"provider": provider, "quality": quality, "last_updated": naive_now()}
        return {"pricing": {**_PRICING[provider], **details}, "effective_date": naive_now(), "currency": "USD"}

    async def update(self, request: Request) -> object:
        """Update the prices of one provider, which never change."""
        provider = self._provider(request)
        return {"status": "success", "provider": provider, "updated": False, "timestamp": naive_now()}

    async def estimate(self, request: Request) -> object:
        """Return the estimated cost of an operation."""
        wish = json_object(request.content)
        provider, operation = wish.get("provider", ""), wish.get("operation", "image_generation")
        if provider not in _RATES:
            raise _bad_request(400, "Valid provider required", fixed=self._fixed)
        quantity = wish.get("quantity", 1)
        if not isinstance(quantity, int) or quantity < 0:
            raise _bad_request(400, "Valid quantity required", fixed=self._fixed)
        price = _price(provider, wish.get("quality", "standard"))
        return {
            "provider": provider,
            "operation": operation,
            "quantity": quantity,
            "cost_per_unit": price,
            "total_cost": _money(price * quantity),
            "tier_fee": 0.0,
            "currency": "USD",
            "estimate_time": naive_now(),
        }

    async def compare(self, request: Request) -> object:
        """Return what an operation would cost at each provider, the cheapest first."""
        operation, quantity = required_query(request, "operation"), whole_number(request, "quantity", 1)
        quality = request.query_params.get("quality", "standard")
        prices = {provider: _price(provider, quality) for provider in _COMPARED.get(operation, ())}
        offers = [
            {
                "provider": provider,
                "cost_per_unit": price,
                "total_cost": _money(price * quantity),
                "model": _PRICING[provider]["model"],
            }
            for provider, price in prices.items()
        ]
        if not offers:
            raise _bad_request(400, f"Unsupported operation: {operation}", fixed=self._fixed)
        return {
            "operation": operation,
            "quantity": quantity,
            "quality": quality,
            "providers": offers,
            "cheapest_provider": offers[0]["provider"],
            "comparison_time": naive_now(),
        }

    def _provider(self, request: Request) -> str:
        provider = required_query(request, "provider")
        if provider not in _PRICING:
            raise _bad_request(404, f"Pricing not found for provider: {provider}", fixed=self._fixed)
        return provider


async def analytics(request: Request) -> object:
    """Return costs from ``start_date`` to ``end_date`` by provider, day and operation; each adds up to the total."""
    end = _date(request, "end_date", today())
    start = _date(request, "start_date", end - timedelta(_ANALYSED_DAYS - 1))
    days = [start + timedelta(offset) for offset in range((end - start).days + 1)]
    wanted = request.query_params.get("provider")
    entries = {one: sum((_on_day(day, one) for day in days), _NOTHING) for one in _RATES if wanted in (None, one)}
    models = _units(entries, "models")
    return {
        "period": {"start_date": f"{days[0]}" if days else f"{end}", "end_date": f"{end}"},
        "total_cost": _money(sum(entry.cost for entry in entries.values())),
        "cost_breakdown": {provider: entry.cost for provider, entry in entries.items()},
        "usage_metrics": {
            "total_images": _units(entries, "images"),
            "total_3d_models": models,
            "total_tokens": _units(entries, "tokens"),
            "total_credits": models * _CREDITS,
        },
        "cost_trends": [
            {"date": f"{day}", "daily_cost": _money(sum(_on_day(day, one).cost for one in entries))} for day in days
        ],
        "top_cost_operations": _operations(entries),
    }


class Usage:
    """The handlers for this month's usage, including log entries."""

    def __init__(self, *, fixed: bool) -> None:
        self._fixed = fixed
        self._entries = dict(_THIS_MONTH)

    async def log(self, request: Request) -> object:
        """Add to this month's usage of a provider."""
        entry = json_object(request.content)
        for name in ("provider", "operation", "quantity", "cost"):
            if name not in entry:
                raise _bad_request(400, f"Missing required field: {name}", fixed=self._fixed)
        provider, quantity, cost = entry["provider"], entry["quantity"], entry["cost"]
        if provider not in _RATES or not isinstance(quantity, int) or not isinstance(cost, int | float):
            raise _bad_request(400, "Valid provider, quantity and cost required", fixed=self._fixed)
        if not request.dry:
            self._entries[provider] += Entry(1, quantity, float(cost))
        return {"success": True, "message": "Usage logged successfully", "timestamp": naive_now()}

    async def current(self, request: Request) -> object:
        """Return this month's usage of one ``provider``, or of all."""
        wanted = request.query_params.get("provider")
        entries = {name: entry for name, entry in self._entries.items() if wanted in (None, name)}
        period = {"start": f"{today().replace(day=1)}", "end": naive_now()}
        return {**_totals(entries), "providers": _by_provider(entries), "billing_period": period, "as_of": naive_now()}

    async def limits(self, request: Request) -> object:
        """Return this month's limits of one ``provider``, or of all, with usage and rest."""
        used = {provider: entry.units for provider, entry in self._entries.items()}
        used |= {"meshy": used["meshy"] * _CREDITS, "stability": _on_day(today(), "stability").units}
        wanted = request.query_params.get("provider")
        shown = {
            name: filled(one["told"], limit=one["limit"], used=used[name], left=one["limit"] - used[name])
            for name, one in FIGURES["limits"].items()
            if wanted in (None, name)
        }
        period = {"start": f"{today().replace(day=1)}", "end": naive_now()}
        return {"billing_period": period, "limits": shown, "warnings": []}

    async def billing(self, request: Request) -> object:
        """Return the current bill of this month."""
        day = today()
        last = day.replace(day=calendar.monthrange(day.year, day.month)[1])
        charges = self._charges()
        return filled(
            RESPONSES["chat"][f"GET {_USAGE}/billing/current"],
            **charges,
            total=_money(sum(charges.values())),
            first=f"{day.replace(day=1)}",
            last=f"{last}",
            next=f"{last + timedelta(1)}",
            days_left=(last - day).days,
            alerts=self._alerts(),
        )

    async def monthly(self, request: Request) -> object:
        """Return this month's report."""
        operations = _operations(self._entries)
        return filled(
            RESPONSES["chat"][f"GET {_USAGE}/reports/monthly"],
            **self._charges(),
            month=request.query_params.get("month", f"{today():%Y-%m}"),
            summary={**_totals(self._entries), "unique_operations": len(operations)},
            by_provider=_by_provider(self._entries),
            operations=operations,
            saved=_money(self._entries["dalle"].units * (_RATES["dalle"].price - _RATES["stability"].price)),
        )

    def _charges(self) -> dict[str, float]:
        by_use = _money(sum(entry.cost for name, entry in self._entries.items() if name != "meshy"))
        return {"fees": self._entries["meshy"].cost, "charges": by_use}

    def _alerts(self) -> list[dict[str, object]]:
        percent = 100 * self._entries["dalle"].units // FIGURES["limits"]["dalle"]["limit"]
        if percent < _ALERT_PERCENT:
            return []
        message = f"DALL-E usage at {percent}% of monthly limit"
        return [{"type": "approaching_limit", "message": message, "severity": "warning"}]


async def history(request: Request) -> object:
    """Return the usage of the last ``days``, for one ``provider`` or all."""
    count = max(1, whole_number(request, "days", 30))
    wanted = request.query_params.get("provider")
    names = [name for name in _RATES if wanted in (None, name)]
    end = today()
    days = [_day(end - timedelta(offset), names) for offset in range(count - 1, -1, -1)]
    total = _money(sum(day["total_cost"] for day in days))
    return {
        "period": {"start_date": days[0]["date"], "end_date": days[-1]["date"], "days": count},
        "usage_history": days,
        "summary": {
            "total_cost": total,
            "total_requests": sum(day["total_requests"] for day in days),
            "average_daily_cost": _money(total / count),
            "peak_cost_day": max(days, key=lambda day: day["total_cost"])["date"],
        },
    }


def _bad_request(status: int, detail: str, *, fixed: bool) -> HttpError:
    """Return the error for an invalid request. Without ``fixed`` it is a 500 whose text contains the status."""
    return HttpError(status, detail) if fixed else HttpError(500, f"{status}: {detail}")


def _money(amount: float) -> float:
    """Return USD rounded to a hundredth of a cent."""
    return round(amount, 4)


def _price(provider: str, quality: str) -> float:
    """Return USD for one unit; an unknown quality has the standard price."""
    return _QUALITIES.get(provider, {}).get(quality, _RATES[provider].price)


def _date(request: Request, name: str, default: date) -> date:
    text = request.query_params.get(name)
    if text is None:
        return default
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise HttpError(400, f"Invalid {name}: {text}") from None


def _on_day(day: date, provider: str) -> Entry:
    """Return the usage of a provider on one day."""
    rate = _RATES[provider]
    requests = rate.daily + day.toordinal() % 5
    units = requests * rate.per_request
    return Entry(requests, units, _money(units * rate.price))


def _day(day: date, names: list[str]) -> dict[str, Any]:
    entries = {name: _on_day(day, name) for name in names}
    totals = _totals(entries)
    del totals["total_3d_models"]
    breakdown = {name: {"cost": entry.cost, "requests": entry.requests} for name, entry in entries.items()}
    return {"date": f"{day}", **totals, "breakdown": breakdown}


def _totals(entries: Mapping[str, Entry]) -> dict[str, object]:
    summed = sum(entries.values(), _NOTHING)
    return {
        "total_cost": summed.cost,
        "total_requests": summed.requests,
        "total_tokens": _units(entries, "tokens"),
        "total_images": _units(entries, "images"),
        "total_3d_models": _units(entries, "models"),
    }


def _units(entries: Mapping[str, Entry], unit: str) -> int:
    """Return the total of one kind of unit."""
    return sum(entry.units for provider, entry in entries.items() if _RATES[provider].unit == unit)


def _by_provider(entries: Mapping[str, Entry]) -> dict[str, object]:
    return {
        name: {"cost": entry.cost, "requests": entry.requests, _RATES[name].unit: entry.units}
        for name, entry in entries.items()
    }


def _operations(entries: Mapping[str, Entry]) -> list[dict[str, object]]:
    """Return the operations, most expensive first."""
    return [
        {"operation": f"{provider}_{_RATES[provider].operation}", "cost": entry.cost, "count": entry.requests}
        for provider, entry in sorted(entries.items(), key=lambda item: -item[1].cost)
    ]
