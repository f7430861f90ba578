"""Which entries count: the same as if every rule were applied to every entry anew, with every earlier one."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from itertools import accumulate
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from pytest_gaia.promotion.gate.situation import CLOCK_SKEW, Situation, approvers, attested
from pytest_gaia.promotion.ledger.keys import TrustedKey
from pytest_gaia.promotion.ledger.ledger import Entry
from pytest_gaia.promotion.ledger.statements import (
    DeploymentPredicate,
    GateDetails,
    GatePredicate,
    Predicate,
    RollbackPredicate,
    RunDetails,
    RunPredicate,
    SignoffPredicate,
    WaiverPredicate,
)
from tests.promotion.pipeline import STAGES, START, declared, made_release

ONE, TWO = made_release("1"), made_release("2")
NOW = START + timedelta(hours=4)
KEYS = [
    TrustedKey("ci", "c1", b"", ("ci",)),
    TrustedKey("rita", "a1", b"", ("release-manager",), ("rita@example.org",)),
    TrustedKey("dev", "d1", b"", ("release-manager",), ONE.authors),
]
KINDS = (RunPredicate, DeploymentPredicate, GatePredicate, RollbackPredicate, SignoffPredicate, WaiverPredicate)
PLACES = ("dev", "staging")


def said(kind: type[Predicate], where: str, release: str, fence: int, *, odd: bool) -> Predicate:
    """Return a predicate; ``odd`` is a drill, a simulated run, a decision to hold."""
    common: dict[str, Any] = {"environment": where, "release": release}
    moment = START.isoformat()
    if kind is RunPredicate:
        details = RunDetails(
            **common, verdict="PROMOTE", plan="", planned=1, rehearsal=odd, started=moment, finished=moment, fence=fence
        )
        return RunPredicate(result="PASSED", configuration=(), details=details)
    if kind is DeploymentPredicate:
        return DeploymentPredicate(**common, outcome="deployed", services={}, time=moment, fence=fence, rehearsal=odd)
    if kind is GatePredicate:
        decision = GateDetails(**common, verdict="HOLD" if odd else "PROMOTE", fence=fence)
        return GatePredicate(verifier={}, time_created=moment, properties=(), decision=decision)
    common |= {"reason": "tried", "time": moment}
    if kind is RollbackPredicate:
        return RollbackPredicate(**common, target=TWO.id, outcome="deployed", services={}, fence=fence, rehearsal=odd)
    common |= {"check": "release", "role": "release-manager", "signer": "rita", "until": moment}
    return SignoffPredicate(**common) if kind is SignoffPredicate else WaiverPredicate(**common)


def entries_of(kinds: tuple[type[Predicate], ...], places: tuple[str, ...], releases: tuple[str, ...]) -> Any:
    """Return a strategy for ledgers. What is usual is there more than once, so that many entries of an example count."""
    predicates = st.builds(
        said,
        st.sampled_from(kinds),
        st.sampled_from(places),
        st.sampled_from(releases),
        st.sampled_from((0, 1, 1, 2, 3, -1)),
        odd=st.sampled_from((False, False, True)),
    )
    one_entry = st.builds(
        Entry,
        sequence=st.integers(1, 2),
        sha256=st.just(""),
        subjects=st.sampled_from((ONE.subjects(),) * 5 + (TWO.subjects(),)),
        predicate=st.one_of(*[predicates] * 9, st.none()),
        signers=st.sampled_from([*[tuple(KEYS[:2])] * 4, (), *((each,) for each in KEYS)]),
        time=st.sampled_from([*[START] * 6, START + timedelta(hours=5), None]),
        signed=st.booleans(),
        problem=st.sampled_from(("", "", "is changed")),
    )
    return st.lists(one_entry, min_size=8, max_size=16).map(numbered)


def numbered(found: list[Entry]) -> tuple[Entry, ...]:
    """Return entries whose numbers increase, with gaps where entries were removed."""
    steps = accumulate(each.sequence for each in found)
    return tuple(replace(each, sequence=number) for each, number in zip(found, steps, strict=True))


def about(predicate: Predicate | None) -> tuple[str, str]:
    simulated = isinstance(predicate, RunPredicate) and predicate.details.rehearsal
    return ("", "") if predicate is None or simulated else (predicate.environment, predicate.release)


def plain(situation: Situation, kind: type[Predicate]) -> list[Entry]:
    """Return the entries of ``kind`` that count, without any index."""

    def may_say(entry: Entry) -> bool:
        if not isinstance(entry.predicate, SignoffPredicate | WaiverPredicate):
            return attested(entry, situation.stage)
        unsigned = not (situation.stage.require_signed or entry.signed or entry.doubt)
        return unsigned or bool(approvers(entry, situation.release))

    def overtaken(entry: Entry) -> bool:
        says: Any = entry.predicate
        return not isinstance(says, SignoffPredicate | WaiverPredicate) and any(
            each.sequence < entry.sequence
            and getattr(each.predicate, "fence", 0) > says.fence
            and about(each.predicate)[0] == about(says)[0]
            and may_say(each)
            for each in situation.entries
        )

    return [
        each
        for each in situation.entries
        if isinstance(each.predicate, kind)
        and each.time is not None
        and each.time <= situation.now + CLOCK_SKEW
        and may_say(each)
        and not overtaken(each)
    ]


def plain_runs_before(situation: Situation, environment: str) -> list[Entry]:
    back = {
        about(each.predicate)
        for each in plain(situation, RollbackPredicate)
        if isinstance(each.predicate, RollbackPredicate) and not each.predicate.rehearsal
    }
    found = []
    for gate in reversed(plain(situation, GatePredicate)):
        where, release = about(gate.predicate)
        promoted = isinstance(gate.predicate, GatePredicate) and gate.predicate.decision.verdict == "PROMOTE"
        if not promoted or gate.problem or where != environment or release == situation.release.id:
            continue
        runs = [each for each in plain(situation, RunPredicate) if each.sequence < gate.sequence and not each.problem]
        if (where, release) not in back:
            found += [each for each in runs if about(each.predicate) == (where, release)][-1:]
    return found


@given(entries_of(KINDS, PLACES, (ONE.id, ONE.id, TWO.id)), st.sampled_from(PLACES))
def test_what_counts_does_not_depend_on_how_it_is_found(entries: tuple[Entry, ...], environment: str) -> None:
    situation = Situation(environment, declared(environment), STAGES[environment], ONE, entries, NOW)
    # Twice, because the first result is remembered.
    for _ in range(2):
        for kind in KINDS:
            for where in PLACES:
                counting = [
                    each
                    for each in plain(situation, kind)
                    if about(each.predicate) == (where, ONE.id) and each.subjects == ONE.subjects()
                ]
                assert [each.entry for each in situation.evidence(kind, where)] == counting


@given(entries_of((RunPredicate, GatePredicate, GatePredicate, RollbackPredicate), ("staging",), (TWO.id, "3", ONE.id)))
def test_the_runs_of_earlier_releases_do_not_depend_on_how_they_are_found(entries: tuple[Entry, ...]) -> None:
    situation = Situation("staging", declared("staging"), STAGES["staging"], ONE, entries, NOW)

    assert [each.entry for each in situation.runs_before("staging")] == plain_runs_before(situation, "staging")


def test_a_stricter_stage_remembers_nothing_of_the_one_before() -> None:
    entry = Entry(1, "", subjects=ONE.subjects(), predicate=said(RunPredicate, "dev", ONE.id, 0, odd=False), time=START)
    situation = Situation("dev", declared("dev"), STAGES["dev"], ONE, (entry,), NOW)
    assert situation.evidence(RunPredicate)
    assert not replace(situation, stage=replace(STAGES["dev"], require_signed=True)).evidence(RunPredicate)
