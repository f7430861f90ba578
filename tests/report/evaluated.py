"""Evaluated runs for tests of texts: random ones, and one with every possible outcome."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_gaia.config.tolerance import tolerance_of
from pytest_gaia.expectations.expectation import ExpectationSet
from pytest_gaia.expectations.subjects import Context
from pytest_gaia.verdict.evaluated import EvaluatedRun, evaluate_run
from pytest_gaia.verdict.evidence import Phase, TestRecord
from tests.expectations.build import TODAY, expectation
from tests.verdict import strategies as some
from tests.verdict.runs import failed, passed, run

if TYPE_CHECKING:
    from hypothesis import strategies as st

    from pytest_gaia.verdict.evidence import RecordedRun


def _evaluated(case: some.Case) -> EvaluatedRun:
    return evaluate_run(case.run.start, case.run.tests, case.run.end, ExpectationSet(case.expectations), case.context)


evaluated_runs: st.SearchStrategy[EvaluatedRun] = some.cases().map(_evaluated)

PERSONAS = "suites/personas/test_personas.py::test_a_persona_without_a_required_field_is_rejected[system_prompt]"
WHY = "personas are not part of the staging cut-over yet, with or without the chat service that serves them"


def eventful(*, blocking: int = 1) -> EvaluatedRun:
    """A run of staging with a pass, expected failures, an unexpected pass, one that does not apply, and ``gating``."""
    expectations = ExpectationSet(
        [
            expectation("staging-personas", PERSONAS, reason=WHY),
            expectation("healed", "suites/health/test_health.py::test_ok"),
        ]
    )
    away = Phase("setup", "not applicable", reason="asset has no URL of its own in staging")
    tests = (
        passed("suites/health/test_health.py::test_ok"),
        passed("suites/health/test_health.py::test_fine"),
        failed(PERSONAS),
        TestRecord("suites/assets/test_assets.py::test_lists", "ran", (away,)),
        *(failed(f"suites/chat/test_chat.py::test_answers[{number}|a]") for number in range(blocking)),
    )
    return _evaluated_in_staging(run(*tests, complete=False), expectations)


def part() -> EvaluatedRun:
    """A partial run of staging in which everything passed."""
    left_out = ("-m health deselected 4 of 6 tests",)
    recorded = run(passed("suites/health/test_health.py::test_ok"), complete=False, partial=left_out)
    return _evaluated_in_staging(recorded, ExpectationSet(()))


def _evaluated_in_staging(recorded: RecordedRun, expectations: ExpectationSet) -> EvaluatedRun:
    context = Context("staging", frozenset(), TODAY, tolerance_of("staging", {}))
    return evaluate_run(recorded.start, recorded.tests, recorded.end, expectations, context)
