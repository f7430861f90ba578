"""Unused expectations of results logs, and failures that no expectation covers."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

from pytest_gaia.expectations.expectation_set import ExpectationSet
from pytest_gaia.expectations.selectors import Match
from pytest_gaia.verdict.evaluated import evaluate_run
from pytest_gaia.verdict.evidence import Failure
from pytest_gaia.verdict.usage import executed, unexpected, unused
from tests.expectations.build import context, expectation
from tests.verdict.runs import failed, passed, run

if TYPE_CHECKING:
    from pytest_gaia.expectations.expectation import Expectation
    from pytest_gaia.verdict.evaluated import EvaluatedRun
    from pytest_gaia.verdict.evidence import RecordedRun

A, B = "suites/personas/test_crud.py::test_a", "suites/personas/test_crud.py::test_b"
TIMEOUT = Failure(kind="timeout", message="no response in 30 s")


def evaluated(recorded: RecordedRun, *expectations: Expectation) -> EvaluatedRun:
    started = date.fromisoformat(recorded.start.started[:10])
    circumstances = context(recorded.start.environment, *recorded.start.capabilities, today=started)
    return evaluate_run(recorded.start, recorded.tests, recorded.end, ExpectationSet(expectations), circumstances)


def idle_in(expectations: list[Expectation], *runs: RecordedRun, clean_runs: int = 3) -> list[tuple[str, str]]:
    found = unused(expectations, [evaluated(each, *expectations) for each in runs], clean_runs=clean_runs)
    return [(each.expectation.id, each.reason) for each in found]


def test_an_expectation_that_accepts_is_needed() -> None:
    assert idle_in([expectation("needed", "suites/personas")], run(failed(A), failed(B))) == []


def test_an_expectation_whose_tests_passed_in_every_run_is_idle() -> None:
    assert idle_in([expectation("idle", "suites/personas")], run(passed(A), passed(B)), run(passed(A))) == [
        ("idle", "2 tests passed in 2 runs, and none failed")
    ]


def test_one_run_that_needed_it_is_enough() -> None:
    assert idle_in([expectation("needed", A)], run(passed(A)), run(failed(A)), run(passed(A))) == []


def test_tests_that_healed_are_named_beside_those_that_did_not() -> None:
    expectations = [expectation("half", "suites/personas")]
    (found,) = unused(expectations, [evaluated(run(failed(A), passed(B)), *expectations)], clean_runs=1)

    assert (found.reason, found.nodes) == ("1 test passed in every run", (B,))


def test_an_expectation_whose_tests_did_not_run_is_left_alone() -> None:
    expectations = [expectation("elsewhere", A, environments=("dev",)), expectation("untouched", "suites/other")]

    assert idle_in(expectations, run(passed(A))) == []


def test_a_failure_with_another_signature_says_nothing_of_the_expectation() -> None:
    assert idle_in([expectation("other", A)], run(failed(A, TIMEOUT))) == []


def test_an_expectation_that_never_applied_says_reason() -> None:
    expectations = [expectation("bound", A, when=(("chat", False),)), expectation("late", A, expires=date(2026, 3, 10))]

    assert idle_in(expectations, run(passed(A), capabilities=("chat",))) == [
        ("bound", "did not apply in any run: requires !chat, and chat was observed"),
        ("late", "did not apply in any run: expired on 2026-03-10"),
    ]


def test_a_flaky_expectation_goes_stale_after_clean_runs_in_a_row() -> None:
    expectations = [expectation("flaky", "suites/personas", expect="flaky")]
    clean, dirty = run(passed(A), passed(B)), run(failed(A), passed(B))

    assert idle_in(expectations, clean, dirty, clean, clean) == []
    assert idle_in(expectations, dirty, clean, clean, clean) == [("flaky", "all tests passed in the last 3 runs")]
    assert idle_in(expectations, clean, clean) == []


def test_a_carve_out_is_never_idle() -> None:
    assert idle_in([expectation("carve-out", A, expect="pass", match=Match())], run(passed(A))) == []


def test_only_failures_that_no_expectation_accepts_are_left() -> None:
    expectations = [expectation("known", A)]
    pairs = [
        (each, evaluated(each, *expectations))
        for each in (run(failed(A), failed(B)), run(failed(A, TIMEOUT), passed(B)))
    ]
    found = list(unexpected(pairs))

    assert [(each.subject.node, each.details.kind, each.flaky) for each in found] == [
        (B, "http", True),
        (A, "timeout", False),
    ]
    assert {subject.node for subject in executed(pairs)} == {A, B}


def test_a_test_that_passed_only_when_it_was_tried_again_is_flaky() -> None:
    earlier = failed(A).phases[1:2]
    retried = run(passed(A, attempt=2, earlier=earlier))

    assert [each.flaky for each in unexpected([(retried, evaluated(retried))])] == [True]


def test_a_failure_and_a_pass_in_different_environments_are_not_flaky() -> None:
    runs = run(failed(A)), run(passed(A), environment="dev")

    assert [each.flaky for each in unexpected([(each, evaluated(each)) for each in runs])] == [False]
