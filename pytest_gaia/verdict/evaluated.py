"""Evaluate a run: classify every test, and decide the verdict with its reasons."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal

from pytest_gaia.config.tolerance import PRODUCTION, tolerance_of
from pytest_gaia.expectations.expectation import Expectation, ExpectationSet, Resolution
from pytest_gaia.expectations.subjects import Context
from pytest_gaia.verdict.classify import (
    ACCEPTED,
    EXECUTED,
    OUTCOME,
    Classification,
    GoneOperation,
    Outcome,
    PassesAtOnce,
    classify,
    classify_by,
    gone_operations,
    over_limits,
    subject_of,
)
from pytest_gaia.verdict.evidence import RunEnd, RunStart, TestRecord, tested_addresses
from pytest_gaia.verdict.plan import missing_reason
from pytest_gaia.wording import counted

Word = Literal["PROMOTE", "PARTIAL", "REJECT", "DRIFT", "HOLD", "INFRA"]

EXIT_CODES: dict[Word, int] = {"PROMOTE": 0, "PARTIAL": 0, "REJECT": 1, "DRIFT": 10, "HOLD": 11, "INFRA": 12}
"""pytest's own codes, 0 to 6, keep their meaning"""

CANNOT_PROMOTE = "partial run: cannot promote a release"
"""first reason of every PARTIAL"""
_UNPROVED = 'no baseline shows whether an earlier release did; for the first one, set tolerance.baseline = "optional"'
_NO_EXPECTATIONS = ExpectationSet()
_PASSES: tuple[Outcome, ...] = ("passed", "unexpected pass", "without evidence")
"""passes; a run needs one of them, and a pass without evidence is a reason for HOLD of its own"""
_AT_ONCE = frozenset((*_PASSES, "passed offline"))
_OWN_CODES = (2, 3, 4)
"""pytest's exit codes: interrupted, internal error, usage error"""
_SELECTED = ("ran", "crashed", "never ran")
"""states of tests that were selected"""
_EVALUATED = (0, 1, 5)
"""pytest's exit codes for which the results are more precise: passed, failed, no tests"""
_ENDINGS = {2: "the run was interrupted", 3: "pytest had an internal error", 4: "pytest had a usage error"}


