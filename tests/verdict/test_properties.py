"""What holds of every run under every set of rules."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from hypothesis import event, given, settings
from hypothesis import strategies as st

from pytest_gaia.config.tolerance import tolerance_of
from pytest_gaia.expectations.expectation import ExpectationSet
from pytest_gaia.expectations.subjects import PHASES, Context, Subject, keys_of, mismatch
from pytest_gaia.verdict.classify import EXECUTED, Classification, PassesAtOnce, classify, subject_of
from pytest_gaia.verdict.evaluated import EvaluatedRun, evaluate_run
from pytest_gaia.verdict.evidence import Phase, Wire
from pytest_gaia.verdict.report import verdict_file
from pytest_gaia.verdict.results_log import encode, read_run
from tests.expectations.strategies import Scene, scenes
from tests.verdict import strategies as some
from tests.verdict.runs import passed, record

if TYPE_CHECKING:
    from random import Random

    from pytest_gaia.expectations.expectation import Expectation
    from pytest_gaia.verdict.evidence import RecordedRun

cases = some.cases()


def evaluated(
    case: some.Case, run: RecordedRun | None = None, expectations: list[Expectation] | None = None
) -> EvaluatedRun:
    recorded = run or case.run
    return evaluate_run(
        recorded.start,
        recorded.tests,
        recorded.end,
        ExpectationSet(case.expectations if expectations is None else expectations),
        case.context,
    )


def let_through(classification: Classification) -> bool:
    return (
        classification.outcome in ("expected failure", "tolerated", "skipped", "not applicable")
        and not classification.blocks
    )


@given(cases)
@settings(max_examples=3 * settings().max_examples)
def test_only_an_expectation_that_covers_and_matches_accepts(case: some.Case) -> None:
    expectations = {expectation.id: expectation for expectation in case.expectations}
    for test, found in zip(case.run.tests, evaluated(case).classifications, strict=True):
        if found.outcome != "expected failure":
            continue
        event("an expected failure by a rule" if found.expectations else "an expected failure by a mark")
        failed = [phase for phase in test.phases if phase.outcome == "failed"]
        assert failed
        assert not any(phase.passed_against_xfail for phase in failed)
        assert case.context.environment != "production"
        for each in (expectations[name] for name in found.expectations):
            assert any(selector.text in keys_of(subject_of(test)) for selector in each.selectors)
            assert case.context.environment in each.environments
            assert each.expires > case.context.today
        signatures = [details for _, details in some.failures_of(test)]
        for phase, details in zip(failed, signatures, strict=True):
            by_expectation = any(
                not mismatch(expectations[name].match, details) and phase.when in expectations[name].phases
                for name in found.expectations
            )
            assert by_expectation or (phase.xfail is not None and phase.when == "call")


@given(scenes())
@settings(max_examples=3 * settings().max_examples)
def test_adding_an_expectation_accepts_nothing_that_it_does_not_cover_and_match(scene: Scene) -> None:
    failed, new = scene.failed, scene.new
    test, circumstances = some.record_of(failed.test, failed.details), failed.circumstances
    before = classify(test, ExpectationSet(scene.expectations), circumstances)
    after = classify(test, ExpectationSet([*scene.expectations, new]), circumstances)
    event(f"before: {before.outcome}, after: {after.outcome}")

    if after.outcome == "expected failure" and before.outcome != "expected failure":
        assert after.expectations == (new.id,)
        assert any(selector.text in keys_of(failed.test) for selector in new.selectors)
        assert mismatch(new.match, failed.details) == ()
        assert failed.details.phase in new.phases
        assert new.expect in ("fails", "flaky")
        assert circumstances.environment in new.environments
        assert new.expires > circumstances.today
    if before.blocks and not after.blocks:
        assert after.outcome == "expected failure"


@given(cases, st.randoms())
def test_the_order_of_expectations_makes_no_difference(case: some.Case, random: Random) -> None:
    shuffled = list(case.expectations)
    random.shuffle(shuffled)

    assert verdict_file(evaluated(case)) == verdict_file(evaluated(case, expectations=shuffled))


@given(cases, st.randoms())
def test_the_order_of_tests_makes_no_difference_to_the_verdict(case: some.Case, random: Random) -> None:
    tests = list(case.run.tests)
    random.shuffle(tests)
    shuffled = type(case.run)(case.run.start, tuple(tests), case.run.end)
    one, other = evaluated(case), evaluated(case, shuffled)

    assert (one.verdict.word, one.counts, sorted(one.verdict.reasons)) == (
        other.verdict.word,
        other.counts,
        sorted(other.verdict.reasons),
    )


@given(cases)
def test_a_replay_gives_the_same_verdict_file(case: some.Case) -> None:
    with tempfile.TemporaryDirectory() as folder:
        replayed = read_run(record(Path(folder) / "run.jsonl", case.run))

    assert replayed == case.run
    assert verdict_file(evaluated(case, replayed)) == verdict_file(evaluated(case))


@given(cases)
def test_a_run_that_is_cancelled_is_never_promoted(case: some.Case) -> None:
    lines = [encode(case.run.start), *map(encode, case.run.tests)]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run.jsonl"
        path.write_bytes(b"".join(lines))
        cut = read_run(path)

    assert evaluated(case, cut).verdict.word in ("REJECT", "HOLD")


@given(cases)
def test_zero_accepts_nothing(case: some.Case) -> None:
    zero = replace(case.context, environment="production", tolerance=tolerance_of("production", {}))
    forged = [
        msgspec.structs.replace(expectation, environments=(*expectation.environments, "production"))
        for expectation in case.expectations
    ]
    for test in case.run.tests:
        found = classify(test, ExpectationSet(forged), zero)

        assert found.outcome not in ("expected failure", "tolerated", "unexpected pass")
        assert found == msgspec.structs.replace(classify(test, ExpectationSet(), zero), overridden=found.overridden)
        unclean = any(phase.outcome in ("failed", "skipped") for phase in test.phases) or test.attempt > 1
        if test.state == "ran" and unclean:
            assert found.blocks


@given(cases)
def test_only_a_run_with_evidence_ends_with_0(case: some.Case) -> None:
    found = evaluated(case)
    if found.verdict.exit_code:
        return
    event(found.verdict.word)
    tolerance, end = case.context.tolerance, case.run.end
    assert end is not None
    assert (found.verdict.word == "PARTIAL") == bool(end.partial)
    assert not (end.partial and end.full_required)
    assert end.pytest_exit in (0, 1, 5)
    assert not end.unavailable
    assert not end.undeployed
    assert not end.changed
    assert not any(each.blocks for each in found.classifications)
    # A partial run promotes nothing, so that tests of files may be all of it.
    offline = found.counts["passed offline"] if end.partial else 0
    assert found.counts["passed"] + found.counts["unexpected pass"] + offline > 0
    assert not found.counts["incomplete"]
    assert end.partial or sum(found.counts[outcome] for outcome in EXECUTED) >= tolerance.min_tests
    assert tolerance.budget is None or found.accepted <= tolerance.budget
    assert end.planned <= len({test.node for test in case.run.tests if test.state != "deselected"})


@given(cases)
def test_a_pass_has_passed_in_all_three_phases(case: some.Case) -> None:
    for test, found in zip(case.run.tests, evaluated(case).classifications, strict=True):
        if found.outcome in ("passed", "unexpected pass"):
            assert {phase.when for phase in test.phases} >= {"setup", "call", "teardown"}
            assert all(phase.outcome == "passed" for phase in test.phases)


@given(cases)
def test_what_blocks_says_reason_it_does(case: some.Case) -> None:
    for test, found in zip(case.run.tests, evaluated(case).classifications, strict=True):
        if found.blocks and test.state == "ran" and any(phase.outcome == "failed" for phase in test.phases):
            assert found.reason


def test_a_subject_is_what_the_record_says() -> None:
    test = passed("x.py::test_a", markers=("slow",), services=("chat",))

    assert subject_of(test) == Subject("x.py::test_a", frozenset({"slow"}), frozenset({"chat"}))


@given(cases, st.integers(0, 2), st.sampled_from([None, 200, 404]), st.booleans(), st.integers(0, 1))
def test_a_pass_at_once_is_classified_like_any_other_test(
    case: some.Case, exchanges: int, status: int | None, offline: bool, of_fixtures: int
) -> None:
    expectations = ExpectationSet(case.expectations)
    at_once = PassesAtOnce(expectations.under(case.context), case.context)
    wires = (Wire("GET", "/", "gateway", "direct", 0.1, status),) * exchanges
    for each in case.run.tests:
        shapes = (each.phases, tuple(Phase(when, "passed", exchanges=exchanges) for when in PHASES))
        for phases in shapes:
            test = msgspec.structs.replace(
                each, phases=phases, exchanges=wires, offline=offline, of_fixtures=of_fixtures
            )
            found = at_once(test)
            assert found in (None, classify(test, expectations, case.context))


def test_most_passes_are_recognized_at_once() -> None:
    context = Context("staging", frozenset(), date(2026, 11, 29), tolerance_of("staging", {}))
    at_once = PassesAtOnce(ExpectationSet(()).under(context), context)
    phases = (Phase("setup", "passed"), Phase("call", "passed", exchanges=1), Phase("teardown", "passed"))
    test = passed("a.py::test", phases=phases, exchanges=(Wire("GET", "/", "gateway", "direct", 0.1, 200),))
    assert at_once(test) == Classification("a.py::test", "passed")
