"""The judge: a pure function of raw evidence, rules, environment, observed capabilities and date."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from operator import attrgetter
from typing import Literal

import msgspec

from pytest_gaia.expectations.expectation import Expectation
from pytest_gaia.expectations.expectation_set import ExpectationSet, Standing
from pytest_gaia.expectations.selectors import mismatch
from pytest_gaia.expectations.subjects import PHASES, Context, Subject, Symptom
from pytest_gaia.verdict.evidence import Phase, TestRecord

Outcome = Literal[
    "passed",
    "failed",
    "error",
    "crashed",
    "not collected",
    "expected failure",
    "tolerated",
    "unexpected pass",
    "skipped",
    "not applicable",
    "incomplete",
    "deselected",
]

EXECUTED: frozenset[Outcome] = frozenset(
    ("passed", "failed", "error", "crashed", "expected failure", "tolerated", "unexpected pass")
)
"""what a test that ran can come to"""
EXCUSED: frozenset[Outcome] = frozenset(("expected failure", "tolerated"))
"""what a failure comes to that is let through"""

_PASSED = "the test passed, and its own strict xfail says that it must not"
_WHOLE = frozenset(PHASES)
"""the phases of a test that ran to its end"""
_WHEN = attrgetter("when")


class Classification(msgspec.Struct, frozen=True, gc=False):
    """What one test came to under one environment's rules."""

    node: str
    outcome: Outcome
    gates: bool = False
    """whether it alone rejects the release"""
    why: str = ""
    expectations: tuple[str, ...] = ()
    """the rules that decided it"""
    losers: tuple[tuple[str, str], ...] = ()
    """rules that cover the test and did not decide it, each with the reason"""
    retried: bool = False
    """whether it was attempted more than once"""


OUTCOME: Callable[[Classification], Outcome] = attrgetter("outcome")


@dataclass(frozen=True, slots=True)
class Excuse:
    """What the rules say to one failed phase: the rule that excuses it, or what kept each from doing so."""

    expectation: Expectation | None = None
    native: str | None = None
    """the reason of pytest's own xfail, where that is accepted"""
    refusals: tuple[tuple[str, str], ...] = ()

    @property
    def excused(self) -> bool:
        """Whether the failure was expected."""
        return self.expectation is not None or self.native is not None

    @property
    def text(self) -> str:
        """What a failed test says of the rules that did not excuse it."""
        return "\n".join(f"rule {expectation} did not excuse: {why}" for expectation, why in self.refusals)


def subject_of(record: TestRecord) -> Subject:
    """Return what selectors look at."""
    return Subject(record.subject or record.node, _as_set(record.markers), _as_set(record.services))


# Ten thousand tests have the same few sets of markers.
_as_set = lru_cache(maxsize=256)(frozenset[str])


def classify(record: TestRecord, expectations: ExpectationSet, context: Context) -> Classification:
    """Judge one test. Only an explicit pass is a pass; what is not known gates, or holds."""
    return classify_by(expectations.standing(subject_of(record), context), record, context)


def classify_by(standing: Standing, record: TestRecord, context: Context) -> Classification:
    """Judge one test by the rules that stand for it."""
    if not standing.tied and record.clean:
        return _passed(record, standing)
    if record.state == "crashed" or (record.state == "not collected" and not record.phases):
        return Classification(record.node, record.state, gates=True, why=record.message)
    if record.state == "deselected":
        return Classification(record.node, "deselected")
    if standing.tied:
        return _disputed(record, standing)
    classification = _other(record, standing, context)
    return (
        msgspec.structs.replace(classification, retried=True)
        if record.attempt > 1 or record.earlier
        else classification
    )


def _other(record: TestRecord, standing: Standing, context: Context) -> Classification:
    """Judge a test that did not pass at once, or of which not everything is known."""
    failed = [phase for phase in record.phases if phase.outcome == "failed"]
    if failed:
        return _failed(record, failed, standing, context)
    if (record.attempt > 1 or record.earlier) and context.tolerance.kind == "zero":
        why = f"it failed before attempt {max(record.attempt, 2)}: a retry is no pass here"
        return Classification(record.node, "failed", gates=True, why=why, losers=standing.silent)
    left_out = [phase for phase in record.phases if phase.outcome != "passed"]
    if left_out:
        # What was skipped counts, even if something else did not apply.
        skipped = next((phase for phase in left_out if phase.outcome == "skipped"), left_out[0])
        return _left_out(record, skipped, standing, context)
    return _passed(record, standing)


