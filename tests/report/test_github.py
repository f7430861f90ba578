"""What GitHub Actions reads of a run, within its limits."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from pytest_gaia.report.github import MOST, SUMMARY_LIMIT, job_summary, run_annotations
from tests.report.evaluated import PERSONAS, WHY, evaluated_runs, eventful, part

if TYPE_CHECKING:
    from pytest_gaia.verdict.evaluated import EvaluatedRun

NODE = "suites/chat/test_chat.py::test_answers[0|a]"


def said_of(evaluated: EvaluatedRun, prefix: str = "") -> list[str]:
    return list(run_annotations(evaluated, "staging", {NODE: ("suites/chat/test_chat.py", 12)}, prefix))


def test_a_failure_stands_at_its_line_within_the_repository() -> None:
    failure = said_of(eventful(), "services/gaia/")[0]

    assert failure.startswith("::error file=services/gaia/suites/chat/test_chat.py,line=12,title=gaia failed::")
    assert failure.endswith(f"::{NODE}%0Acall: UnexpectedResponse: gateway returned 503, expected 200")


def test_an_unexpected_pass_is_a_warning() -> None:
    warned = [line for line in said_of(eventful()) if line.startswith("::warning ")]

    assert warned == [
        "::warning title=gaia::suites/health/test_health.py::test_ok: unexpected pass: expected to fail: healed"
    ]


def test_what_github_would_drop_is_counted_in_the_last_one() -> None:
    shown = [line for line in said_of(eventful(blocking=25)) if line.startswith("::error ")]

    assert len(shown) == MOST
    assert "16 more tests block" in shown[-1]
    assert "more tests" not in "".join(said_of(eventful(blocking=MOST)))


def test_a_verdict_that_no_test_gives_is_an_annotation_of_its_own() -> None:
    drifting = said_of(eventful(blocking=0))[0]

    assert re.fullmatch(r"::error title=gaia (DRIFT|HOLD)::staging: .+", drifting)


def test_a_partial_run_is_a_notice_and_the_summary_says_what_it_left_out() -> None:
    (notice,) = said_of(part())

    left_out = "partial run: cannot promote a release; -m health deselected 4 of 6 tests"
    assert notice == f"::notice title=gaia PARTIAL::staging: {left_out}"
    summary = job_summary(part(), "staging")
    assert summary.startswith("## gaia: PARTIAL on staging\n")
    assert "\n- partial run: cannot promote a release\n- -m health deselected 4 of 6 tests\n" in summary


@given(evaluated_runs)
def test_an_annotation_is_one_line_and_no_more_than_github_takes(evaluated: EvaluatedRun) -> None:
    lines = said_of(evaluated)

    assert all(re.match(r"::(error|warning|notice) [^\r\n]*::[^\r\n]*\Z", line) for line in lines)
    for kind in ("error", "warning"):
        assert sum(line.startswith(f"::{kind} ") for line in lines) <= MOST


def test_the_summary_says_what_blocks_what_was_expected_and_what_was_not_tested() -> None:
    text = job_summary(eventful(), "staging")

    assert text.startswith("## gaia: REJECT on staging\n")
    assert r"| suites/chat/test\_chat.py::test\_answers\[0\|a\] | failed |" in text
    assert f"| 1 | staging-personas | GAIA-1 | @\u2060team | 2026-03-28 | {WHY} |" in text
    assert "| 1 | not applicable | asset has no URL of its own in staging |" in text
    assert PERSONAS not in text


@given(evaluated_runs, st.sampled_from((0, 150, 400, 1000, SUMMARY_LIMIT)))
def test_the_summary_fits_the_room_that_is_left(evaluated: EvaluatedRun, room: int) -> None:
    text = job_summary(evaluated, "staging", room)

    assert len(text.encode()) <= max(room, 200)
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert all(row.endswith("|") for row in rows)
