"""Charts of the sign-off page: their parts are where the numbers say, and each says in words what it shows."""

from __future__ import annotations

import dataclasses

import pytest

from pytest_gaia.report.signoff._charts import WIDTH, Chart, ages, latency, passes
from pytest_gaia.report.signoff.page import SHOWN_RUNS, ExpectationAge
from tests.report.signoff_pages import full_page

PAGE = full_page()
CHARTS = [latency(PAGE.objectives), *passes(PAGE.history), *ages(PAGE.ages)]


@pytest.mark.parametrize("chart", CHARTS, ids=lambda chart: chart.id)
def test_everything_is_inside_of_the_drawing(chart: Chart) -> None:
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


def test_what_was_not_measured_has_no_bar() -> None:
    chart = latency(PAGE.objectives[2:])

    assert [bar.kind for bar in chart.bars] == ["track"]
    assert any(mark.text == "not measured; at most 5000 ms, 3 samples" for mark in chart.marks)


def test_columns_are_as_high_as_their_numbers_and_stand_on_one_another() -> None:
    dev = passes(PAGE.history)[0]
    column = [bar for bar in dev.bars if bar.x == dev.bars[2].x]

    assert [bar.kind for bar in column] == ["passed", "excused", "failed"]
    passed, accepted, failed = column
    assert passed.height / accepted.height == pytest.approx(170 / 13, rel=0.05)
    assert passed.y == pytest.approx(accepted.y + accepted.height, abs=0.2)
    assert accepted.y == pytest.approx(failed.y + failed.height, abs=0.2)
    assert dev.patterns == ("excused", "failed")
    assert "this release: REJECT, 170 passed, 13 excused, 3 unexpected." in dev.description


def test_a_run_of_which_nothing_ran_is_a_column_without_height() -> None:
    nothing = dataclasses.replace(PAGE.history[0], passed=0, accepted=0, failed=0)

    (chart,) = passes([nothing])

    assert chart.bars == ()
    assert [mark.text for mark in chart.marks if mark.kind == "count"] == ["0"]


def test_only_the_runs_that_there_is_room_for_are_drawn_told_and_measured_by() -> None:
    last = [dataclasses.replace(PAGE.history[0], when=f"run {number}", this=False) for number in range(SHOWN_RUNS)]
    older = dataclasses.replace(last[0], when="long ago", passed=10_000)

    (chart,) = passes([older, *last])

    assert (chart,) == passes(last)
    assert "long ago" not in chart.description


def test_ages_share_one_scale_over_several_drawings() -> None:
    expectations = [ExpectationAge(f"rule-{number}", 100, 100, used=False) for number in range(7)] + [
        ExpectationAge("old", 400, -3, used=True)
    ]

    charts = ages(expectations)

    assert [chart.id for chart in charts] == ["ages-1", "ages-2"]
    first, last = charts[0].bars[0], next(bar for bar in charts[1].bars if bar.width > 200)
    assert last.width == pytest.approx(first.width * 4, rel=0.01)
    assert "old: 400 days old, ended 3 days ago." in charts[1].description
    assert ages([]) == ()
