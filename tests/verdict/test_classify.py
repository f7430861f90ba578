"""The outcome of one test, from its results, the expectations and the environment."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from pytest_gaia.config.tolerance import Tolerance, tolerance_of
from pytest_gaia.expectations.expectation import ExpectationSet
from pytest_gaia.expectations.subjects import KEYS, Match
from pytest_gaia.verdict.classify import Classification, classify, details_of
from pytest_gaia.verdict.evidence import Failure, Phase, TestRecord
from tests.expectations.build import TODAY, context, expectation
from tests.verdict.runs import UNAVAILABLE, failed, passed

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_gaia.expectations.expectation import Expectation

NODE = "suites/personas/test_crud.py::test_create"
FILE = "suites/personas/test_crud.py"
BUG = Failure("assertion", "AssertionError", "3 == 4")
SETUP, CALL, TEARDOWN = Phase("setup", "passed"), Phase("call", "passed"), Phase("teardown", "passed")

COVERING = expectation("covering", "suites/personas")


def evaluated(
    record: TestRecord, *expectations: Expectation, environment: str = "staging", **tolerance: Any
) -> Classification:
    circumstances = context(environment)
    changed = replace(circumstances.tolerance, **tolerance)
    return classify(record, ExpectationSet(expectations), replace(circumstances, tolerance=changed))


def ran(*phases: Phase, **more: Any) -> TestRecord:
    return TestRecord(NODE, "ran", phases, **more)


def at(when: str, failure: Failure | None = UNAVAILABLE, **more: Any) -> TestRecord:
    """A test that failed in one phase."""
    phases = [
        Phase(when, "failed", failure=failure, **more) if each.when == when else each
        for each in (SETUP, CALL, TEARDOWN)
    ]
    return ran(*phases)


def without(record: TestRecord, when: str) -> TestRecord:
    return msgspec.structs.replace(record, phases=tuple(phase for phase in record.phases if phase.when != when))


@pytest.mark.parametrize(
    ("record", "outcome", "blocks"),
    [
        (passed(NODE), "passed", False),
        (failed(NODE), "failed", True),
        (at("setup"), "error", True),
        (at("teardown"), "error", True),
        (at("call", None), "failed", True),
        (TestRecord(NODE, "crashed"), "crashed", True),
        (TestRecord(FILE, "not collected"), "not collected", True),
        (TestRecord(FILE, "not collected", (Phase("collect", "skipped"),)), "skipped", False),
        (TestRecord(NODE, "never ran"), "incomplete", False),
        (TestRecord(NODE, "deselected"), "deselected", False),
        (ran(), "incomplete", False),
        (without(passed(NODE), "setup"), "incomplete", False),
        (without(passed(NODE), "call"), "incomplete", False),
        (without(passed(NODE), "teardown"), "incomplete", False),
        (ran(Phase("setup", "skipped", reason="later"), TEARDOWN), "skipped", False),
        (ran(Phase("setup", "not applicable", reason="no broker"), TEARDOWN), "not applicable", False),
        (ran(SETUP, CALL, Phase("teardown", "skipped")), "skipped", False),
        (ran(SETUP, Phase("call", "skipped"), Phase("teardown", "failed", failure=BUG)), "error", True),
    ],
)
def test_without_expectations(record: TestRecord, outcome: str, blocks: bool) -> None:
    found = evaluated(record)

    assert (found.outcome, found.blocks, found.expectations) == (outcome, blocks, ())


def test_an_expectation_accepts_what_it_covers_and_matches() -> None:
    found = evaluated(failed(NODE), COVERING)

    assert (found.outcome, found.blocks, found.expectations, found.reason) == (
        "expected failure",
        False,
        ("covering",),
        "not deployed yet",
    )


@pytest.mark.parametrize(
    ("record", "other", "reason"),
    [
        (failed(NODE, BUG), COVERING, "expectation covering did not match: no status, expected 503"),
        (at("setup"), COVERING, "expectation covering did not match: phase setup, expected call"),
        (at("teardown"), COVERING, "expectation covering did not match: phase teardown, expected call"),
        (failed(NODE), msgspec.structs.replace(COVERING, expect="pass"), "expectation covering did not match: expects pass, not a failure"),
        (failed(NODE), msgspec.structs.replace(COVERING, expect="skip"), "expectation covering did not match: expects skip, not a failure"),
        (at("call", None), COVERING, "expectation covering did not match: no status, expected 503"),
    ],
)  # fmt: skip
def test_an_expectation_says_reason_it_does_not_accept(record: TestRecord, other: Expectation, reason: str) -> None:
    found = evaluated(record, other)

    assert found.blocks
    assert reason in found.reason.splitlines()
    assert found.expectations == ()
    assert found.overridden == (("covering", reason.partition("did not match: ")[2]),)


def test_each_failed_phase_needs_an_accept_of_its_own() -> None:
    twice = ran(SETUP, Phase("call", "failed", failure=UNAVAILABLE), Phase("teardown", "failed", failure=BUG))
    for_teardown = expectation(
        "teardown", "suites/personas", match=Match(kind=("assertion",)), phases=frozenset({"teardown"})
    )

    assert evaluated(twice, COVERING).outcome == "error"
    both = evaluated(twice, COVERING, for_teardown)
    assert (both.outcome, both.expectations) == ("expected failure", ("covering", "teardown"))


def test_each_failed_subtest_needs_an_accept_of_its_own() -> None:
    one, other = (Phase("call", "failed", failure=failure, subtest="n") for failure in (UNAVAILABLE, BUG))

    assert evaluated(ran(SETUP, one, CALL, TEARDOWN), COVERING).outcome == "expected failure"
    assert evaluated(ran(SETUP, one, other, CALL, TEARDOWN), COVERING).blocks


def test_a_test_that_passes_against_its_expectation_is_drift() -> None:
    found = evaluated(passed(NODE), COVERING)

    assert (found.outcome, found.blocks, found.expectations) == ("unexpected pass", False, ("covering",))


def test_a_flaky_test_may_pass_or_fail_as_listed() -> None:
    flaky = msgspec.structs.replace(COVERING, expect="flaky")

    assert evaluated(passed(NODE), flaky).outcome == "passed"
    assert evaluated(failed(NODE), flaky).outcome == "expected failure"
    assert evaluated(failed(NODE, BUG), flaky).blocks


def test_expectations_that_disagree_block_even_a_pass() -> None:
    other = msgspec.structs.replace(COVERING, id="other", expect="pass", when=(("chat", False),), match=Match())
    found = evaluated(passed(NODE), COVERING, other)

    assert (found.outcome, found.blocks) == ("error", True)
    assert found.reason == "equally specific expectations conflict: covering expects fail, other expects pass"


def test_an_expectation_knows_a_test_by_its_place_in_the_project() -> None:
    elsewhere = failed("personas/test_crud.py::test_create", subject=NODE)

    assert evaluated(elsewhere, COVERING).outcome == "expected failure"
    assert evaluated(failed("personas/test_crud.py::test_create"), COVERING).blocks


# pytest's own marks


@pytest.mark.parametrize(
    ("record", "expected", "fails"),
    [
        (at("call", BUG, xfail="later"), "expected failure", "failed"),
        (at("call", BUG, xfail=""), "expected failure", "failed"),
        (at("setup", BUG, xfail="later"), "error", "error"),
        (at("teardown", BUG, xfail="later"), "error", "error"),
        (at("call", BUG, passed_against_xfail=True), "failed", "failed"),
    ],
)
def test_a_mark_accepts_a_call_where_marks_are_accepted(record: TestRecord, expected: str, fails: str) -> None:
    assert evaluated(record, xfail="expected").outcome == expected
    assert evaluated(record, xfail="fail").outcome == fails


def test_an_expectation_does_not_accept_a_pass_that_a_strict_mark_fails() -> None:
    any_assertion = expectation("any", "all", match=Match(kind=("assertion",)))
    found = evaluated(
        at("call", Failure("assertion", "XPASS", "[XPASS(strict)]"), passed_against_xfail=True), any_assertion
    )

    assert found.blocks
    assert found.overridden == (("any", "the test passed, but is marked xfail(strict=True)"),)


# Skips


SKIPPED = ran(Phase("setup", "skipped", reason="waits for GAIA-7"), TEARDOWN)
LISTING = msgspec.structs.replace(COVERING, expect="skip", match=Match(message=("gaia-7",)))


@pytest.mark.parametrize(
    ("meaning", "expectations", "blocks"),
    [
        ("allowed", (), False),
        ("expected", (), True),
        ("expected", (LISTING,), False),
        ("expected", (msgspec.structs.replace(LISTING, match=Match()),), False),
        ("expected", (msgspec.structs.replace(LISTING, match=Match(message=("GAIA-8",))),), True),
        ("expected", (COVERING,), True),
        ("fails", (), True),
        ("fails", (LISTING,), True),
    ],
)
def test_a_skip_is_what_the_environment_says(meaning: str, expectations: tuple[Expectation, ...], blocks: bool) -> None:
    found = evaluated(SKIPPED, *expectations, skip=meaning)

    assert (found.outcome, found.blocks) == ("skipped", blocks)


@pytest.mark.parametrize("more", [{"attempt": 2}, {"earlier": (Phase("call", "failed", failure=BUG),)}])
@pytest.mark.parametrize("environment", ["staging", "production"])
@pytest.mark.parametrize("make", [passed, failed])
def test_a_classification_says_whether_there_was_more_than_one_attempt(
    make: Callable[..., TestRecord], environment: str, more: dict[str, Any]
) -> None:
    assert evaluated(make(NODE, **more), environment=environment).retried
    assert not evaluated(make(NODE), environment=environment).retried


# Tolerance

OPEN, ZERO = tolerance_of("dev", {"kind": "advisory"}), tolerance_of("production", {})


def under(tolerance: Tolerance, record: TestRecord) -> Classification:
    """Classify without expectations, in an environment called small."""
    return classify(record, ExpectationSet(), replace(context(), environment="small", today=TODAY, tolerance=tolerance))


@pytest.mark.parametrize(
    ("record", "open_", "zero"),
    [
        (passed(NODE), ("passed", False), ("passed", False)),
        (failed(NODE), ("tolerated", False), ("failed", True)),
        (failed(NODE, core=True), ("failed", True), ("failed", True)),
        (at("setup"), ("error", True), ("error", True)),
        (at("teardown"), ("error", True), ("error", True)),
        (TestRecord(NODE, "crashed"), ("crashed", True), ("crashed", True)),
        (TestRecord(FILE, "not collected"), ("not collected", True), ("not collected", True)),
        (TestRecord(FILE, "not collected", (Phase("collect", "skipped"),)), ("skipped", False), ("skipped", True)),
        (SKIPPED, ("skipped", False), ("skipped", True)),
        (at("call", BUG, xfail="later"), ("expected failure", False), ("failed", True)),
        (passed(NODE, attempt=2), ("passed", False), ("failed", True)),
        (passed(NODE, earlier=(Phase("call", "failed", failure=BUG),)), ("passed", False), ("failed", True)),
        (ran(SETUP, Phase("call", "not applicable"), TEARDOWN, attempt=2), ("not applicable", False), ("failed", True)),
    ],
)
def test_what_blocks_depends_on_the_tolerance(
    record: TestRecord, open_: tuple[str, bool], zero: tuple[str, bool]
) -> None:
    found = [under(tolerance, record) for tolerance in (OPEN, ZERO)]

    assert [(each.outcome, each.blocks) for each in found] == [open_, zero]


def test_no_expectation_applies_where_nothing_is_tolerated() -> None:
    forged = msgspec.structs.replace(COVERING, environments=("production",))

    found = evaluated(failed(NODE), forged, environment="production")

    assert found.blocks
    assert found.overridden == (("covering", "production has strict tolerance"),)


@pytest.mark.parametrize("key", KEYS)
def test_every_key_of_a_signature_is_held_against_what_the_failure_says_there(key: str) -> None:
    said = 418 if key == "status" else f"the {key}"
    phase = Phase("call", "failed", failure=msgspec.structs.replace(BUG, **{key: said}))

    assert getattr(details_of(phase), key) == said