@dataclass(frozen=True, slots=True)
class Facts:
    """Facts about the run as a whole."""

    planned: int = 0
    """tests that were selected"""
    missing: int = 0
    """selected tests without a result"""
    unavailable: str = ""
    """why the environment could not be tested"""
    interrupted: str = ""
    """why the run ended early"""
    changed: tuple[str, ...] = ()
    """what changed in the environment between the first test and the end"""
    late: tuple[str, ...] = ()
    """failures that belong to no test"""
    undeployed: str = ""
    """why the deployment does not run"""
    not_passed: str = ""
    """required tests that did not pass"""
    held: str = ""
    """problem found after the end of the run"""
    unused: tuple[str, ...] = ()
    """active expectations that cover no test of a complete run"""
    partial: tuple[str, ...] = ()
    """what was not selected; empty for a full run"""
    not_full: tuple[str, ...] = ()
    """what a run that must be a full run did not select"""
    is_shard: bool = False
    gone: int = 0
    """operations that are gone since the baseline, and no expectation accepts it"""
    unproved: int = 0
    """tests of operations that the release does not offer, where no baseline shows whether these are gone"""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The verdict and its reasons."""

    word: Word
    reasons: tuple[str, ...]

    @property
    def exit_code(self) -> int:
        """Exit code of the run."""
        return EXIT_CODES[self.word]


def decide(
    classifications: Sequence[Classification], expectations: Sequence[Expectation], facts: Facts, context: Context
) -> Verdict:
    """Return the verdict: the first of INFRA, REJECT, HOLD, DRIFT and PARTIAL that has a reason, otherwise PROMOTE."""
    counts: Counter[Outcome] = Counter(map(OUTCOME, classifications))
    # Nearly all tests pass, and of those only the number matters.
    others = [
        classification
        for classification in classifications
        if classification.outcome != "passed" or classification.blocks
    ]
    reasons: dict[Word, list[str]] = {
        "INFRA": [facts.unavailable] if facts.unavailable else [],
        "REJECT": [
            *([facts.undeployed] if facts.undeployed else []),
            *([f"{counted(facts.gone, 'operation')} gone"] if facts.gone else []),
            *_blocking(others),
        ],
        "HOLD": _holding(others, counts, expectations, facts, context),
        "DRIFT": _drifting(others, facts) if context.tolerance.kind != "advisory" else [],
        "PARTIAL": [CANNOT_PROMOTE, *facts.partial] if facts.partial else [],
    }
    for word, found in reasons.items():
        if found:
            return Verdict(word, tuple(found))
    return Verdict("PROMOTE", (f"{counts['passed']} passed",))


def accepted(classifications: Sequence[Classification]) -> int:
    """Return the number of failures that the expectations and the tolerance accept."""
    return sum(classification.outcome in ACCEPTED for classification in classifications)


def _blocking(classifications: Sequence[Classification]) -> list[str]:
    blocking = Counter(classification.outcome for classification in classifications if classification.blocks)
    return [numbered(count, outcome) for outcome, count in blocking.items()]


def numbered(count: int, outcome: Outcome) -> str:
    """Return an outcome with its number of tests, such as ``2 errors``."""
    if outcome == "without evidence":
        return f"{count} passed without evidence"
    plural = {"error": "errors", "expected failure": "expected failures", "unexpected pass": "unexpected passes"}
    return f"{count} {outcome if count == 1 else plural.get(outcome, outcome)}"


def _holding(
    classifications: Sequence[Classification],
    counts: Counter[Outcome],
    expectations: Sequence[Expectation],
    facts: Facts,
    context: Context,
) -> list[str]:
    tolerance = context.tolerance
    executed = sum(counts[outcome] for outcome in EXECUTED)
    spent = accepted(classifications)
    checks = (
        (facts.held, facts.held),
        (facts.interrupted, facts.interrupted),
        (not facts.planned, "no test was selected"),
        (
            # The tests of a shard can all be skipped, or not apply.
            not (
                facts.is_shard
                or any(counts[outcome] for outcome in _PASSES)
                or (facts.partial and counts["passed offline"])
            ),
            "no test that talks to a service passed" if counts["passed offline"] else "no test passed",
        ),
        (counts["without evidence"], numbered(counts["without evidence"], "without evidence")),
        (counts["incomplete"], f"{counted(counts['incomplete'], 'test')} did not complete"),
        (facts.not_passed, facts.not_passed),
        (
            facts.unproved and tolerance.baseline == "required",
            f"{counted(facts.unproved, 'test')} did not apply, because this release does not offer what they need; {_UNPROVED}",
        ),
        (facts.missing > 0, f"{counted(facts.missing, 'selected test')} without a result"),
        (
            facts.not_full,
            f"a full run is required (--gaia-require-full), but this run is partial: {'; '.join(facts.not_full)}",
        ),
        (
            not facts.partial and executed < tolerance.min_tests,
            f"only {counted(executed, 'test')} ran; at least {tolerance.min_tests} required (tolerance.min_tests)",
        ),
        (
            tolerance.budget is not None and spent > tolerance.budget,
            f"{spent} accepted failures exceed the failure budget of {tolerance.budget} (tolerance.budget)",
        ),
    )
    found = [reason for holds, reason in checks if holds]
    # In a partial run, an exceeded limit is only a warning.
    return [*found, *facts.late, *facts.changed, *([] if facts.partial else over_limits(classifications, expectations))]


def _drifting(classifications: Sequence[Classification], facts: Facts) -> list[str]:
    passed = Counter(
        expectation
        for each in classifications
        if each.outcome == "unexpected pass"
        for expectation in each.expectations
    )
    reasons = [
        f"{counted(count, 'test')} passed although {expectation} expects failures"
        for expectation, count in passed.items()
    ]
    return reasons + [f"expectation {expectation} covers no test" for expectation in facts.unused]


@dataclass(frozen=True)
class EvaluatedRun:
    """One run, evaluated in one environment on one day."""

    start: RunStart
    end: RunEnd | None
    context: Context
    expectations: tuple[Expectation, ...]
    """all expectations of the project, applicable or not"""
    classifications: tuple[Classification, ...]
    verdict: Verdict
    blocking_in_production: int
    """number of tests that would block in production"""
    addresses: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """addresses at which each service was tested"""
    gone: tuple[GoneOperation, ...] = ()
    """operations that are gone since the baseline, those with most tests first"""
    unusual: tuple[Classification, ...] = ()
    """the classifications but those of tests that simply passed, which are nearly all"""

    @property
    def exit_code(self) -> int:
        """Exit code of the run: that of pytest if pytest itself failed, otherwise that of the verdict."""
        return self.end.pytest_exit if self.end and self.end.pytest_exit in _OWN_CODES else self.verdict.exit_code

    @property
    def partial(self) -> tuple[str, ...]:
        """What was not selected; empty for a full run and for results logs without this field."""
        return (self.end.partial if self.end else None) or ()

    @cached_property
    def counts(self) -> Counter[Outcome]:
        """Number of tests by outcome."""
        return Counter(map(OUTCOME, self.classifications))

    @property
    def accepted(self) -> int:
        """Number of accepted failures."""
        return accepted(self.unusual)

    @property
    def late(self) -> tuple[str, ...]:
        """Failures that were noticed after their tests had been reported."""
        return self.end.late if self.end else ()

    def using(self, expectation: Expectation) -> int:
        """Return the number of failures, or of removed operations, that ``expectation`` covers."""
        return self._using[expectation.id]

    @cached_property
    def _using(self) -> Counter[str]:
        # Count once: a run can have as many expectations as tests.
        accepted = (each.expectations for each in self.unusual if each.outcome == "expected failure")
        used = Counter(expectation for expectations in accepted for expectation in expectations)
        return used + Counter(each.expectation for each in self.gone if each.expectation)


class Evaluation:
    """Evaluates the tests of a run one by one, so that their results need not be kept."""

    def __init__(self, expectations: ExpectationSet, context: Context) -> None:
        self._expectations = expectations
        self._context = context
        self._resolve = expectations.under(context)
        self._production = replace(context, environment=PRODUCTION, tolerance=tolerance_of(PRODUCTION, {}))
        self._classifications: list[Classification] = []
        self._closer: list[int] = []
        """positions of those that needed a closer look"""
        # Tests that the same expectations cover share one resolution.
        self._resolutions: dict[int, Resolution] = {}
        self._passed: set[str] = set()
        """tests that simply passed"""
        self._selected: set[str] = set()
        """other tests that were selected"""
        self._has_failed = False
        self._blocking_in_production = 0
        self._addresses: dict[str, dict[str, None]] = {}

    def add(self, record: TestRecord) -> Classification:
        """Classify one test."""
        resolution = self._resolve(subject_of(record))
        self._resolutions[id(resolution)] = resolution
        classification = classify_by(resolution, record, self._context)
        self._closer.append(len(self._classifications))
        self._classifications.append(classification)
        if record.state in _SELECTED:
            self._selected.add(record.node)
        self._note_addresses(record)
        # Nearly every test passes at once, and then nothing else matters.
        if not _at_once(record, classification):
            self._has_failed = self._has_failed or _failed(record)
            # No expectation applies to production.
            self._blocking_in_production += classify(record, _NO_EXPECTATIONS, self._production).blocks
        return classification

    def _note_addresses(self, record: TestRecord) -> None:
        for exchange in record.exchanges:
            if exchange.address:
                self._addresses.setdefault(exchange.service, {})[exchange.address] = None

    def add_all(self, records: Iterable[TestRecord]) -> None:
        """Classify tests."""
        # Nearly every test passes at once. The rest of the loop is for other tests.
        at_once, add, addresses = PassesAtOnce(self._resolve, self._context), self.add, self._note_addresses
        found, passed = self._classifications.append, self._passed.add
        for record in records:
            if (classification := at_once(record)) is None:
                add(record)
                continue
            found(classification)
            passed(record.node)
            for exchange in record.exchanges:
                if exchange.address:
                    addresses(record)

    def begin_part(self) -> tuple[int, int, bool]:
        """Return the state before the tests of a part of the run, for :meth:`end_part`."""
        state = len(self._classifications), self._blocking_in_production, self._has_failed
        self._has_failed = False
        return state

    def nodes_since(self, state: tuple[int, int, bool]) -> list[str]:
        """Return the tests of the part that began with ``state``."""
        return [each.node for each in self._classifications[state[0] :]]

    def end_part(self, state: tuple[int, int, bool], *, undo: bool = False) -> bool:
        """Return whether a test of the part has failed. To add its tests again, ``undo`` them."""
        has_failed = self._has_failed
        self._has_failed |= state[2]
        if undo:
            del self._classifications[state[0] :]
            self._closer = [position for position in self._closer if position < state[0]]
            _, self._blocking_in_production, self._has_failed = state
        return has_failed

    def finish(self, start: RunStart, end: RunEnd | None, order: Sequence[int] | None = None) -> EvaluatedRun:
        """Return the evaluated run. ``order`` has the positions of the added tests in the order of the run."""
        found, expectations, context = self._classifications, self._expectations.expectations, self._context
        classifications = tuple(found if order is None else map(found.__getitem__, order))
        closer = self._closer
        if order is not None and closer:
            among = set(closer)
            closer = [position for position in order if position in among]
        # A pass has no other field that is shown.
        unusual = tuple(
            each for each in map(found.__getitem__, closer) if each.outcome != "passed" or each.reason or each.unread
        )
        gone = gone_operations(unusual, expectations, context)
        facts = replace(
            self._facts(start, end),
            gone=sum(not each.expectation for each in gone),
            # A simulation runs no release of the environment, so nothing of the environment can be gone.
            unproved=0 if start.simulated else sum(_is_unproved(each, context) for each in unusual if each.operations),
        )
        if end is not None and not self._passed.issuperset(end.required):
            facts = replace(facts, not_passed=missing_reason(end, classifications))
        verdict = decide(classifications, expectations, facts, context)
        addresses = tested_addresses(start, self._addresses)
        return EvaluatedRun(
            start,
            end,
            context,
            expectations,
            classifications,
            verdict,
            self._blocking_in_production,
            addresses,
            gone,
            unusual,
        )

    def _facts(self, start: RunStart, end: RunEnd | None) -> Facts:
        if end is None:
            planned = len(self._classifications)
            return Facts(planned=planned, interrupted="the run was killed before it ended")
        unused: tuple[str, ...] = ()
        # Only a complete run can show that an expectation is unused.
        if end.complete:
            covered = {each for resolution in self._resolutions.values() for each in resolution.covering}
            # When a release without these operations is the baseline, there is nothing left to accept.
            active = (
                expectation.id
                for expectation in self._expectations.expectations
                if expectation.expect != "removed" and expectation.inapplicable(self._context) is None
            )
            unused = tuple(expectation for expectation in active if expectation not in covered)
        return Facts(
            planned=end.planned,
            missing=end.planned - len(self._passed) - len(self._selected - self._passed),
            unavailable=end.unavailable,
            interrupted=interruption(end, failed=self._has_failed),
            changed=end.changed,
            late=end.late,
            undeployed=end.undeployed,
            held=end.held,
            unused=unused,
            partial=end.partial or (),
            not_full=end.narrowed(start.shard) if end.full_required else (),
            is_shard=start.shard is not None,
        )


def evaluate_run(
    start: RunStart,
    records: Iterable[TestRecord],
    end: RunEnd | None,
    expectations: ExpectationSet,
    context: Context,
) -> EvaluatedRun:
    """Evaluate a run. ``gaia replay`` calls this with other expectations, environments or dates."""
    evaluation = Evaluation(expectations, context)
    evaluation.add_all(records)
    return evaluation.finish(start, end)


def _is_unproved(classification: Classification, context: Context) -> bool:
    return any(context.apis.in_baseline(each, context.today) is None for each in classification.operations)


def _at_once(record: TestRecord, outcome: Classification) -> bool:
    return outcome.outcome in _AT_ONCE and record.attempt == 1 and not record.earlier


def interruption(end: RunEnd, *, failed: bool) -> str:
    """Return why a run ended early; '' if it did not. ``failed``: whether one of its tests has failed."""
    if end.deadline:
        return f"the deadline of {end.deadline:g} s passed (--gaia-deadline)"
    if end.lost:
        return f"these workers ended early: {', '.join(end.lost)}"
    if end.pytest_exit == 1 and not failed:
        return "pytest reports a failure that is missing in the results"
    return (
        "" if end.pytest_exit in _EVALUATED else _ENDINGS.get(end.pytest_exit, f"pytest ended with {end.pytest_exit}")
    )


def _failed(record: TestRecord) -> bool:
    without_phases = record.state in ("crashed", "not collected") and not record.phases
    return without_phases or any(phase.outcome == "failed" for phase in record.phases)
