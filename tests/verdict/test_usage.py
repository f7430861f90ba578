"""Unused expectations of results logs, and failures that no expectation covers."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

from pytest_gaia.expectations.apis import Apis
from pytest_gaia.expectations.expectation import ExpectationSet
from pytest_gaia.expectations.subjects import Match
from pytest_gaia.verdict.evaluated import evaluate_run
from pytest_gaia.verdict.evidence import Failure
from pytest_gaia.verdict.usage import executed, gone, unexpected, unused
from tests.expectations.build import context, expectation, offers, removal
from tests.verdict.runs import failed, lacking, offering, passed, run

if TYPE_CHECKING:
    from pytest_gaia.expectations.expectation import Expectation
    from pytest_gaia.verdict.evaluated import EvaluatedRun
    from pytest_gaia.verdict.evidence import RecordedRun, TestRecord

A, B = "suites/personas/test_crud.py::test_a", "suites/personas/test_crud.py::test_b"
TIMEOUT = Failure(kind="timeout", message="no response in 30 s")


def evaluated(recorded: RecordedRun, *expectations: Expectation) -> EvaluatedRun:
    started = date.fromisoformat(recorded.start.started[:10])
    apis = Apis(recorded.start.apis, recorded.start.baseline)
    circumstances = context(recorded.start.environment, *recorded.start.capabilities, today=started, apis=apis)
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


NOW, BEFORE = {"gateway": ["GET /v2/a"]}, {"gateway": ["GET /v1/a", "GET /v2/a"]}
GONE = removal("gone", "GET /v1/a")


def without(
    *tests: TestRecord, complete: bool = True, before: dict[str, list[str]] = BEFORE, day: int = 15
) -> RecordedRun:
    """A run of a release without version 1."""
    return offering(run(*tests, complete=complete, day=day), NOW, before)


def test_a_removal_that_accepted_an_operation_is_needed() -> None:
    assert idle_in([GONE], without(lacking(A, "GET", "/v1/a"), passed(B)), without(passed(B))) == []


def test_a_removal_that_accepted_nothing_is_unused() -> None:
    # The baseline is the release without the operation, or no test needs it.
    for recorded in (without(passed(B), before=NOW), without(passed(B))):
        assert idle_in([GONE], recorded) == [("gone", "accepted no removed operation in 1 run")]
    assert idle_in([removal("gone", "GET /v1/a", offers=offers("GET /v3/a"))], without(passed(B))) == [
        ("gone", "did not apply in any run: requires that the release offers gateway: GET /v3/a")
    ]


def test_a_removal_is_left_alone_where_it_is_not_known_what_is_gone() -> None:
    assert idle_in([GONE], without(passed(B), complete=False)) == []
    assert idle_in([GONE], run(passed(B)), without(passed(B))) == []
    assert idle_in([removal("gone", "GET /v1/a", "chat: GET /x")], without(passed(B))) == []
    assert idle_in([removal("gone", "GET /v1/a", environments=("production",))], without(passed(B))) == []


def test_a_test_of_an_operation_that_is_not_offered_has_no_failure_to_expect() -> None:
    recorded = without(lacking(A, "GET", "/v1/a"), failed(B, TIMEOUT))

    assert [each.subject.node for each in unexpected([(recorded, evaluated(recorded))])] == [B]


def test_what_is_gone_is_what_the_newest_run_of_an_environment_lacks() -> None:
    older = without(lacking(A, "GET", "/v1/a"), day=14)
    ((where, operations),) = gone([evaluated(without(passed(B), day=15)), evaluated(older)])

    assert (where.environment, where.today.day, operations) == ("staging", 15, ["gateway: GET /v1/a"])
    assert gone([evaluated(older, GONE)]) == []
    assert gone([evaluated(offering(run(passed(B)), BEFORE, BEFORE)), evaluated(older)]) == []
