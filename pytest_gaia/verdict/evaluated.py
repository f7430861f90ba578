"""A judged run: every judgement, and one word: may the release go on, and if not, why not."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import repeat
from typing import Literal

from pytest_gaia.config.tolerance import PRODUCTION, tolerance_of
from pytest_gaia.expectations.expectation import Expectation
from pytest_gaia.expectations.expectation_set import ExpectationSet, Resolution
from pytest_gaia.expectations.subjects import Context
from pytest_gaia.verdict.classify import (
    ACCEPTED,
    EXECUTED,
    OUTCOME,
    Classification,
    Outcome,
    classify,
    classify_by,
    subject_of,
)
from pytest_gaia.verdict.evidence import RunEnd, RunStart, TestRecord, tested_addresses
from pytest_gaia.verdict.plan import missing_reason, not_passed

Word = Literal["PROMOTE", "PARTIAL", "REJECT", "DRIFT", "HOLD", "INFRA"]

EXIT_CODES: dict[Word, int] = {"PROMOTE": 0, "PARTIAL": 0, "REJECT": 1, "DRIFT": 10, "HOLD": 11, "INFRA": 12}
"""pytest's own codes, 0 to 6, keep their meaning"""

CANNOT_PROMOTE = "partial run: cannot promote a release"
"""the first reason of every PARTIAL"""
_NAMED = 20
"""how many tests a reason names"""
_NO_EXPECTATIONS = ExpectationSet()
_OWN_CODES = (2, 3, 4)
"""pytest's exit codes: interrupted, failed inside, called wrongly"""
_SELECTED = ("ran", "crashed", "never ran")
"""states of tests that were selected"""
_EVALUATED = (0, 1, 5)
"""pytest's exit codes of which records say more: all passed, some failed, nothing selected"""
_ENDINGS = {2: "the run was interrupted", 3: "pytest failed inside", 4: "pytest was called wrongly"}


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of the run as a whole."""

    planned: int = 0
    """tests that were selected"""
    missing: int = 0
    """selected tests of which nothing is known"""
    unavailable: str = ""
    """why the environment could not be tested"""
    interrupted: str = ""
    """why the run ended before its time"""
    changed: tuple[str, ...] = ()
    """what was another at the end than before the first test"""
    undeployed: str = ""
    """why what was to be deployed does not run"""
    not_passed: str = ""
    """which tests of the sealed plan were not passed"""
    held: str = ""
    """what was found after the end of the run"""
    unused: tuple[str, ...] = ()
    """active rules that cover no test of a complete run"""
    partial: tuple[str, ...] = ()
    """what was left out of the run; empty for a full run"""
    full_required: bool = False
    """whether a partial run is not enough"""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The word, and every reason for it."""

    word: Word
    reasons: tuple[str, ...]

    @property
    def exit_code(self) -> int:
        """What the run ends with."""
        return EXIT_CODES[self.word]


def decide(
    classifications: Sequence[Classification], expectations: Sequence[Expectation], facts: Facts, context: Context
) -> Verdict:
    """Return the verdict. INFRA wins over REJECT over HOLD over DRIFT over PARTIAL; all else is PROMOTE."""
    counts: Counter[Outcome] = Counter(map(OUTCOME, classifications))
    # Of those that passed, which are nearly all, everything is said by their number.
    others = [
        classification
        for classification in classifications
        if classification.outcome != "passed" or classification.blocks
    ]
    reasons: dict[Word, list[str]] = {
        "INFRA": [facts.unavailable] if facts.unavailable else [],
        "REJECT": [*([facts.undeployed] if facts.undeployed else []), *_blocking(others)],
        "HOLD": _holding(others, counts, expectations, facts, context),
        "DRIFT": _drifting(others, facts) if context.tolerance.kind != "open" else [],
        "PARTIAL": [CANNOT_PROMOTE, *facts.partial] if facts.partial else [],
    }
    for word, found in reasons.items():
        if found:
            return Verdict(word, tuple(found))
    return Verdict("PROMOTE", (f"{counts['passed']} passed",))


def accepted(classifications: Sequence[Classification]) -> int:
    """How many failures the environment's rules and tolerance have let through."""
    return sum(classification.outcome in ACCEPTED for classification in classifications)


