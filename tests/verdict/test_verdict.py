"""From outcomes to the verdict: which one takes precedence, and what holds a release."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from pytest_gaia.verdict.classify import EXECUTED, Classification
from pytest_gaia.verdict.evaluated import EXIT_CODES, Facts, Verdict, decide
from tests.expectations.build import context, expectation

if TYPE_CHECKING:
    from pytest_gaia.expectations.expectation import Expectation
    from pytest_gaia.verdict.classify import Outcome

PASSED = Classification("a", "passed")


def of(outcome: Outcome, *expectations: str, blocks: bool = False) -> Classification:
    return Classification("b", outcome, blocks=blocks, expectations=expectations)


def decided(
    *classifications: Classification,
    expectations: tuple[Expectation, ...] = (),
    facts: Facts | None = None,
    environment: str = "staging",
    **tolerance: Any,
) -> Verdict:
    circumstances = context(environment)
    changed = replace(circumstances, tolerance=replace(circumstances.tolerance, **tolerance))
    return decide(classifications, expectations, facts or Facts(planned=len(classifications)), changed)


def test_one_pass_is_enough_where_one_is_asked_for() -> None:
    found = decided(PASSED)

    assert (found.word, found.exit_code, found.reasons) == ("PROMOTE", 0, ("1 passed",))


@pytest.mark.parametrize("present", list(itertools.product((True, False), repeat=5)), ids=str)
def test_infra_wins_over_reject_over_hold_over_drift_over_partial(present: tuple[bool, ...]) -> None:
    infra, reject, hold, drift, partial = present
    classifications = [PASSED, *([of("failed", blocks=True)] * reject), *([of("incomplete")] * hold)]
    classifications += [of("unexpected pass", "r")] * drift

    facts = Facts(
        planned=9, unavailable="unreachable" if infra else "", partial=("-k one was given",) if partial else ()
    )

    found = decided(*classifications, facts=facts)

    order = ("INFRA", "REJECT", "HOLD", "DRIFT", "PARTIAL")
    words = [word for word, there in zip(order, present, strict=True) if there]
    assert found.word == (words[0] if words else "PROMOTE")
    assert found.exit_code == EXIT_CODES[found.word]


def test_only_promote_and_partial_end_with_0_and_no_other_code_is_twice() -> None:
    assert {word for word, code in EXIT_CODES.items() if code == 0} == {"PROMOTE", "PARTIAL"}
    assert len(set(EXIT_CODES.values())) == len(EXIT_CODES) - 1
    assert all(code in range(126) for code in EXIT_CODES.values())


@pytest.mark.parametrize(
    ("classifications", "facts", "reason"),
    [
        ([], Facts(), "no test was selected"),
        ([of("skipped")], Facts(planned=1), "no test passed"),
        ([of("not applicable")], Facts(planned=1), "no test passed"),
        ([of("expected failure", "r")], Facts(planned=1), "no test passed"),
        ([of("deselected")], Facts(planned=0), "no test was selected"),
        ([PASSED, of("incomplete")], Facts(planned=2), "1 test did not complete"),
        ([PASSED], Facts(planned=3, missing=2), "2 selected tests without a result"),
        ([PASSED], Facts(planned=1, interrupted="the run was interrupted"), "the run was interrupted"),
    ],
)
def test_missing_evidence_holds(classifications: list[Classification], facts: Facts, reason: str) -> None:
    found = decided(*classifications, facts=facts)

    assert (found.word, found.exit_code) == ("HOLD", 11)
    assert reason in found.reasons


@pytest.mark.parametrize("outcome", sorted(EXECUTED))
def test_what_ran_counts_as_executed(outcome: Outcome) -> None:
    enough = decided(PASSED, of(outcome), min_tests=2)

    assert not any("must" in reason for reason in enough.reasons)


@pytest.mark.parametrize("outcome", ["skipped", "not applicable", "deselected", "incomplete"])
def test_what_did_not_run_does_not_count_as_executed(outcome: Outcome) -> None:
    assert (
        "only 1 test ran; at least 2 required (tolerance.min_tests)"
        in decided(PASSED, of(outcome), min_tests=2).reasons
    )


@pytest.mark.parametrize(
    ("budget", "word"), [(None, "PROMOTE"), (3, "PROMOTE"), (2, "PROMOTE"), (1, "HOLD"), (0, "HOLD")]
)
def test_the_budget_is_the_most_that_may_be_accepted(budget: int | None, word: str) -> None:
    accepted = [of("expected failure", "r"), of("tolerated")]

    found = decided(PASSED, *accepted, budget=budget)

    assert found.word == word
    assert word == "PROMOTE" or found.reasons == (
        f"2 accepted failures exceed the failure budget of {budget} (tolerance.budget)",
    )


@pytest.mark.parametrize(("most", "word"), [(None, "PROMOTE"), (2, "PROMOTE"), (1, "HOLD"), (0, "HOLD")])
@pytest.mark.parametrize("outcome", ["expected failure", "skipped"])
def test_an_expectation_accepts_no_more_than_its_cap(most: int | None, word: str, outcome: Outcome) -> None:
    capped = expectation("capped", "suites/personas", max_failures=most)

    found = decided(PASSED, of(outcome, "capped"), of(outcome, "capped", "other"), expectations=(capped,))

    assert found.word == word
    assert word == "PROMOTE" or f"covers 2 failures, but max_failures is {most};" in found.reasons[0]


def test_an_expectation_that_nothing_fails_by_any_more_is_drift() -> None:
    found = decided(PASSED, of("unexpected pass", "old"), of("unexpected pass", "old"))

    assert (found.word, found.exit_code) == ("DRIFT", 10)
    assert found.reasons == ("2 tests passed although old expects failures",)


def test_an_unexpected_pass_is_a_pass() -> None:
    assert decided(of("unexpected pass", "old")).word == "DRIFT"


def test_an_expectation_without_tests_is_drift() -> None:
    assert decided(PASSED, facts=Facts(planned=1, unused=("old",))).reasons == ("expectation old covers no test",)


def test_drift_is_no_verdict_where_failures_are_tolerated_anyway() -> None:
    assert decided(PASSED, of("unexpected pass", "old"), environment="dev", kind="advisory").word == "PROMOTE"


def test_all_reasons_are_given() -> None:
    found = decided(of("expected failure", "r"), of("incomplete"), min_tests=5, budget=0)

    assert len(found.reasons) == 4


# A partial run

NARROWED = Facts(planned=1, partial=("-m providers deselected 180 of 193 tests",))


def test_a_partial_run_passes_without_the_number_of_tests_that_a_full_run_needs() -> None:
    found = decided(PASSED, facts=NARROWED, min_tests=50)

    assert (found.word, found.exit_code) == ("PARTIAL", 0)
    assert found.reasons == ("partial run: cannot promote a release", "-m providers deselected 180 of 193 tests")


@pytest.mark.parametrize(
    ("classifications", "tolerance", "reason"),
    [
        ([], {}, "no test passed"),
        ([of("expected failure", "r")], {}, "no test passed"),
        ([of("not applicable")], {}, "no test passed"),
        ([PASSED, of("incomplete")], {}, "1 test did not complete"),
        (
            [PASSED, of("expected failure", "r")],
            {"budget": 0},
            "1 accepted failures exceed the failure budget of 0 (tolerance.budget)",
        ),
    ],
)
def test_a_partial_run_still_needs_evidence(
    classifications: list[Classification], tolerance: dict[str, Any], reason: str
) -> None:
    found = decided(*classifications, facts=replace(NARROWED, planned=len(classifications) or 1), **tolerance)

    assert (found.word, found.reasons) == ("HOLD", (reason,))


def test_where_a_full_run_is_required_a_partial_one_holds_and_says_reason() -> None:
    found = decided(PASSED, facts=replace(NARROWED, not_full=NARROWED.partial))

    assert (found.word, found.exit_code) == ("HOLD", 11)
    assert found.reasons == (
        "a full run is required (--gaia-require-full), but this run is partial: -m providers deselected 180 of 193 tests",
    )
    assert decided(PASSED, facts=Facts(planned=1)).word == "PROMOTE"


def test_an_expectation_over_its_cap_is_named_with_its_place_its_tests_and_the_number_to_write() -> None:
    place = "suites/expectations/capped.toml"
    capped = msgspec.structs.replace(
        expectation("capped", "suites/chat", max_failures=1), place=place, max_failures_line=11
    )
    tests = [
        Classification(f"suites/chat/test_chat.py::test_{n}", "expected failure", expectations=("capped",))
        for n in range(22)
    ]

    (reason,) = decided(PASSED, *tests[:2], expectations=(capped,)).reasons
    assert reason == (
        f"expectation capped ({place}:11) covers 2 failures, but max_failures is 1; set max_failures = 2 if all have the "
        "same cause: suites/chat/test_chat.py::test_0, suites/chat/test_chat.py::test_1"
    )
    assert decided(PASSED, *tests, expectations=(capped,)).reasons[0].endswith("::test_19 and 2 more (-v lists them)")
    assert decided(PASSED, *tests, expectations=(capped,), facts=NARROWED).word == "PARTIAL"
