"""Text that fits a terminal, whatever is in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_gaia.expectations.expectation import ExpectationSet
from pytest_gaia.report.footer import Layout, blocking, notes, verdict_line, verdict_lines
from pytest_gaia.report.layout import columns, cut, listed, wrapped
from pytest_gaia.verdict.evaluated import evaluate_run
from pytest_gaia.verdict.evidence import TestRecord
from tests.expectations.build import context
from tests.report.evaluated import PERSONAS, WHY, evaluated_runs, eventful
from tests.verdict.runs import run

if TYPE_CHECKING:
    from pytest_gaia.verdict.evaluated import EvaluatedRun

TEXTS = st.text(st.sampled_from("ab é界\u0301-: "), max_size=300)
WIDTHS = st.integers(20, 120)


@given(TEXTS, WIDTHS, st.integers(0, 6), st.integers(0, 10))
def test_a_line_is_too_wide_only_where_it_is_one_word(text: str, width: int, indent: int, hanging: int) -> None:
    lines = wrapped(text, width, indent=indent, hanging=hanging)

    assert all(columns(line) <= width or len(line.split()) == 1 for line in lines)
    assert " ".join(lines).split() == text.split()
    assert all(line.startswith(" " * (hanging if number else indent)) for number, line in enumerate(lines))


@given(TEXTS, WIDTHS)
def test_a_line_that_is_cut_fits(text: str, width: int) -> None:
    assert columns(cut(text, width)) <= width


@given(st.lists(TEXTS.filter(str.strip), min_size=1, max_size=6), WIDTHS)
def test_a_list_keeps_all_its_parts(parts: list[str], width: int) -> None:
    lines = listed("verdict:", parts, width)

    assert "".join("".join(lines).split()) == "".join("".join(["verdict:", ",".join(parts)]).split())
    assert all(columns(line) <= width or len(line.split()) == 1 for line in lines)


@given(evaluated_runs, st.sampled_from((80, 100, 200)), st.booleans())
def test_the_end_of_every_run_fits_the_terminal(evaluated: EvaluatedRun, width: int, told: bool) -> None:
    layout = Layout(width, expected=told, inapplicable=told)
    lines = [
        *blocking(evaluated, layout=layout),
        *notes(evaluated, layout),
        *verdict_lines("staging (SIMULATED on the sandbox)", evaluated, layout),
    ]

    assert all(columns(line) <= width or len(line.split()) == 1 for line in lines)
    assert not any(line != line.rstrip() for line in lines)
    together = " ".join(" ".join(verdict_lines("staging", evaluated, layout)).split())
    assert together == " ".join(verdict_line("staging", evaluated).split())


@pytest.mark.parametrize(("message", "said"), [("\r", ""), ("\n\nwhy\nmore", ": why"), ("one \r\ntwo", ": one")])
def test_what_a_test_says_of_its_end_is_one_line(message: str, said: str) -> None:
    recorded = run(TestRecord("a", "crashed", message=message))
    evaluated = evaluate_run(recorded.start, recorded.tests, recorded.end, ExpectationSet(), context())

    assert blocking(evaluated) == ["gaia: blocking failures", f"  a: crashed{said}"]


def test_a_narrow_terminal_has_each_reason_below_its_expectation() -> None:
    assert notes(eventful(), Layout(80))[:4] == [
        "gaia: expected failures",
        "  1  ×  staging-personas  GAIA-1  @team  13 days left",
        "      personas are not part of the staging cut-over yet, with or without the",
        "      chat service that serves them",
    ]


def test_a_wide_one_has_a_table() -> None:
    assert notes(eventful(), Layout(200))[1] == f"  1  ×  staging-personas  GAIA-1  @team  13 days left  {WHY}"


def test_each_test_is_named_where_much_is_asked_for() -> None:
    short, long = Layout(200), Layout(200, expected=True, inapplicable=True)

    assert f"      {PERSONAS}" in notes(eventful(), long)
    assert "      suites/assets/test_assets.py::test_lists" in notes(eventful(), long)
    assert not [line for line in notes(eventful(), short) if line.strip() == PERSONAS]


def test_a_long_node_id_stays_whole_so_that_it_can_be_copied() -> None:
    assert f"      {PERSONAS}" in notes(eventful(), Layout(80, expected=True))


def test_a_verdict_is_broken_between_its_reasons() -> None:
    assert verdict_lines("staging (SIMULATED on the sandbox)", eventful(), Layout(80)) == [
        "gaia verdict: REJECT on staging (SIMULATED on the sandbox): 1 failed, 1 passed,",
        "  1 expected failure, 1 unexpected pass, 1 not applicable",
    ]
