"""Classify the result of one test by the expectations that apply. Pure functions."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from operator import attrgetter
from typing import Literal

import msgspec

from pytest_gaia.expectations.apis import MISSING_ROUTE, Apis, NamedOperation, lacking_reason
from pytest_gaia.expectations.expectation import Expectation, ExpectationSet, Resolution
from pytest_gaia.expectations.subjects import PHASES, UNNOTICED, Context, FailureDetails, Subject, mismatch
from pytest_gaia.verdict.evidence import Phase, TestRecord, Wire, until_teardown

Outcome = Literal[
    "passed",
    "passed offline",
    "without evidence",
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
"""outcomes of tests that ran"""
ACCEPTED: frozenset[Outcome] = frozenset(("expected failure", "tolerated"))
"""outcomes of failures that do not block"""

_NAMED = 20
"""most tests that a reason lists"""
_PASSED = "the test passed, but is marked xfail(strict=True)"
_WHOLE = frozenset(PHASES)
"""phases of a completed test"""
_WHEN = attrgetter("when")
_ALL = len(PHASES)


class Classification(msgspec.Struct, frozen=True, gc=False):
    """Outcome of one test in one environment."""

    node: str
    outcome: Outcome
    blocks: bool = False
    """whether it blocks the release"""
    reason: str = ""
    expectations: tuple[str, ...] = ()
    """IDs of the expectations that decided the outcome"""
    overridden: tuple[tuple[str, str], ...] = ()
    """expectations that cover the test but did not decide the outcome, each with the reason"""
    retried: bool = False
    """whether it was attempted more than once"""
    operations: tuple[str, ...] = ()
    """operations that it needs and the release does not offer, such as ``orders: GET /orders``"""
    not_sent: tuple[str, ...] = ()
    """why it did not send requests, such as ``asset: has not responded to 3 requests in a row, 30 s each``"""
    unread: tuple[str, ...] = ()
    """requests of whose responses it has read nothing, although it passed"""


OUTCOME: Callable[[Classification], Outcome] = attrgetter("outcome")


@dataclass(frozen=True, slots=True)
class PhaseOutcome:
    """Classification of one failed phase: the expectation that covers it, or why none does."""

    expectation: Expectation | None = None
    native: str | None = None
    """reason of pytest's xfail, if it is accepted"""
    refusals: tuple[tuple[str, str], ...] = ()

    @property
    def accepted(self) -> bool:
        """Whether the failure is expected."""
        return self.expectation is not None or self.native is not None

    @property
    def text(self) -> str:
        """One line per expectation that does not cover the failure."""
        return "\n".join(f"expectation {expectation} did not match: {reason}" for expectation, reason in self.refusals)


def subject_of(record: TestRecord) -> Subject:
    """Return the test of ``record``, for selectors."""
    return Subject(record.subject or record.node, _as_set(record.markers), _as_set(record.services))


# Ten thousand tests have the same few sets of markers.
_as_set = lru_cache(maxsize=256)(frozenset[str])


def classify(record: TestRecord, expectations: ExpectationSet, context: Context) -> Classification:
    """Classify one test. Only an explicit pass is a pass; unknown results block or hold."""
    return classify_by(expectations.resolution(subject_of(record), context), record, context)


def classify_by(resolution: Resolution, record: TestRecord, context: Context) -> Classification:
    """Classify one test: by what the release offers, and then by the resolved expectations."""
    if record.not_sent:
        # Nothing else counts, because its result is not that of the service.
        reasons = tuple(f"{service}: {problem}" for service, problem in record.not_sent.items())
        return Classification(
            record.node,
            "error",
            blocks=True,
            reason=f"a request was not sent to {'; '.join(reasons)}",
            overridden=resolution.overridden_ids,
            retried=record.attempt > 1 or bool(record.earlier),
            not_sent=reasons,
        )
    if context.apis.now and (lacking := _lacking(record, context.apis)):
        return Classification(
            record.node,
            "not applicable",
            reason=lacking_reason(lacking) or "",
            overridden=resolution.overridden_ids,
            operations=lacking,
        )
    if not resolution.conflicting and record.clean:
        return _passed(record, resolution, context)
    if record.state == "crashed" or (record.state == "not collected" and not record.phases):
        return Classification(record.node, record.state, blocks=True, reason=record.message)
    if record.state == "deselected":
        return Classification(record.node, "deselected")
    if resolution.conflicting:
        return _disputed(record, resolution)
    classification = _other(record, resolution, context)
    return (
        msgspec.structs.replace(classification, retried=True)
        if record.attempt > 1 or record.earlier
        else classification
    )


