"""The providers of models over HTTP: what they offer, how they are, what they have served."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_gaia.sandbox.services.app import HttpError, naive_now
from pytest_gaia.sandbox.services.catalogue import PROVIDERS, capabilities_of, of_provider
from pytest_gaia.sandbox.services.models import summary

if TYPE_CHECKING:
    from pytest_gaia.sandbox.services.app import Request, Router

_STATS = {
    "claude": {"requests_count": 1250, "total_tokens": 250_000, "total_cost": 2.0, "avg_response_time_ms": 850},
    "openai": {"requests_count": 900, "total_tokens": 300_000, "total_cost": 3.0, "avg_response_time_ms": 1100},
}
_ERRORS = {"claude": 5, "openai": 9}


def add_providers(router: Router, *, fixed: bool) -> None:
    """Add the routes. The release lacks those of a single provider, but for its models."""
    base = "/api/v0.2/providers"
    router.add(f"GET {base}/", providers)
    router.add(f"GET {base}/{{provider}}/models", provider_models)
    router.add(f"GET {base}/health", providers_health)
    router.add(f"POST {base}/health/check", providers_health)
    router.add(f"GET {base}/stats", providers_stats)
    if fixed:
        router.add(f"GET {base}/{{provider}}", provider)
        router.add(f"GET {base}/{{provider}}/health", provider_health)
        router.add(f"GET {base}/{{provider}}/stats", provider_stats)


async def providers(request: Request) -> object:
    """List the providers."""
    listed = [_provider(name) for name in PROVIDERS]
    return {
        "providers": listed,
        "total_providers": len(listed),
        "health_status": "all_healthy",
        "timestamp": naive_now(),
    }


async def provider(request: Request) -> object:
    """Describe one provider."""
    return _provider(_known(request))


async def provider_models(request: Request) -> object:
    """List the models of one provider with their prices."""
    name = _known(request)
    listed = [
        {
            **summary(model),
            "pricing": {
                "input_tokens_per_million": model.input_price,
                "output_tokens_per_million": model.output_price,
            },
        }
        for model in of_provider(name)
    ]
    return {"provider": name, "models": listed, "total": len(listed)}


async def providers_health(request: Request) -> object:
    """Tell how the providers are."""
    return {
        "overall_status": "healthy",
        "providers": {name: _health(name) for name in PROVIDERS},
        "timestamp": naive_now(),
    }


async def provider_health(request: Request) -> object:
    """Tell how one provider is."""
    name = _known(request)
    return {"provider": name, **_health(name)}


async def providers_stats(request: Request) -> object:
    """Tell what the providers have served; the summary is their sum."""
    stats = {name: _stats(name) for name in PROVIDERS}
    requests, errors = sum(one["requests_count"] for one in _STATS.values()), sum(_ERRORS.values())
    summed = {
        "total_requests": requests,
        "total_tokens": sum(one["total_tokens"] for one in _STATS.values()),
        "total_cost": sum(one["total_cost"] for one in _STATS.values()),
        "total_errors": errors,
        "overall_error_rate": errors / requests,
    }
    return {"provider_stats": stats, "summary": summed, "timestamp": naive_now()}


async def provider_stats(request: Request) -> object:
    """Tell what one provider has served."""
    name = _known(request)
    return {"provider": name, **_stats(name)}


def _known(request: Request) -> str:
    name = request.params["provider"]
    if name not in PROVIDERS:
        raise HttpError(404, f"Provider {name} not found")
    return name


def _provider(name: str) -> dict[str, object]:
    offered = of_provider(name)
    return {
        "id": name,
        "name": PROVIDERS[name],
        "status": "available",
        "health": "healthy",
        "models": [model.id for model in offered],
        "capabilities": capabilities_of(offered),
        "last_health_check": naive_now(),
    }


def _health(name: str) -> dict[str, object]:
    return {
        "status": "healthy",
        "response_time_ms": _STATS[name]["avg_response_time_ms"],
        "last_check": naive_now(),
        "error_rate": _error_rate(name),
    }


def _stats(name: str) -> dict[str, object]:
    errors = {"error_count": _ERRORS[name], "error_rate": _error_rate(name)}
    return {**_STATS[name], **errors, "last_request": naive_now()}


def _error_rate(name: str) -> float:
    return _ERRORS[name] / _STATS[name]["requests_count"]
