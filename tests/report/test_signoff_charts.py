"""Charts of the release report: positions match the numbers, and each chart has a description in words."""

from __future__ import annotations

import dataclasses

import pytest

from pytest_gaia.report.signoff.documents import WIDTH, Chart, latency, passes
from pytest_gaia.report.signoff.page import SHOWN_RUNS
from tests.report.signoff_pages import full_page

PAGE = full_page()
CHARTS = [latency(PAGE.objectives), *passes(PAGE.history)]


@pytest.mark.parametrize("chart", CHARTS, ids=lambda chart: chart.id)
def test_every_part_is_inside_the_drawing(chart: Chart) -> None:
    assert chart.width == WIDTH
    for bar in chart.bars:
        assert 0 <= bar.x <= bar.x + bar.width <= chart.width
        assert 0 <= bar.y <= bar.y + bar.height <= chart.height
    for mark in chart.marks:
        assert 0 <= mark.x <= chart.width
        assert 0 <= mark.y <= chart.height


def test_a_bar_is_longer_than_its_limit_if_and_only_if_the_objective_is_missed() -> None:
    chart = latency(PAGE.objectives)
    missed, met = (next(bar for bar in chart.bars if bar.kind == kind) for kind in ("failed", "passed"))
    limits = [mark.x for mark in chart.marks if mark.kind == "fail"]

    assert missed.x + missed.width > limits[0]
    assert met.x + met.width < limits[1]
    assert "staging, GET /health: failed, p95 is 910 ms, over 800 ms; the limit is 800 ms." in chart.description


def test_a_missing_measurement_has_no_bar() -> None:
    chart = latency(PAGE.objectives[2:])

    assert [bar.kind for bar in chart.bars] == ["track"]
    assert any(mark.text == "not measured; limit 5000 ms, 3 samples" for mark in chart.marks)


def test_columns_are_as_high_as_their_numbers_and_stacked() -> None:
    dev = passes(PAGE.history)[0]
    column = [bar for bar in dev.bars if bar.x == dev.bars[2].x]

    assert [bar.kind for bar in column] == ["passed", "expected", "failed"]
    passed, expected, failed = column
    assert passed.height / expected.height == pytest.approx(170 / 13, rel=0.05)
    assert passed.y == pytest.approx(expected.y + expected.height, abs=0.2)
    assert expected.y == pytest.approx(failed.y + failed.height, abs=0.2)
    assert dev.patterns == ("expected", "failed")
    assert "this release: REJECT, 170 passed, 13 expected failures, 3 unexpected." in dev.description


def test_a_run_without_tests_is_a_column_without_height() -> None:
    nothing = dataclasses.replace(PAGE.history[0], passed=0, expected=0, failed=0)

    (chart,) = passes([nothing])

    assert chart.bars == ()
    assert [mark.text for mark in chart.marks if mark.kind == "count"] == ["0"]


def test_only_the_newest_runs_are_drawn_and_described() -> None:
    last = [dataclasses.replace(PAGE.history[0], when=f"run {number}", this=False) for number in range(SHOWN_RUNS)]
    older = dataclasses.replace(last[0], when="long ago", passed=10_000)

    (chart,) = passes([older, *last])

    assert (chart,) == passes(last)
    assert "long ago" not in chart.description
