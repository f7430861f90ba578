"""What is known of a run as a whole, and what a replay makes of it."""

from __future__ import annotations

import signal
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from pytest_gaia.expectations.expectation import ExpectationSet
from pytest_gaia.report.footer import warnings
from pytest_gaia.verdict.evaluated import EvaluatedRun, evaluate_run
from pytest_gaia.verdict.evidence import Phase, TestRecord
from pytest_gaia.verdict.gathering import Assembly
from pytest_gaia.verdict.report import expectations_digest, verdict_file
from pytest_gaia.verdict.results_log import read_run
from tests.expectations.build import EXPIRES, TODAY, context, expectation
from tests.verdict.runs import failed, passed, record, run

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_gaia.expectations.expectation import Expectation
    from pytest_gaia.verdict.evidence import RecordedRun

A, B = "suites/personas/test_crud.py::test_a", "suites/personas/test_crud.py::test_b"
PERSONAS = expectation("personas", "suites/personas")


def evaluated(
    recorded: RecordedRun, *expectations: Expectation, environment: str = "staging", **more: Any
) -> EvaluatedRun:
    circumstances = replace(context(environment, *recorded.start.capabilities), **more)
    return evaluate_run(recorded.start, recorded.tests, recorded.end, ExpectationSet(expectations), circumstances)


def ending(recorded: RecordedRun, **changes: Any) -> RecordedRun:
    assert recorded.end is not None
    return msgspec.structs.replace(recorded, end=msgspec.structs.replace(recorded.end, **changes))


def test_a_run_that_passed_is_promoted() -> None:
    found = evaluated(run(passed(A), passed(B)))

    assert (found.verdict.word, found.accepted, found.blocking_in_production) == ("PROMOTE", 0, 0)


def test_a_run_that_was_killed_holds() -> None:
    killed = msgspec.structs.replace(run(passed(A)), end=None)

    found = evaluated(killed).verdict

    assert (found.word, found.reasons) == ("HOLD", ("the run was killed before it ended",))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"pytest_exit": 2}, "the run was interrupted"),
        ({"pytest_exit": 3}, "pytest had an internal error"),
        ({"pytest_exit": 4}, "pytest had a usage error"),
        ({"pytest_exit": 7}, "pytest ended with 7"),
        ({"pytest_exit": 1}, "pytest reports a failure that is missing in the results"),
        ({"lost": ("worker gw1", "worker gw2")}, "these workers ended early: worker gw1, worker gw2"),
        ({"planned": 3}, "1 selected test without a result"),
        ({"planned": 0}, "no test was selected"),
        ({"changed": ("gateway: version 0.3, it was 0.2",)}, "gateway: version 0.3, it was 0.2"),
    ],
)
def test_an_end_that_does_not_fit_holds(changes: dict[str, Any], reason: str) -> None:
    found = evaluated(ending(run(passed(A), passed(B)), **changes)).verdict

    assert (found.word, found.reasons) == ("HOLD", (reason,))


@pytest.mark.parametrize(
    "extra",
    [
        TestRecord("suites/x.py", "not collected", (Phase("collect", "skipped"),)),
        TestRecord(B, "deselected"),
        passed(A),
    ],
    ids=["a file", "a deselected test", "the same test twice"],
)
def test_a_missing_test_is_not_made_up_for_by_another_record(extra: TestRecord) -> None:
    short = ending(run(passed(A), extra), planned=2)

    assert "1 selected test without a result" in evaluated(short).verdict.reasons


def test_what_could_not_be_reached_is_infra_whatever_else_there_is() -> None:
    found = evaluated(ending(run(failed(A)), unavailable="gateway is unreachable")).verdict

    assert (found.word, found.exit_code, found.reasons) == ("INFRA", 12, ("gateway is unreachable",))


@pytest.mark.parametrize("tests", [(passed(A), passed(B)), (failed(A),), ()], ids=["passed", "failed", "none"])
def test_a_deployment_that_failed_rejects_whatever_the_tests_say(tests: tuple[TestRecord, ...]) -> None:
    found = evaluated(ending(run(*tests), undeployed="the deployment failed: auth")).verdict

    assert (found.word, found.exit_code) == ("REJECT", 1)
    assert found.reasons[0] == "the deployment failed: auth"


def test_a_deployment_that_did_not_come_about_rejects_nothing() -> None:
    found = evaluated(ending(run(), unavailable="the deployment did not come about: rate limit")).verdict

    assert (found.word, found.exit_code) == ("INFRA", 12)


def test_an_expectation_that_covers_nothing_is_drift_only_where_everything_was_selected() -> None:
    elsewhere = expectation("elsewhere", "suites/gone")

    assert evaluated(run(passed(A)), elsewhere).verdict.reasons == ("expectation elsewhere covers no test",)
    assert evaluated(run(passed(A), complete=False), elsewhere).verdict.word == "PROMOTE"


def test_a_record_says_whether_its_run_was_full_and_replays_to_the_same_verdict(tmp_path: Path) -> None:
    narrowed = ending(run(passed(A), complete=False), partial=("-m personas deselected 1 of 2 tests",))
    strict = ending(narrowed, full_required=True)
    full = ending(run(passed(A)), partial=())
    before = run(passed(A), complete=False)
    for recorded, least, word in (
        (narrowed, 50, "PARTIAL"),
        (strict, 1, "HOLD"),
        (full, 1, "PROMOTE"),
        (full, 50, "HOLD"),
        # From before results logs recorded whether a run was full: evaluated as at that time.
        (before, 1, "PROMOTE"),
        (before, 50, "HOLD"),
    ):
        again = read_run(record(tmp_path / "run.jsonl", recorded))
        asked = replace(context("staging").tolerance, min_tests=least)

        assert again == recorded
        assert evaluated(again, tolerance=asked).verdict.word == word