def _lacking(record: TestRecord, apis: Apis) -> tuple[str, ...]:
    """Return the operations that the release lacks, if they are the reason for the result of a test; otherwise nothing."""
    if record.state != "ran":
        return ()
    if record.operations is not None:
        # Decided before its call. If the test ran, it has what it needs, and wants every 404 that it got.
        undecided = not any(phase.outcome == "not applicable" for phase in record.phases)
        named = () if undecided else record.operations
        stated = (NamedOperation.of(each, None) for each in named)
        return tuple(apis.named(each) for each in stated if apis.lacks(each))
    failed = [phase for phase in record.phases if phase.outcome == "failed"]
    if not failed and record.clean:
        return passed_without(record.phases, record.exchanges, apis)
    found = [failed_without(phase, record.exchanges, apis) for phase in failed]
    # The exchanges of earlier attempts are not recorded, so only their own failures can explain them.
    found += [failed_without(phase, (), apis) for phase in record.earlier]
    return tuple(dict.fromkeys(found)) if found and all(found) else ()


def failed_without(phase: Phase, exchanges: Sequence[Wire], apis: Apis) -> str:
    """Return the operation that the release lacks, if that is why ``phase`` failed; otherwise nothing.

    The exchange of the failure itself, or else the last of the ``exchanges`` before it, must be a response of 404 or 405.
    Another failure of a test that also met a missing route keeps its outcome.
    """
    failure, before = phase.failure, exchanges[: phase.exchanges]
    if failure is None or failure.sqlstate or failure.reason or is_unnoticed(phase):
        return ""
    if failure.method is not None:
        own = (failure.service, failure.via, failure.method, failure.route, failure.status)
        before = [each for each in before if (each.service, each.via, each.method, each.route, each.status) == own]
    elif failure.kind not in ("assertion", "error"):
        return ""
    return _missing(before[-1], apis) if before else ""


def passed_without(phases: Sequence[Phase], exchanges: Sequence[Wire], apis: Apis) -> tuple[str, ...]:
    """Return the operations that the release lacks and a passed test requested: their 404 is what the test accepted.

    Requests of its teardown do not count.
    """
    called = exchanges[: until_teardown(phases)]
    found = (_missing(each, apis) for each in called if each.status in MISSING_ROUTE)
    return tuple(dict.fromkeys(filter(None, found)))


def _missing(exchange: Wire, apis: Apis) -> str:
    # A client of the test may send the requests for a service to another server.
    if exchange.address:
        return ""
    return apis.missing(exchange.receiver, exchange.method, exchange.route, exchange.status)


def _other(record: TestRecord, resolution: Resolution, context: Context) -> Classification:
    """Classify a test that did not pass at the first attempt, or whose results are incomplete."""
    failed = [phase for phase in record.phases if phase.outcome == "failed"]
    if failed:
        return _failed(record, failed, resolution, context)
    if (record.attempt > 1 or record.earlier) and context.tolerance.kind == "strict":
        reason = f"failed before attempt {max(record.attempt, 2)}; a retry does not count in this environment"
        return Classification(record.node, "failed", blocks=True, reason=reason, overridden=resolution.overridden_ids)
    left_out = [phase for phase in record.phases if phase.outcome != "passed"]
    if left_out:
        # A skip takes precedence over "not applicable".
        skipped = next((phase for phase in left_out if phase.outcome == "skipped"), left_out[0])
        return _left_out(record, skipped, resolution, context)
    return _passed(record, resolution, context)


def classify_phase(phase: Phase, resolution: Resolution, context: Context) -> PhaseOutcome:
    """Classify one failed phase by the expectations that apply to its test."""
    details = details_of(phase)
    refusals: list[tuple[str, str]] = []
    for expectation in resolution.effective:
        refused = (_PASSED,) if phase.passed_against_xfail else expectation.refusal(details)
        if not refused:
            return PhaseOutcome(expectation=expectation)
        refusals.append((expectation.id, ", ".join(refused)))
    accepted = (
        context.tolerance.xfail == "expected"
        and phase.when == "call"
        and not phase.passed_against_xfail
        and not is_unnoticed(phase)
    )
    return PhaseOutcome(native=phase.xfail if accepted else None, refusals=tuple(refusals))


