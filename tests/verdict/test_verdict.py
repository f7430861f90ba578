"""From judgements to one word: what wins over what, and what holds a release."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from pytest_gaia.verdict.judge import EXECUTED, Judgement
from pytest_gaia.verdict.verdict import EXIT_CODES, Facts, Verdict, decide
from tests.policy.build import context, rule

if TYPE_CHECKING:
    from pytest_gaia.policy.rules import Rule
    from pytest_gaia.verdict.judge import Outcome

PASSED = Judgement("a", "passed")


def of(outcome: Outcome, *rules: str, gates: bool = False) -> Judgement:
    return Judgement("b", outcome, gates=gates, rules=rules)


def decided(
    *judgements: Judgement,
    rules: tuple[Rule, ...] = (),
    facts: Facts | None = None,
    environment: str = "staging",
    **tolerance: Any,
) -> Verdict:
    circumstances = context(environment)
    changed = replace(circumstances, tolerance=replace(circumstances.tolerance, **tolerance))
    return decide(judgements, rules, facts or Facts(planned=len(judgements)), changed)


def test_one_pass_is_enough_where_one_is_asked_for() -> None:
    found = decided(PASSED)

    assert (found.word, found.exit_code, found.reasons) == ("PROMOTE", 0, ("1 passed",))


@pytest.mark.parametrize("present", list(itertools.product((True, False), repeat=4)), ids=str)
def test_infra_wins_over_reject_over_hold_over_drift(present: tuple[bool, ...]) -> None:
    infra, reject, hold, drift = present
    judgements = [PASSED, *([of("failed", gates=True)] * reject), *([of("incomplete")] * hold)]
    judgements += [of("unexpected pass", "r")] * drift

    found = decided(*judgements, facts=Facts(planned=9, unavailable="out of reach" if infra else ""))

    words = [word for word, there in zip(("INFRA", "REJECT", "HOLD", "DRIFT"), present, strict=True) if there]
    assert found.word == (words[0] if words else "PROMOTE")
    assert found.exit_code == EXIT_CODES[found.word]


def test_every_code_but_that_of_promote_is_an_error_and_none_is_twice() -> None:
    assert EXIT_CODES["PROMOTE"] == 0
    assert len(set(EXIT_CODES.values())) == len(EXIT_CODES)
    assert all(code in range(1, 126) for word, code in EXIT_CODES.items() if word != "PROMOTE")


@pytest.mark.parametrize(
    ("judgements", "facts", "reason"),
    [
        ([], Facts(), "nothing was selected"),
        ([of("skipped")], Facts(planned=1), "no test passed"),
        ([of("not applicable")], Facts(planned=1), "no test passed"),
        ([of("expected failure", "r")], Facts(planned=1), "no test passed"),
        ([of("deselected")], Facts(planned=0), "nothing was selected"),
        ([PASSED, of("incomplete")], Facts(planned=2), "1 tests did not run to their end"),
        ([PASSED], Facts(planned=3, missing=2), "nothing is known of 2 selected tests"),
        ([PASSED], Facts(planned=1, interrupted="the run was interrupted"), "the run was interrupted"),
    ],
)
def test_missing_evidence_holds(judgements: list[Judgement], facts: Facts, reason: str) -> None:
    found = decided(*judgements, facts=facts)

    assert (found.word, found.exit_code) == ("HOLD", 11)
    assert reason in found.reasons


@pytest.mark.parametrize("outcome", sorted(EXECUTED))
def test_what_ran_counts_as_executed(outcome: Outcome) -> None:
    enough = decided(PASSED, of(outcome), least_executed=2)

    assert not any("must" in reason for reason in enough.reasons)


@pytest.mark.parametrize("outcome", ["skipped", "not applicable", "deselected", "incomplete"])
def test_what_did_not_run_does_not_count_as_executed(outcome: Outcome) -> None:
    assert "1 tests ran, at least 2 must" in decided(PASSED, of(outcome), least_executed=2).reasons


@pytest.mark.parametrize(
    ("budget", "word"), [(None, "PROMOTE"), (3, "PROMOTE"), (2, "PROMOTE"), (1, "HOLD"), (0, "HOLD")]
)
def test_the_budget_is_the_most_that_may_be_excused(budget: int | None, word: str) -> None:
    excused = [of("expected failure", "r"), of("tolerated")]

    found = decided(PASSED, *excused, budget=budget)

    assert found.word == word
    assert word == "PROMOTE" or found.reasons == (f"2 failures were excused, the budget is {budget}",)


@pytest.mark.parametrize(("most", "word"), [(None, "PROMOTE"), (2, "PROMOTE"), (1, "HOLD"), (0, "HOLD")])
@pytest.mark.parametrize("outcome", ["expected failure", "skipped"])
def test_a_rule_excuses_no_more_than_its_cap(most: int | None, word: str, outcome: Outcome) -> None:
    capped = rule("capped", "suites/personas", max_tests=most)

    found = decided(PASSED, of(outcome, "capped"), of(outcome, "capped", "other"), rules=(capped,))

    assert found.word == word
    assert word == "PROMOTE" or found.reasons == (f"rule capped excused 2 tests, its max_tests is {most}",)


def test_a_rule_that_nothing_fails_by_any_more_is_drift() -> None:
    found = decided(PASSED, of("unexpected pass", "old"), of("unexpected pass", "old"))

    assert (found.word, found.exit_code) == ("DRIFT", 10)
    assert found.reasons == ("2 tests passed that rule old expects to fail",)


def test_an_unexpected_pass_is_a_pass() -> None:
    assert decided(of("unexpected pass", "old")).word == "DRIFT"


def test_a_rule_without_tests_is_drift() -> None:
    assert decided(PASSED, facts=Facts(planned=1, unused=("old",))).reasons == ("rule old covers no test",)


def test_drift_is_no_verdict_where_failures_are_tolerated_anyway() -> None:
    assert decided(PASSED, of("unexpected pass", "old"), environment="dev", kind="open").word == "PROMOTE"


def test_all_reasons_are_given() -> None:
    found = decided(of("expected failure", "r"), of("incomplete"), least_executed=5, budget=0)

    assert len(found.reasons) == 4