def test_a_partial_run_only_warns_of_an_expectation_over_its_cap() -> None:
    capped = expectation("capped", "suites/personas", max_failures=1)
    recorded = ending(
        run(failed(A), failed(B), passed("suites/x.py::test_x")), partial=("only suites/x was collected",)
    )

    found = evaluated(recorded, capped)

    assert found.verdict.word == "PARTIAL"
    assert [text for text in warnings(found) if text.startswith("expectation capped (") and "max_failures = 2" in text]
    assert verdict_file(found).partial == ("only suites/x was collected",)


@pytest.mark.parametrize(
    "inactive",
    [{"expires": TODAY}, {"environments": ("dev",)}, {"when": (("chat", True),)}],
    ids=["expired", "elsewhere", "condition"],
)
def test_an_expectation_that_does_not_apply_is_not_missed(inactive: dict[str, Any]) -> None:
    assert evaluated(run(passed(A)), expectation("idle", "suites/gone", **inactive)).verdict.word == "PROMOTE"


def test_an_expectation_that_loses_to_a_more_specific_one_is_not_unused() -> None:
    exact = expectation("exact", A)

    assert evaluated(run(failed(A), passed("suites/x.py::test_x")), PERSONAS, exact).verdict.word == "PROMOTE"


def test_what_would_block_in_production_is_counted() -> None:
    skipped = TestRecord(B, "ran", (Phase("setup", "skipped", reason="later"), Phase("teardown", "passed")))

    found = evaluated(run(failed(A), skipped, passed("suites/x.py::test_x")), PERSONAS)

    assert (found.verdict.word, found.blocking_in_production) == ("PROMOTE", 2)


def test_a_replay_under_another_day_or_environment_evaluates_the_same_evidence_anew() -> None:
    recorded = run(failed(A), passed("suites/x.py::test_x"))

    assert evaluated(recorded, PERSONAS).verdict.word == "PROMOTE"
    assert evaluated(recorded, PERSONAS, today=EXPIRES).verdict.word == "REJECT"
    assert evaluated(recorded, PERSONAS, environment="production").verdict.word == "REJECT"


def test_the_expectations_are_known_by_its_content() -> None:
    one, other = expectation("one", "suites/a"), expectation("other", "suites/b")

    assert expectations_digest((one, other)) == expectations_digest(
        (msgspec.structs.replace(one, place="elsewhere.toml"), other)
    )
    assert expectations_digest((one, other)) != expectations_digest(
        (one, msgspec.structs.replace(other, max_failures=3))
    )


def test_the_verdict_file_names_expectations_and_overridden() -> None:
    broad, expired = expectation("broad", "all"), expectation("expired", A, expires=TODAY)

    document = verdict_file(evaluated(run(failed(A), passed("suites/x.py::test_x")), PERSONAS, broad, expired))

    assert {use.id: (use.accepted, use.applies, use.days_left) for use in document.expectations} == {
        "broad": (0, "", 13),
        "expired": (0, f"expired on {TODAY}", 0),
        "personas": (1, "", 13),
    }
    found = next(test for test in document.tests if test.node == A)
    assert found.expectations == ("personas",)
    assert dict(found.overridden) == {
        "broad": "personas takes precedence: it is more specific",
        "expired": f"expired on {TODAY}",
    }
    assert (document.verdict, document.accepted, document.counts) == (
        "DRIFT",
        1,
        {"expected failure": 1, "unexpected pass": 1},
    )


# From reports to records


@pytest.fixture
def records() -> list[TestRecord]:
    return []


@pytest.fixture
def assembly(records: list[TestRecord]) -> Assembly:
    return Assembly(records, list)


def states(records: list[TestRecord]) -> list[tuple[str, str]]:
    return [(record.node, record.state) for record in records]


def test_what_was_selected_and_is_not_heard_of_never_ran(assembly: Assembly, records: list[TestRecord]) -> None:
    assembly.plan([A, B])
    assembly.plan([A, B])
    assembly.complete(TestRecord(B, "ran"), passed=True)

    assembly.finish()

    assert states(records) == [(B, "ran"), (A, "never ran")]


@pytest.mark.parametrize("passed", [True, False])
def test_ctrl_c_neither_loses_nor_repeats_a_record(records: list[TestRecord], passed: bool) -> None:
    assembly = Assembly(records, partial(signal.raise_signal, signal.SIGINT))
    assembly.plan([A, B])

    def complete_both() -> None:
        for node in (A, B):
            assembly.complete(TestRecord(node, "ran"), passed=passed)

    with pytest.raises(KeyboardInterrupt):
        complete_both()
    assembly.added = list
    assembly.finish()

    assert sorted(states(records)) == [(A, "ran"), (B, "never ran" if passed else "ran")]


def test_a_crash_is_kept_beside_a_pass_of_the_same_test_elsewhere(
    assembly: Assembly, records: list[TestRecord]
) -> None:
    assembly.plan([A])
    assembly.complete_elsewhere({"line": "test", "node": A, "state": "ran"}, "gw0")
    assembly.crashed(A, "worker gw1 crashed", "gw1")

    assembly.finish()

    assert states(records) == [(A, "ran"), (A, "crashed")]


def test_a_file_that_all_workers_fail_to_collect_is_one_record(assembly: Assembly, records: list[TestRecord]) -> None:
    for _ in range(2):
        assembly.not_collected("suites/x.py", "ImportError", skipped=False)

    assembly.finish()

    assert states(records) == [("suites/x.py", "not collected")]
