"""Performance over HTTP. The release measures no chat: its own figures are those of an idle platform."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

from pytest_gaia.sandbox.services.app import naive, naive_now
from pytest_gaia.sandbox.services.validation import whole_number

if TYPE_CHECKING:
    from pytest_gaia.sandbox.services.app import Request, Router


class Served(NamedTuple):
    """What one provider has served; times in milliseconds, ``errors`` in percent."""

    status: str
    average: float
    fastest: float
    slowest: float
    requests: int
    tokens: int
    errors: float
    last_error: str | None
    models: tuple[str, ...]
    score: float


PROVIDERS = {
    "claude": Served(
        "healthy", 850.5, 320.1, 2100.4, 1250, 250_000, 0.4, None,
        ("claude-3-5-sonnet-20241022", "claude-3-haiku-20240307"), 96.5,
    ),
    "openai": Served(
        "healthy", 1100.2, 410.7, 3200.9, 900, 300_000, 1.0, "2024-01-15T10:30:00Z",
        ("gpt-4o", "gpt-4o-mini", "gpt-3.5-turbo"), 92.0,
    ),
    "gemini": Served(
        "warning", 1500.8, 600.3, 4800.6, 200, 40_000, 4.5, "2024-01-15T11:15:00Z",
        ("gemini-1.5-pro", "gemini-1.5-flash"), 78.5,
    ),
    "mistral": Served(
        "healthy", 950.4, 380.2, 2400.5, 150, 30_000, 0.7, None,
        ("mistral-large-latest", "mistral-small-latest"), 94.0,
    ),
}  # fmt: skip

STAGES = {
    "authentication": 25.0,
    "request_validation": 15.0,
    "provider_selection": 10.0,
    "llm_api_call": 900.0,
    "response_processing": 30.0,
    "streaming_setup": 20.0,
}
"""average milliseconds of each stage of a request; together they are the whole request"""

BOTTLENECK_PERCENT = 20.0


def add_performance(router: Router) -> None:
    """Add the routes."""
    measured = Performance()
    base = "/api/v0.2/performance"
    router.add(f"GET {base}/summary", measured.summary)
    router.add(f"GET {base}/providers", providers)
    router.add(f"GET {base}/stages", stages)
    router.add(f"GET {base}/live", live)
    router.add(f"GET {base}/health", health)
    router.add(f"DELETE {base}/reset", measured.reset)


class Performance:
    """The handlers that know since when is measured."""

    def __init__(self) -> None:
        self._since = datetime.now(UTC)

    async def summary(self, request: Request) -> object:
        """Return figures of all requests since the last reset."""
        times = dict.fromkeys(("average_response_time", "min_response_time", "max_response_time"), 0)
        counts = dict.fromkeys(("total_requests", "requests_last_hour", "requests_last_24h"), 0)
        since = naive(self._since)
        return {"summary": {**counts, **times}, "providers": {}, "health_status": "healthy", "data_since": since}

    async def reset(self, request: Request) -> object:
        """Begin to measure anew."""
        start, end = self._since, datetime.now(UTC)
        if not request.dry:
            self._since = end
        period = {
            "start": naive(start),
            "end": naive(end),
            "duration_minutes": round((end - start).total_seconds() / 60, 4),
        }
        counts = dict.fromkeys(("total_requests", "total_providers", "active_requests"), 0)
        return {
            "status": "success",
            "message": "Performance metrics have been reset",
            "previous_data_summary": {**counts, "data_collection_period": period},
            "reset_timestamp": naive(end),
        }


async def providers(request: Request) -> object:
    """Return what each provider has served."""
    return {
        "providers": {name: _provider(served) for name, served in PROVIDERS.items()},
        "overall_health": "healthy",
        "timestamp": naive_now(),
    }


async def stages(request: Request) -> object:
    """Return how long the stages of a request take; their shares add up to 100 percent."""
    samples, whole = whole_number(request, "limit", 100), sum(STAGES.values())
    shares = {name: 100 * average / whole for name, average in STAGES.items()}
    slowest = sorted(STAGES, key=lambda name: -STAGES[name])[:3]
    timings = {
        name: {
            "average_duration": average,
            "min_duration": average * 0.6,
            "max_duration": average * 1.8,
            "samples": samples,
            "percentage_of_total": shares[name],
        }
        for name, average in STAGES.items()
    }
    bottlenecks = [name for name, share in shares.items() if share > BOTTLENECK_PERCENT]
    analysis = {
        "total_average_request_time": whole,
        "slowest_stages": [
            {"stage": name, "average_duration": STAGES[name], "percentage": shares[name]} for name in slowest
        ],
        "bottleneck_threshold": BOTTLENECK_PERCENT,
        "recommendations": [f"Most of a request is {name}" for name in bottlenecks],
    }
    return {"stage_timings": timings, "analysis": analysis, "limit_applied": samples, "timestamp": naive_now()}


async def live(request: Request) -> object:
    """Return what happens now: nothing else."""
    metrics = {"requests_per_minute": 0.0, "memory_usage_mb": 128.5, "cpu_usage_percent": 2.5, "active_connections": 0}
    active = {"count": 0, "requests": [], "total_active_time": 0}
    return {"active_requests": active, "system_metrics": metrics, "timestamp": naive_now()}


async def health(request: Request) -> object:
    """Return how healthy the answers were, and what counts as healthy."""
    names = ("average_response_time", "slow_requests_count", "error_rate_percent", "active_requests")
    return {
        "health_status": "healthy",
        "health_score": 100,
        "metrics": dict.fromkeys((*names, "requests_analyzed"), 0),
        "thresholds": {
            "healthy_response_time": "< 2000ms",
            "warning_response_time": "2000-5000ms",
            "critical_response_time": "> 5000ms",
            "healthy_error_rate": "< 1%",
            "warning_error_rate": "1-5%",
            "critical_error_rate": "> 5%",
        },
        "alerts": [],
        "recommendations": ["System is performing well"],
        "timestamp": naive_now(),
    }


def _provider(served: Served) -> dict[str, object]:
    seconds = served.requests * served.average / 1000
    return {
        "status": served.status,
        "average_response_time": served.average,
        "min_response_time": served.fastest,
        "max_response_time": served.slowest,
        "total_requests": served.requests,
        "total_tokens": served.tokens,
        "tokens_per_second": round(served.tokens / seconds, 2),
        "error_rate": served.errors,
        "uptime_percentage": 100 - served.errors,
        "last_error": served.last_error,
        "available_models": list(served.models),
        "health_score": served.score,
    }