def is_unnoticed(phase: Phase) -> bool:
    """Whether pytest did not notice a failure, so that only an expectation that names its kind covers it."""
    return phase.failure is not None and phase.failure.kind in UNNOTICED


def details_of(phase: Phase) -> FailureDetails:
    """Return the details that signatures are compared with."""
    if phase.failure is None:
        return FailureDetails(phase.when, "error")
    known = msgspec.structs.asdict(phase.failure)
    # The class of an exception is shown, but not compared.
    del known["exception"]
    return FailureDetails(phase.when, **known)


def _failed(record: TestRecord, failed: Iterable[Phase], resolution: Resolution, context: Context) -> Classification:
    held = [(phase, classify_phase(phase, resolution, context)) for phase in failed]
    overridden = resolution.overridden_ids
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
    if (
        context.tolerance.kind == "advisory"
        and not record.core
        and all(phase.when == "call" and not is_unnoticed(phase) for phase, _ in unexpected)
    ):
        return Classification(record.node, "tolerated", reason=reason, overridden=overridden + refusals)
    outcome: Outcome = "failed" if any(phase.when == "call" for phase, _ in unexpected) else "error"
    return Classification(record.node, outcome, blocks=True, reason=reason, overridden=overridden + refusals)


def _left_out(record: TestRecord, phase: Phase, resolution: Resolution, context: Context) -> Classification:
    overridden = resolution.overridden_ids
    if phase.outcome == "not applicable":
        return Classification(record.node, "not applicable", reason=phase.reason, overridden=overridden)
    details = FailureDetails(phase.when, "", phase.reason)
    listed = tuple(
        expectation.id
        for expectation in resolution.effective
        if expectation.expect == "skip" and not mismatch(expectation.match, details)
    )
    allowed = context.tolerance.skip == "allowed" or (context.tolerance.skip == "expected" and bool(listed))
    return Classification(
        record.node, "skipped", blocks=not allowed, reason=phase.reason, expectations=listed, overridden=overridden
    )


def _disputed(record: TestRecord, resolution: Resolution) -> Classification:
    claims = ", ".join(f"{expectation.id} expects {expectation.expect}" for expectation in resolution.conflicting)
    reason = f"equally specific expectations conflict: {claims}"
    return Classification(record.node, "error", blocks=True, reason=reason, overridden=resolution.overridden_ids)


def _passed(record: TestRecord, resolution: Resolution, context: Context) -> Classification:
    overridden = resolution.overridden_ids
    if not _WHOLE.issubset(map(_WHEN, record.phases)):
        return Classification(
            record.node, "incomplete", reason=record.message or "it did not complete", overridden=overridden
        )
    if context.evidence and not record.offline and not record.has_evidence:
        reason = record.no_evidence or "the results log has no exchange, statement or message of it"
        return Classification(record.node, "without evidence", reason=reason, overridden=overridden)
    if resolution.expect == "fail":
        reason = f"expected to fail: {', '.join(resolution.effective_ids)}"
        return Classification(
            record.node, "unexpected pass", reason=reason, expectations=resolution.effective_ids, overridden=overridden
        )
    reason = f"passed on attempt {record.attempt}" if record.attempt > 1 else ""
    outcome: Outcome = "passed offline" if record.offline else "passed"
    return Classification(
        record.node, outcome, False, reason, resolution.effective_ids, overridden, unread=record.unread
    )


