"""The judge: a pure function of raw evidence, rules, environment, observed capabilities and date."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from operator import attrgetter
from typing import Literal

import msgspec

from pytest_gaia.expectations.expectation import Expectation
from pytest_gaia.expectations.expectation_set import ExpectationSet, Resolution
from pytest_gaia.expectations.selectors import mismatch
from pytest_gaia.expectations.subjects import PHASES, Context, FailureDetails, Subject
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
ACCEPTED: frozenset[Outcome] = frozenset(("expected failure", "tolerated"))
"""what a failure comes to that is let through"""

_PASSED = "the test passed, and its own strict xfail says that it must not"
_WHOLE = frozenset(PHASES)
"""the phases of a test that ran to its end"""
_WHEN = attrgetter("when")


class Classification(msgspec.Struct, frozen=True, gc=False):
    """What one test came to under one environment's rules."""

    node: str
    outcome: Outcome
    blocks: bool = False
    """whether it alone rejects the release"""
    reason: str = ""
    expectations: tuple[str, ...] = ()
    """the rules that decided it"""
    overridden: tuple[tuple[str, str], ...] = ()
    """rules that cover the test and did not decide it, each with the reason"""
    retried: bool = False
    """whether it was attempted more than once"""


OUTCOME: Callable[[Classification], Outcome] = attrgetter("outcome")


@dataclass(frozen=True, slots=True)
class PhaseOutcome:
    """What the rules say to one failed phase: the rule that excuses it, or what kept each from doing so."""

    expectation: Expectation | None = None
    native: str | None = None
    """the reason of pytest's own xfail, where that is accepted"""
    refusals: tuple[tuple[str, str], ...] = ()

    @property
    def accepted(self) -> bool:
        """Whether the failure was expected."""
        return self.expectation is not None or self.native is not None

    @property
    def text(self) -> str:
        """What a failed test says of the rules that did not excuse it."""
        return "\n".join(f"rule {expectation} did not excuse: {reason}" for expectation, reason in self.refusals)


def subject_of(record: TestRecord) -> Subject:
    """Return what selectors look at."""
    return Subject(record.subject or record.node, _as_set(record.markers), _as_set(record.services))


# Ten thousand tests have the same few sets of markers.
_as_set = lru_cache(maxsize=256)(frozenset[str])


def classify(record: TestRecord, expectations: ExpectationSet, context: Context) -> Classification:
    """Judge one test. Only an explicit pass is a pass; what is not known gates, or holds."""
    return classify_by(expectations.resolution(subject_of(record), context), record, context)


def classify_by(resolution: Resolution, record: TestRecord, context: Context) -> Classification:
    """Judge one test by the rules that stand for it."""
    if not resolution.tied and record.clean:
        return _passed(record, resolution)
    if record.state == "crashed" or (record.state == "not collected" and not record.phases):
        return Classification(record.node, record.state, blocks=True, reason=record.message)
    if record.state == "deselected":
        return Classification(record.node, "deselected")
    if resolution.tied:
        return _disputed(record, resolution)
    classification = _other(record, resolution, context)
    return (
        msgspec.structs.replace(classification, retried=True)
        if record.attempt > 1 or record.earlier
        else classification
    )


def _other(record: TestRecord, resolution: Resolution, context: Context) -> Classification:
    """Judge a test that did not pass at once, or of which not everything is known."""
    failed = [phase for phase in record.phases if phase.outcome == "failed"]
    if failed:
        return _failed(record, failed, resolution, context)
    if (record.attempt > 1 or record.earlier) and context.tolerance.kind == "zero":
        reason = f"it failed before attempt {max(record.attempt, 2)}: a retry is no pass here"
        return Classification(record.node, "failed", blocks=True, reason=reason, overridden=resolution.silent)
    left_out = [phase for phase in record.phases if phase.outcome != "passed"]
    if left_out:
        # What was skipped counts, even if something else did not apply.
        skipped = next((phase for phase in left_out if phase.outcome == "skipped"), left_out[0])
        return _left_out(record, skipped, resolution, context)
    return _passed(record, resolution)


