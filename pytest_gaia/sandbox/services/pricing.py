"""Prices of assets over HTTP."""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING

from pytest_gaia.sandbox.services.app import HttpError, naive_now, today
from pytest_gaia.sandbox.services.ledger import RATES, money, on_day, over, span, units_of
from pytest_gaia.sandbox.services.validation import json_object, required_query, whole_number

if TYPE_CHECKING:
    from pytest_gaia.sandbox.services.app import Request, Router

DALLE_TIERS = [
    {
        "name": name,
        "monthly_fee": fee,
        "images_per_minute": rate,
        "monthly_limit": limit,
        "standard_cost": 0.04,
        "hd_cost": 0.08,
    }
    for name, fee, rate, limit in (("tier_1", 0.0, 5, 500), ("tier_2", 20.0, 7, 2500), ("tier_3", 50.0, 15, 10_000))
]
MESHY_PACKAGES = [
    {"name": "starter", "credits": 200, "cost": 5.0},
    {"name": "pro", "credits": 1000, "cost": 20.0},
    {"name": "studio", "credits": 4000, "cost": 60.0},
]
MESHY_OPERATIONS = {"text_to_3d": 5, "texture_generation": 10, "refinement": 15}

_PRICING: dict[str, dict[str, object]] = {
    "dalle": {"model": "tier_based", "tiers": DALLE_TIERS},
    "meshy": {"model": "credit_based", "packages": MESHY_PACKAGES, "operations": MESHY_OPERATIONS},
    "stability": {"model": "per_image", "standard_cost": 0.01, "hd_cost": 0.02},
    "claude": {"model": "token_based", "cost_per_1k_tokens": 0.008},
    "openai_gpt": {"model": "token_based", "cost_per_1k_tokens": 0.01},
}
_DETAILS: dict[str, dict[str, object]] = {
    "dalle": {"capabilities": ["image_generation", "tier_management"], "tier_count": len(DALLE_TIERS)},
    "meshy": {"capabilities": ["3d_generation", "texture_generation"], "operations": list(MESHY_OPERATIONS)},
}
_QUALITY_PRICES = {
    "dalle": {"standard": 0.04, "hd": 0.08},
    "stability": {"standard": 0.01, "hd": 0.02},
    "meshy": {"standard": 0.2, "hd": 0.4},
}
"""provider → quality → USD for one"""
_COMPARED = {"image_generation": ("stability",), "text_to_3d": ("meshy",)}
"""operation → providers, the cheapest first; DALL-E is sold in tiers and not compared"""

ANALYSED_DAYS = 30


def add_pricing(router: Router, *, fixed: bool) -> None:
    """Add the routes. In the release every mistake in a request for a price is a 500."""
    prices = Pricing(fixed=fixed)
    base = "/api/v0.2/assets/pricing"
    router.add(f"GET {base}/current", prices.current)
    router.add(f"GET {base}/analytics", analytics)
    router.add(f"POST {base}/update", prices.update)
    router.add(f"GET {base}/providers", providers)
    router.add(f"POST {base}/cost-estimator/estimate", prices.estimate)
    router.add(f"GET {base}/cost-estimator/dalle-tiers", dalle_tiers)
    router.add(f"GET {base}/cost-estimator/meshy-packages", meshy_packages)
    router.add(f"GET {base}/cost-estimator/provider-comparison", prices.compare)


def mistake(status: int, detail: str, *, fixed: bool) -> HttpError:
    """Return the error for a mistake of the caller; the release wraps it in a 500 that only quotes its status."""
    return HttpError(status, detail) if fixed else HttpError(500, f"{status}: {detail}")