class PassesAtOnce:
    """Classifies only tests that simply passed, as :func:`classify_by` does, but faster."""

    def __init__(self, resolve: Callable[[Subject], Resolution], context: Context) -> None:
        self._resolve = resolve
        # What a release offers is compared with each exchange.
        self._is_usable = not context.apis.now
        self._has_expectations = True
        self._known: dict[tuple[object, ...], Resolution] = {}

    def __call__(self, record: TestRecord) -> Classification | None:
        """Return the classification of a test that passed; None for all that need a closer look."""
        phases = record.phases
        if len(phases) != _ALL or not self._is_usable:
            return None
        setup, call, teardown = phases
        exchanges = record.exchanges
        if (
            not setup.outcome == call.outcome == teardown.outcome == "passed"
            or setup.when != "setup"
            or call.when != "call"
            or teardown.when != "teardown"
            or record.state != "ran"
            or record.attempt != 1
            or record.earlier
            or record.not_sent
            or record.unread
            or record.offline
            # The first exchange is evidence, if no fixture completed one.
            or (not exchanges or not call.exchanges or exchanges[0].status is None or record.of_fixtures)
            or (self._has_expectations and self._is_covered(record))
        ):
            return None
        return Classification(record.node, "passed")

    def _is_covered(self, record: TestRecord) -> bool:
        """Whether the selector of an expectation covers the test."""
        subject = record.subject or record.node
        names = subject.find("::")
        bracket = subject.find("[", names) if names >= 0 else -1
        key = (subject if bracket < 0 else subject[:bracket], record.services, record.markers)
        resolution = self._known.get(key)
        if resolution is None:
            resolution = self._known[key] = self._resolve(subject_of(record))
            self._has_expectations = bool(resolution.by_key)
        # An expectation can be for one case of a test.
        return bool(resolution.keys) or subject in resolution.by_key


def _short(phase: Phase) -> str:
    if phase.failure is None:
        return f"{phase.when} failed"
    where = f"{phase.when}, subtest {phase.subtest}" if phase.subtest else phase.when
    first = phase.failure.message.strip().partition("\n")[0]
    return f"{where}: {phase.failure.exception}: {first}"


def worst_of_each(classifications: Iterable[Classification]) -> list[Classification]:
    """Return the worst classification of each test, in order, without deselected tests.

    A test has several if it ran on several workers, or completed and later crashed its worker.
    """
    worst: dict[str, Classification] = {}
    for each in classifications:
        if each.outcome != "deselected" and (each.node not in worst or _badness(each) > _badness(worst[each.node])):
            worst[each.node] = each
    return list(worst.values())


def _badness(classification: Classification) -> tuple[bool, bool]:
    return classification.blocks, classification.outcome != "passed"


def over_limits(classifications: Iterable[Classification], expectations: Iterable[Expectation]) -> list[str]:
    """Return a message for each expectation that covers more failures than its ``max_failures``."""
    accepted: defaultdict[str, list[str]] = defaultdict(list)
    for each in classifications:
        if each.outcome in ("expected failure", "skipped"):
            for expectation in each.expectations:
                accepted[expectation].append(each.node)
    limited = (
        (expectation, expectation.max_failures, accepted[expectation.id])
        for expectation in expectations
        if expectation.max_failures is not None
    )
    return [_over_limit(expectation, most, nodes) for expectation, most, nodes in limited if len(nodes) > most]


def _over_limit(expectation: Expectation, most: int, nodes: Sequence[str]) -> str:
    line = f":{expectation.max_failures_line}" if expectation.max_failures_line else ""
    place = f" ({expectation.place}{line})" if expectation.place else ""
    more = f" and {len(nodes) - _NAMED} more (-v lists them)" if len(nodes) > _NAMED else ""
    return (
        f"expectation {expectation.id}{place} covers {len(nodes)} failures, but max_failures is {most}; "
        f"set max_failures = {len(nodes)} if all have the same cause: {', '.join(nodes[:_NAMED])}{more}"
    )


class GoneOperation(msgspec.Struct, frozen=True, omit_defaults=True):
    """One operation that the baseline has and the release lacks, shown by its document and by a response."""

    operation: str
    """such as ``orders: GET /orders``"""
    tests: int
    """tests that need it"""
    expectation: str = ""
    """ID of the expectation that accepts it"""


def gone_operations(
    classifications: Iterable[Classification], expectations: Sequence[Expectation], context: Context
) -> tuple[GoneOperation, ...]:
    """Return the operations that are gone since the baseline and that tests need, those with most tests first."""
    tests = Counter(operation for each in classifications for operation in each.operations)
    accepting = [each for each in expectations if each.expect == "removed" and each.inapplicable(context) is None]
    used: Counter[str] = Counter()
    gone: list[GoneOperation] = []
    for operation, count in sorted(tests.items(), key=lambda item: (-item[1], item[0])):
        if not context.apis.in_baseline(operation, context.today):
            continue
        able = (each for each in accepting if each.max_failures is None or used[each.id] < each.max_failures)
        expectation = next((each.id for each in able if each.covers(operation)), "")
        used[expectation] += 1
        gone.append(GoneOperation(operation, count, expectation))
    return tuple(gone)
