"""Objectives and comparisons: what is measured, from what, and when nothing is concluded."""

from __future__ import annotations

import random

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pytest_gaia.config.stages import Slo
from pytest_gaia.promotion.promote.performance import compare, mann_whitney, measure, percentile, samples_of
from pytest_gaia.verdict.evidence import Failure, Phase, TestRecord, Wire

PASSED = (Phase("call", "passed"),)
SLO = Slo("GET /health", fail_ms=500, warn_ms=300, percentile=95, min_samples=20)


def record(*wires: Wire, phases: tuple[Phase, ...] = PASSED) -> TestRecord:
    return TestRecord("suites/health/test_health.py::test_x", "ran", phases, exchanges=wires)


def wire(ms: float, status: int | None = 200, route: str = "/health") -> Wire:
    return Wire("GET", route, "gateway", "direct", ms / 1000, status)


def test_times_are_milliseconds_by_method_and_template() -> None:
    found = samples_of([record(wire(12), wire(30)), record(wire(5, route="/personas/{persona_id}"))])
    assert found == {"GET /health": [12.0, 30.0], "GET /personas/{persona_id}": [5.0]}


def test_a_failed_tests_times_are_left_out() -> None:
    failed = Phase("call", "failed", failure=Failure("http", status=404))
    assert samples_of([record(wire(12), phases=(failed,))]) == {}


@pytest.mark.parametrize("status", [None, 500, 503])
def test_what_was_not_answered_well_has_no_time(status: int | None) -> None:
    assert samples_of([record(wire(12, status))]) == {}


@pytest.mark.parametrize(
    ("ms", "status", "reason"),
    [
        (100, "passed", "p95 is 100 ms"),
        (400, "warned", "p95 is 400 ms, over 300 ms"),
        (600, "failed", "p95 is 600 ms, over 500 ms"),
    ],
)
def test_an_objective_is_met_close_or_missed(ms: float, status: str, reason: str) -> None:
    (result,) = measure([SLO], {"GET /health": [ms] * 20})
    assert (result.status, result.reason, result.measured_ms) == (status, reason, ms)


@pytest.mark.parametrize("count", [0, 1, 19])
def test_too_few_samples_conclude_nothing_however_good_they_are(count: int) -> None:
    (result,) = measure([SLO], {"GET /health": [1.0] * count})
    assert result.status == "inconclusive"
    assert result.reason == f"{count} samples; at least 20 required"


def test_a_percentile_is_not_moved_by_a_few_outliers() -> None:
    (result,) = measure([SLO], {"GET /health": [10.0] * 99 + [9000.0]})
    assert result.status == "passed"


@example([1.0, 2.0], 99.96875)
@given(st.lists(st.floats(0.01, 1e5), min_size=1, max_size=200), st.floats(1, 100))
def test_a_percentile_lies_among_the_values(values: list[float], percent: float) -> None:
    assert min(values) * 0.999999 <= percentile(values, percent) <= max(values) * 1.000001


def test_the_p_value_is_that_of_a_published_example() -> None:
    # Permeability of placentas, Hollander and Wolfe's example 4.1 (R: wilcox.test(x, y, correct=TRUE, exact=FALSE)).
    x = [0.80, 0.83, 1.89, 1.04, 1.45, 1.38, 1.91, 1.64, 0.73, 1.46]
    y = [1.15, 0.88, 0.90, 0.74, 1.21]
    assert mann_whitney(x, y) == pytest.approx(0.2446, abs=0.001)


@given(st.lists(st.floats(1, 100), min_size=2, max_size=50))
def test_a_run_is_like_itself(values: list[float]) -> None:
    assert mann_whitney(values, values) > 0.9
    assert {each.word for each in compare({"r": values}, {"r": values})} == {"same"}


def test_slower_needs_a_difference_that_is_sure_and_large() -> None:
    draw = random.Random(1)
    before = [draw.gauss(100, 5) for _ in range(400)]
    little = [value * 1.05 for value in before]
    much = [value * 1.5 for value in before]
    words = [compare({"r": now}, {"r": before})[0].word for now in (little, much, before)]
    assert words == ["same", "slower", "same"]
    assert compare({"r": before}, {"r": much})[0].word == "faster"


def test_few_samples_only_advise() -> None:
    few = compare({"r": [200.0] * 49}, {"r": [100.0] * 400})[0]
    many = compare({"r": [200.0] * 50}, {"r": [100.0] * 50})[0]
    assert (few.word, few.decides) == ("slower", False)
    assert (many.word, many.decides) == ("slower", True)