class Pricing:
    """The handlers that can be asked wrongly."""

    def __init__(self, *, fixed: bool) -> None:
        self._fixed = fixed

    async def current(self, request: Request) -> object:
        """Return the prices of one provider."""
        provider = required_query(request, "provider")
        if provider not in _PRICING:
            raise mistake(404, f"Pricing not found for provider: {provider}", fixed=self._fixed)
        quality = request.query.get("quality", "standard")
        details = {"provider": provider, "quality": quality, "last_updated": naive_now()}
        return {"pricing": {**_PRICING[provider], **details}, "effective_date": naive_now(), "currency": "USD"}

    async def update(self, request: Request) -> object:
        """Look for new prices of one provider: there are none."""
        provider = required_query(request, "provider")
        if provider not in _PRICING:
            raise mistake(404, f"Pricing not found for provider: {provider}", fixed=self._fixed)
        return {"status": "success", "provider": provider, "updated": False, "timestamp": naive_now()}

    async def estimate(self, request: Request) -> object:
        """Return what an operation would cost."""
        wish = json_object(request.body)
        provider, operation = wish.get("provider"), wish.get("operation", "image_generation")
        if provider not in RATES:
            raise mistake(400, "Valid provider required", fixed=self._fixed)
        quantity = wish.get("quantity", 1)
        if not isinstance(quantity, int) or quantity < 0:
            raise mistake(400, "Valid quantity required", fixed=self._fixed)
        price = _price(provider, wish.get("quality", "standard"))
        fee = DALLE_TIERS[0]["monthly_fee"] if provider == "dalle" else 0.0
        return {
            "provider": provider,
            "operation": operation,
            "quantity": quantity,
            "cost_per_unit": price,
            "total_cost": money(price * quantity),
            "tier_fee": fee,
            "currency": "USD",
            "estimate_time": naive_now(),
        }

    async def compare(self, request: Request) -> object:
        """Return what an operation would cost at each provider, the cheapest first."""
        operation, quantity = required_query(request, "operation"), whole_number(request, "quantity", 1)
        quality = request.query.get("quality", "standard")
        prices = {provider: _price(provider, quality) for provider in _COMPARED.get(operation, ())}
        offers = [
            {
                "provider": provider,
                "cost_per_unit": price,
                "total_cost": money(price * quantity),
                "model": _PRICING[provider]["model"],
            }
            for provider, price in prices.items()
        ]
        if not offers:
            raise mistake(400, f"Unsupported operation: {operation}", fixed=self._fixed)
        return {
            "operation": operation,
            "quantity": quantity,
            "quality": quality,
            "providers": offers,
            "cheapest_provider": offers[0]["provider"],
            "comparison_time": naive_now(),
        }


async def analytics(request: Request) -> object:
    """Return costs from ``start_date`` to ``end_date`` by provider, day and operation; each adds up to the total."""
    end = _day(request, "end_date", today())
    days = span(_day(request, "start_date", end - timedelta(ANALYSED_DAYS - 1)), end)
    wanted = request.query.get("provider")
    entries = {provider: over(days, provider) for provider in RATES if wanted in (None, provider)}
    trends = [{"date": f"{day}", "daily_cost": money(sum(on_day(day, one).cost for one in entries))} for day in days]
    operations = [
        {"operation": f"{provider}_{RATES[provider].operation}", "cost": entry.cost, "count": entry.requests}
        for provider, entry in sorted(entries.items(), key=lambda item: -item[1].cost)
    ]
    models = units_of(entries, "models")
    return {
        "period": {"start_date": f"{days[0]}" if days else f"{end}", "end_date": f"{end}"},
        "total_cost": money(sum(entry.cost for entry in entries.values())),
        "cost_breakdown": {provider: entry.cost for provider, entry in entries.items()},
        "usage_metrics": {
            "total_images": units_of(entries, "images"),
            "total_3d_models": models,
            "total_tokens": units_of(entries, "tokens"),
            "total_credits": models * MESHY_OPERATIONS["text_to_3d"],
        },
        "cost_trends": trends,
        "top_cost_operations": operations,
    }


async def providers(request: Request) -> object:
    """List the providers of assets, and every way in which a provider may be priced."""
    listed = [
        {
            "name": name,
            "pricing_model": _PRICING[name]["model"],
            "status": "active",
            "last_updated": naive_now(),
            **details,
        }
        for name, details in _DETAILS.items()
    ]
    supported = list(dict.fromkeys(pricing["model"] for pricing in _PRICING.values()))
    return {"providers": listed, "total_providers": len(listed), "supported_models": supported}


async def dalle_tiers(request: Request) -> object:
    """List the tiers of DALL-E."""
    prices = {"provider": "dalle", "pricing_model": "tier_based", "tiers": DALLE_TIERS}
    return {**prices, "currency": "USD", "billing_cycle": "monthly"}


async def meshy_packages(request: Request) -> object:
    """List the packages of Meshy, and what an operation takes from them."""
    prices = {"provider": "meshy", "pricing_model": "credit_based", "packages": MESHY_PACKAGES}
    return {**prices, "operations": MESHY_OPERATIONS, "currency": "USD"}


def _day(request: Request, name: str, default: date) -> date:
    text = request.query.get(name)
    if text is None:
        return default
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise HttpError(400, f"Invalid {name}: {text}") from None


def _price(provider: str, quality: str) -> float:
    """Return USD for one unit; a quality that is unknown costs what a usual one does."""
    return _QUALITY_PRICES.get(provider, {}).get(quality, RATES[provider].price)