def classify_phase(phase: Phase, resolution: Resolution, context: Context) -> PhaseOutcome:
    """Hold one failed phase against the rules that stand for its test."""
    details = details_of(phase)
    refusals: list[tuple[str, str]] = []
    for expectation in resolution.effective:
        refused = (_PASSED,) if phase.passed_against_xfail else expectation.refusal(details)
        if not refused:
            return PhaseOutcome(expectation=expectation)
        refusals.append((expectation.id, ", ".join(refused)))
    accepted = context.tolerance.xfail == "expected" and phase.when == "call" and not phase.passed_against_xfail
    return PhaseOutcome(native=phase.xfail if accepted else None, refusals=tuple(refusals))


def details_of(phase: Phase) -> FailureDetails:
    """Return what a rule's signature is held against."""
    if phase.failure is None:
        return FailureDetails(phase.when, "error")
    known = msgspec.structs.asdict(phase.failure)
    # For people: no rule is held against the class of an exception.
    del known["exception"]
    return FailureDetails(phase.when, **known)


def _failed(record: TestRecord, failed: Iterable[Phase], resolution: Resolution, context: Context) -> Classification:
    held = [(phase, classify_phase(phase, resolution, context)) for phase in failed]
    overridden = resolution.silent
    unexpected = [(phase, answer) for phase, answer in held if not answer.accepted]
    if not unexpected:
        expectations = tuple(dict.fromkeys(answer.expectation.id for _, answer in held if answer.expectation))
        causes = (answer.expectation.reason if answer.expectation else f"xfail: {answer.native}" for _, answer in held)
        reason = "; ".join(dict.fromkeys(causes))
        return Classification(
            record.node, "expected failure", reason=reason, expectations=expectations, overridden=overridden
        )
    refusals = tuple(refusal for _, answer in unexpected for refusal in answer.refusals)
    reason = "\n".join(text for phase, answer in unexpected for text in (_short(phase), answer.text) if text)
    if context.tolerance.kind == "open" and not record.core and all(phase.when == "call" for phase, _ in unexpected):
        return Classification(record.node, "tolerated", reason=reason, overridden=overridden + refusals)
    outcome: Outcome = "failed" if any(phase.when == "call" for phase, _ in unexpected) else "error"
    return Classification(record.node, outcome, blocks=True, reason=reason, overridden=overridden + refusals)


def _left_out(record: TestRecord, phase: Phase, resolution: Resolution, context: Context) -> Classification:
    overridden = resolution.silent
    if phase.outcome == "not applicable":
        return Classification(record.node, "not applicable", reason=phase.reason, overridden=overridden)
    details = FailureDetails(phase.when, "", phase.reason)
    listed = tuple(
        expectation.id
        for expectation in resolution.effective
        if expectation.expect == "skips" and not mismatch(expectation.match, details)
    )
    allowed = context.tolerance.skip == "allowed" or (context.tolerance.skip == "listed" and bool(listed))
    return Classification(
        record.node, "skipped", blocks=not allowed, reason=phase.reason, expectations=listed, overridden=overridden
    )


def _disputed(record: TestRecord, resolution: Resolution) -> Classification:
    claims = ", ".join(f"{expectation.id} expects {expectation.expect}" for expectation in resolution.tied)
    reason = f"equally specific rules disagree about it: {claims}"
    return Classification(record.node, "error", blocks=True, reason=reason, overridden=resolution.silent)


def _passed(record: TestRecord, resolution: Resolution) -> Classification:
    overridden = resolution.silent
    if not _WHOLE.issubset(map(_WHEN, record.phases)):
        return Classification(
            record.node, "incomplete", reason=record.message or "it did not run to its end", overridden=overridden
        )
    if resolution.expect == "fails":
        reason = f"expected to fail by {', '.join(resolution.speaking)}"
        return Classification(
            record.node, "unexpected pass", reason=reason, expectations=resolution.speaking, overridden=overridden
        )
    reason = f"passed on attempt {record.attempt}" if record.attempt > 1 else ""
    return Classification(record.node, "passed", False, reason, resolution.speaking, overridden)


def _short(phase: Phase) -> str:
    if phase.failure is None:
        return f"{phase.when} failed"
    where = f"{phase.when}, subtest {phase.subtest}" if phase.subtest else phase.when
    first = phase.failure.message.strip().partition("\n")[0]
    return f"{where}: {phase.failure.exception}: {first}"
