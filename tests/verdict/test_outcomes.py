"""Only an explicit pass is a PASS."""

from __future__ import annotations

import pytest

from pytest_gaia.verdict.outcomes import (
    ERROR,
    FAILED,
    KNOWN_DEFECT,
    NOT_APPLICABLE,
    PASSED,
    SKIPPED,
    Outcomes,
)


@pytest.mark.parametrize(
    ("outcomes", "word", "exit_code"),
    [
        ([], "NO EVIDENCE", 11),
        ([SKIPPED, SKIPPED], "NO EVIDENCE", 11),
        ([NOT_APPLICABLE], "NO EVIDENCE", 11),
        ([KNOWN_DEFECT], "NO EVIDENCE", 11),
        ([PASSED], "PASS", 0),
        ([PASSED, KNOWN_DEFECT, NOT_APPLICABLE, SKIPPED], "PASS", 0),
        ([PASSED, FAILED], "FAIL", 1),
        ([PASSED, ERROR], "FAIL", 1),
    ],
)
def test_the_verdict_follows_from_the_counts(outcomes: list[str], word: str, exit_code: int) -> None:
    run = Outcomes()
    for outcome in outcomes:
        run.add(outcome, reason="because")

    assert (run.verdict.word, run.verdict.exit_code) == (word, exit_code)


def test_an_environment_out_of_reach_wins_over_everything() -> None:
    run = Outcomes(unavailable=True)
    run.add(PASSED)
    run.add(FAILED)

    assert (run.verdict.word, run.verdict.exit_code) == ("INFRA", 12)


def test_reasons_are_counted_apart() -> None:
    run = Outcomes()
    for reason in ("no broker", "it writes", "no broker"):
        run.add(NOT_APPLICABLE, reason=reason)
    run.add(KNOWN_DEFECT, reason="assets-redirect")

    assert run.not_applicable == {"no broker": 2, "it writes": 1}
    assert run.defects == {"assets-redirect": 1}