def excuse(phase: Phase, standing: Standing, context: Context) -> Excuse:
    """Hold one failed phase against the rules that stand for its test."""
    symptom = symptom_of(phase)
    refusals: list[tuple[str, str]] = []
    for expectation in standing.winners:
        refused = (_PASSED,) if phase.passed_against_xfail else expectation.refusal(symptom)
        if not refused:
            return Excuse(expectation=expectation)
        refusals.append((expectation.id, ", ".join(refused)))
    accepted = context.tolerance.xfail == "expected" and phase.when == "call" and not phase.passed_against_xfail
    return Excuse(native=phase.xfail if accepted else None, refusals=tuple(refusals))


def symptom_of(phase: Phase) -> Symptom:
    """Return what a rule's signature is held against."""
    if phase.failure is None:
        return Symptom(phase.when, "error")
    known = msgspec.structs.asdict(phase.failure)
    # For people: no rule is held against the class of an exception.
    del known["exception"]
    return Symptom(phase.when, **known)


def _failed(record: TestRecord, failed: Iterable[Phase], standing: Standing, context: Context) -> Classification:
    held = [(phase, excuse(phase, standing, context)) for phase in failed]
    losers = standing.silent
    unexcused = [(phase, answer) for phase, answer in held if not answer.excused]
    if not unexcused:
        expectations = tuple(dict.fromkeys(answer.expectation.id for _, answer in held if answer.expectation))
        causes = (answer.expectation.why if answer.expectation else f"xfail: {answer.native}" for _, answer in held)
        why = "; ".join(dict.fromkeys(causes))
        return Classification(record.node, "expected failure", why=why, expectations=expectations, losers=losers)
    refusals = tuple(refusal for _, answer in unexcused for refusal in answer.refusals)
    why = "\n".join(text for phase, answer in unexcused for text in (_short(phase), answer.text) if text)
    if context.tolerance.kind == "open" and not record.core and all(phase.when == "call" for phase, _ in unexcused):
        return Classification(record.node, "tolerated", why=why, losers=losers + refusals)
    outcome: Outcome = "failed" if any(phase.when == "call" for phase, _ in unexcused) else "error"
    return Classification(record.node, outcome, gates=True, why=why, losers=losers + refusals)


def _left_out(record: TestRecord, phase: Phase, standing: Standing, context: Context) -> Classification:
    losers = standing.silent
    if phase.outcome == "not applicable":
        return Classification(record.node, "not applicable", why=phase.reason, losers=losers)
    symptom = Symptom(phase.when, "", phase.reason)
    listed = tuple(
        expectation.id
        for expectation in standing.winners
        if expectation.expect == "skips" and not mismatch(expectation.match, symptom)
    )
    allowed = context.tolerance.skip == "allowed" or (context.tolerance.skip == "listed" and bool(listed))
    return Classification(
        record.node, "skipped", gates=not allowed, why=phase.reason, expectations=listed, losers=losers
    )


def _disputed(record: TestRecord, standing: Standing) -> Classification:
    claims = ", ".join(f"{expectation.id} expects {expectation.expect}" for expectation in standing.tied)
    why = f"equally specific rules disagree about it: {claims}"
    return Classification(record.node, "error", gates=True, why=why, losers=standing.silent)


def _passed(record: TestRecord, standing: Standing) -> Classification:
    losers = standing.silent
    if not _WHOLE.issubset(map(_WHEN, record.phases)):
        return Classification(
            record.node, "incomplete", why=record.message or "it did not run to its end", losers=losers
        )
    if standing.expect == "fails":
        why = f"expected to fail by {', '.join(standing.speaking)}"
        return Classification(record.node, "unexpected pass", why=why, expectations=standing.speaking, losers=losers)
    why = f"passed on attempt {record.attempt}" if record.attempt > 1 else ""
    return Classification(record.node, "passed", False, why, standing.speaking, losers)


def _short(phase: Phase) -> str:
    if phase.failure is None:
        return f"{phase.when} failed"
    where = f"{phase.when}, subtest {phase.subtest}" if phase.subtest else phase.when
    first = phase.failure.message.strip().partition("\n")[0]
    return f"{where}: {phase.failure.exception}: {first}"
