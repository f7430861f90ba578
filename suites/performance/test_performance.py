"""The performance figures of the platform, by provider and by stage."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

import pytest

from suites.shapes import (
    AMOUNT,
    COUNT,
    MOMENT,
    OBJECT,
    PERCENT,
    TEXT,
    each,
    equal,
    like,
    maybe,
    named,
    one_of,
    shaped,
    some,
)

if TYPE_CHECKING:
    from pytest_gaia.clients.http.client import HttpClient
    from suites.shapes import Shape

# Alone, because the requests of other tests would change the figures between two requests of a test, and make them slower.
pytestmark = pytest.mark.gaia(requires=["chat"], serial=True)

PERFORMANCE = "/api/v0.2/performance"
STATE = one_of("healthy", "warning", "degraded", "critical", "unhealthy")

SUMMARY: Shape = {
    "summary": {
        "total_requests": COUNT,
        "average_response_time": AMOUNT,
        "min_response_time": AMOUNT,
        "max_response_time": AMOUNT,
        "requests_last_hour": COUNT,
        "requests_last_24h": COUNT,
    },
    "providers": named(OBJECT),
    "health_status": STATE,
    "data_since": MOMENT,
}


async def summarised(gateway: HttpClient) -> dict[str, Any]:
    """Return the summary."""
    content: dict[str, Any] = shaped((await gateway.get(f"{PERFORMANCE}/summary")).expect(200), SUMMARY)
    return content


@pytest.mark.gaia(core=True, command="performance-summary")
async def test_the_average_is_between_the_extremes(gateway: HttpClient) -> None:
    figures = (await summarised(gateway))["summary"]
    assert figures["min_response_time"] <= figures["average_response_time"] <= figures["max_response_time"]
    assert (figures["max_response_time"] > 0) == (figures["total_requests"] > 0)
    assert figures["requests_last_hour"] <= figures["requests_last_24h"] <= figures["total_requests"]


@pytest.mark.gaia(core=True, command="performance-providers")
async def test_figures_of_each_provider_fit_together(gateway: HttpClient) -> None:
    one: Shape = {
        "status": STATE,
        "average_response_time": AMOUNT,
        "min_response_time": AMOUNT,
        "max_response_time": AMOUNT,
        "total_requests": COUNT,
        "total_tokens": COUNT,
        "tokens_per_second": AMOUNT,
        "error_rate": PERCENT,
        "uptime_percentage": PERCENT,
        "last_error": maybe(MOMENT),
        "available_models": some(TEXT),
        "health_score": PERCENT,
    }
    shape: Shape = {"providers": named(one, least=1), "overall_health": STATE, "timestamp": MOMENT}
    content = shaped((await gateway.get(f"{PERFORMANCE}/providers")).expect(200), shape)
    listed = (await gateway.get("/api/v0.2/providers")).expect(200).field("providers")
    assert {provider["id"] for provider in listed} <= content["providers"].keys()
    for name, provider in content["providers"].items():
        extremes = (provider["min_response_time"], provider["max_response_time"])
        assert extremes[0] <= provider["average_response_time"] <= extremes[1], name


@pytest.mark.gaia(core=True, command="performance-stages")
async def test_stages_are_shares_of_the_total(gateway: HttpClient) -> None:
    one: Shape = {
        "average_duration": AMOUNT,
        "min_duration": AMOUNT,
        "max_duration": AMOUNT,
        "samples": COUNT,
        "percentage_of_total": PERCENT,
    }
    analysis: Shape = {
        "total_average_request_time": AMOUNT,
        "slowest_stages": some({"stage": TEXT, "average_duration": AMOUNT, "percentage": PERCENT}),
        "bottleneck_threshold": AMOUNT,
        "recommendations": each(TEXT),
    }
    shape: Shape = {
        "stage_timings": named(one, least=1),
        "analysis": analysis,
        "limit_applied": equal(50),
        "timestamp": MOMENT,
    }
    content = shaped((await gateway.get(f"{PERFORMANCE}/stages", params={"limit": 50})).expect(200), shape)
    stages, whole = content["stage_timings"], content["analysis"]["total_average_request_time"]
    assert sum(stage["percentage_of_total"] for stage in stages.values()) == pytest.approx(100, abs=1)
    assert sum(stage["average_duration"] for stage in stages.values()) == pytest.approx(whole, rel=0.01)
    for name, stage in stages.items():
        assert stage["min_duration"] <= stage["average_duration"] <= stage["max_duration"], name
        assert stage["percentage_of_total"] == pytest.approx(100 * stage["average_duration"] / whole, abs=0.5), name
    _assert_slowest(content["analysis"]["slowest_stages"], stages)


@pytest.mark.gaia(core=True, command="performance-live")
async def test_active_requests_are_counted(gateway: HttpClient) -> None:
    shape: Shape = {
        "active_requests": {"count": COUNT, "requests": each(OBJECT), "total_active_time": AMOUNT},
        "system_metrics": {
            "requests_per_minute": AMOUNT,
            "memory_usage_mb": AMOUNT,
            "cpu_usage_percent": PERCENT,
            "active_connections": COUNT,
        },
        "timestamp": MOMENT,
    }
    active = shaped((await gateway.get(f"{PERFORMANCE}/live")).expect(200), shape)["active_requests"]
    assert active["count"] or not active["total_active_time"]
    # The platform lists only the longest requests.
    assert len(active["requests"]) == min(active["count"], max(len(active["requests"]), 1))


@pytest.mark.gaia(core=True, command="performance-health")
async def test_health_and_its_score_agree(gateway: HttpClient) -> None:
    metrics: Shape = {
        "average_response_time": AMOUNT,
        "slow_requests_count": COUNT,
        "error_rate_percent": PERCENT,
        "active_requests": COUNT,
        "requests_analyzed": COUNT,
    }
    levels = [
        f"{level}_{figure}"
        for level in ("healthy", "warning", "critical")
        for figure in ("response_time", "error_rate")
    ]
    shape: Shape = {
        "health_status": STATE,
        "health_score": PERCENT,
        "metrics": metrics,
        "thresholds": dict.fromkeys(levels, like(r".*\d.*")),
        "alerts": each(OBJECT),
        "recommendations": each(TEXT),
        "timestamp": MOMENT,
    }
    content = shaped((await gateway.get(f"{PERFORMANCE}/health")).expect(200), shape)
    assert (content["health_status"] == "healthy") == (content["health_score"] >= 90)
    assert content["metrics"]["slow_requests_count"] <= content["metrics"]["requests_analyzed"]
    if content["health_status"] == "healthy":
        assert not content["alerts"]


@pytest.mark.gaia(writes=True, command="performance-reset")
async def test_a_reset_restarts_the_measurement(gateway: HttpClient) -> None:
    before = (await summarised(gateway))["data_since"]
    response = (await gateway.delete(f"{PERFORMANCE}/reset")).expect(200)
    period: Shape = {"start": equal(before), "end": MOMENT, "duration_minutes": AMOUNT}
    counts = dict.fromkeys(("total_requests", "total_providers", "active_requests"), COUNT)
    shape: Shape = {
        "status": equal("success"),
        "message": TEXT,
        "previous_data_summary": {**counts, "data_collection_period": period},
        "reset_timestamp": MOMENT,
    }
    measured = shaped(response, shape)["previous_data_summary"]["data_collection_period"]
    end = measured["end"]
    duration = datetime.fromisoformat(end) - datetime.fromisoformat(before)
    assert measured["duration_minutes"] == pytest.approx(duration.total_seconds() / 60, abs=0.1)
    since = (await summarised(gateway))["data_since"]
    assert datetime.fromisoformat(since) > datetime.fromisoformat(before)
    assert abs((datetime.fromisoformat(since) - datetime.fromisoformat(end)).total_seconds()) < 5


def _assert_slowest(slowest: list[dict[str, Any]], stages: dict[str, dict[str, Any]]) -> None:
    durations = [entry["average_duration"] for entry in slowest]
    longest = sorted((stage["average_duration"] for stage in stages.values()), reverse=True)
    assert durations == longest[: len(durations)]
    for entry in slowest:
        stage = stages[entry["stage"]]
        assert (entry["average_duration"], entry["percentage"]) == (
            stage["average_duration"],
            stage["percentage_of_total"],
        )