def _blocking(classifications: Sequence[Classification]) -> list[str]:
    blocking = Counter(classification.outcome for classification in classifications if classification.blocks)
    return [f"{count} {outcome}" for outcome, count in blocking.items()]


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
        (not facts.planned, "nothing was selected"),
        (not (counts["passed"] or counts["unexpected pass"]), "no test passed"),
        (counts["incomplete"], f"{counts['incomplete']} tests did not run to their end"),
        (facts.not_passed, facts.not_passed),
        (facts.missing > 0, f"nothing is known of {facts.missing} selected tests"),
        (
            facts.full_required and facts.partial,
            f"a full run is required (--gaia-require-full), and this one is partial: {'; '.join(facts.partial)}",
        ),
        (
            not facts.partial and executed < tolerance.least_executed,
            f"{executed} tests ran, at least {tolerance.least_executed} must",
        ),
        (
            tolerance.budget is not None and spent > tolerance.budget,
            f"{spent} failures were excused, the budget is {tolerance.budget}",
        ),
    )
    found = [reason for holds, reason in checks if holds]
    # A part of the suites cannot show whether the number in the file is wrong: it only warns.
    return [*found, *facts.changed, *([] if facts.partial else over_caps(classifications, expectations))]


def over_caps(classifications: Iterable[Classification], expectations: Iterable[Expectation]) -> list[str]:
    """Return a sentence for each rule that excused more tests than its ``max_tests`` allows, and what to do about it."""
    accepted: defaultdict[str, list[str]] = defaultdict(list)
    for each in classifications:
        if each.outcome in ("expected failure", "skipped"):
            for expectation in each.expectations:
                accepted[expectation].append(each.node)
    capped = (
        (expectation, expectation.max_tests, accepted[expectation.id])
        for expectation in expectations
        if expectation.max_tests is not None
    )
    return [_over_its_cap(expectation, most, nodes) for expectation, most, nodes in capped if len(nodes) > most]


def _over_its_cap(expectation: Expectation, most: int, nodes: Sequence[str]) -> str:
    line = f":{expectation.max_tests_line}" if expectation.max_tests_line else ""
    place = f" ({expectation.place}{line})" if expectation.place else ""
    more = f" and {len(nodes) - _NAMED} more (-v names them)" if len(nodes) > _NAMED else ""
    return (
        f"rule {expectation.id}{place} excused {len(nodes)} tests, its max_tests is {most}; "
        f"set max_tests = {len(nodes)} if they all fail for its reason: {', '.join(nodes[:_NAMED])}{more}"
    )


def _drifting(classifications: Sequence[Classification], facts: Facts) -> list[str]:
    passed = Counter(
        expectation
        for each in classifications
        if each.outcome == "unexpected pass"
        for expectation in each.expectations
    )
    reasons = [f"{count} tests passed that rule {expectation} expects to fail" for expectation, count in passed.items()]
    return reasons + [f"rule {expectation} covers no test" for expectation in facts.unused]


@dataclass(frozen=True)
class EvaluatedRun:
    """One run under one environment's rules on one day."""

    start: RunStart
    end: RunEnd | None
    context: Context
    expectations: tuple[Expectation, ...]
    """all rules that the run was judged by, applicable or not"""
    classifications: tuple[Classification, ...]
    verdict: Verdict
    blocking_in_production: int
    """how many tests would gate under production's rules"""
    addresses: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """member → every address at which it was tested"""

    @property
    def exit_code(self) -> int:
        """What the run ends with: pytest's own code where that says more than a verdict could."""
        return self.end.pytest_exit if self.end and self.end.pytest_exit in _OWN_CODES else self.verdict.exit_code

    @property
    def partial(self) -> tuple[str, ...]:
        """What was left out of the run; empty for a full run, and where the record does not say."""
        return (self.end.partial if self.end else None) or ()

    @cached_property
    def counts(self) -> Counter[Outcome]:
        """Outcome → tests."""
        return Counter(map(OUTCOME, self.classifications))

    @property
    def accepted(self) -> int:
        """How many failures were let through."""
        return accepted(self.classifications)

    def using(self, expectation: Expectation) -> int:
        """How many failures ``rule`` excused."""
        return self._using[expectation.id]

    @cached_property
    def _using(self) -> Counter[str]:
        # Counted once for all rules: a run can have as many rules as tests.
        accepted = (each.expectations for each in self.classifications if each.outcome == "expected failure")
        return Counter(expectation for expectations in accepted for expectation in expectations)


def evaluate_run(
    start: RunStart,
    records: Sequence[TestRecord],
    end: RunEnd | None,
    expectations: ExpectationSet,
    context: Context,
) -> EvaluatedRun:
    """Judge a run. The same arguments give the same result: a replay is this very call with other rules or dates."""
    resolutions = list(map(expectations.under(context), map(subject_of, records)))
    classifications = tuple(map(classify_by, resolutions, records, repeat(context)))
    facts = _facts(records, end, resolutions, expectations, context)
    if end is not None and end.sealed:
        facts = replace(facts, not_passed=missing_reason(len(end.sealed), not_passed(end.sealed, classifications)))
    verdict = decide(classifications, expectations.expectations, facts, context)
    production = replace(context, environment=PRODUCTION, tolerance=tolerance_of(PRODUCTION, {}))
    # No rule can name production, so none has to be asked; and what passed at once gates nowhere.
    doubtful = (
        record for record, come_to in zip(records, classifications, strict=True) if not _at_once(record, come_to)
    )
    blocking = sum(classify(record, _NO_EXPECTATIONS, production).blocks for record in doubtful)
    return EvaluatedRun(
        start,
        end,
        context,
        expectations.expectations,
        classifications,
        verdict,
        blocking,
        tested_addresses(start, records),
    )


def _at_once(record: TestRecord, come_to: Classification) -> bool:
    return come_to.outcome in ("passed", "unexpected pass") and record.attempt == 1 and not record.earlier


def _facts(
    records: Sequence[TestRecord],
    end: RunEnd | None,
    resolutions: Sequence[Resolution],
    expectations: ExpectationSet,
    context: Context,
) -> Facts:
    if end is None:
        return Facts(planned=len(records), interrupted="the run was killed before its end")
    unused: tuple[str, ...] = ()
    # In a selection, a rule without tests says nothing; in a complete run it is a rule too many.
    if end.complete:
        covered = _covering(resolutions)
        active = (
            expectation.id for expectation in expectations.expectations if expectation.inapplicable(context) is None
        )
        unused = tuple(expectation for expectation in active if expectation not in covered)
    return Facts(
        planned=end.planned,
        missing=end.planned - len({record.node for record in records if record.state in _SELECTED}),
        unavailable=end.unavailable,
        interrupted=_interrupted(records, end),
        changed=end.changed,
        undeployed=end.undeployed,
        held=end.held,
        unused=unused,
        partial=end.partial or (),
        full_required=end.full_required,
    )


def _covering(resolutions: Sequence[Resolution]) -> set[str]:
    """The rules that are about any of the tests. Tests that the same rules cover share one standing."""
    each_once = dict(zip(map(id, resolutions), resolutions, strict=True))
    return {expectation for resolution in each_once.values() for expectation in resolution.covering}


def _interrupted(records: Sequence[TestRecord], end: RunEnd) -> str:
    if end.lost:
        return f"ended before their time: {', '.join(end.lost)}"
    if end.pytest_exit == 1 and not any(_failed(record) for record in records):
        return "pytest counted a failure that no record shows"
    return (
        "" if end.pytest_exit in _EVALUATED else _ENDINGS.get(end.pytest_exit, f"pytest ended with {end.pytest_exit}")
    )


def _failed(record: TestRecord) -> bool:
    without_phases = record.state in ("crashed", "not collected") and not record.phases
    return without_phases or any(phase.outcome == "failed" for phase in record.phases)


def worst_of_each(classifications: Iterable[Classification]) -> list[Classification]:
    """Return the worst judgement of each test, in the order in which tests come first. Deselected ones are left out.

    A test is judged more than once if it ran on several workers, or ran to its end and took its worker down elsewhere.
    """
    worst: dict[str, Classification] = {}
    for each in classifications:
        if each.outcome != "deselected" and (each.node not in worst or _badness(each) > _badness(worst[each.node])):
            worst[each.node] = each
    return list(worst.values())


def _badness(classification: Classification) -> tuple[bool, bool]:
    return classification.blocks, classification.outcome != "passed"
