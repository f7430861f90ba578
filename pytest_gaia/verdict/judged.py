"""A judged run: every judgement, the verdict, and what people ask about them."""

import dataclasses
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from itertools import repeat

from pytest_gaia.config.tolerance import PRODUCTION, tolerance_of
from pytest_gaia.policy.rules import Rule
from pytest_gaia.policy.ruleset import RuleSet, Standing
from pytest_gaia.policy.subjects import Context
from pytest_gaia.verdict.evidence import RunEnd, RunStart, TestRecord, tested_addresses
from pytest_gaia.verdict.judge import OUTCOME, Judgement, Outcome, judge, judge_by, subject_of
from pytest_gaia.verdict.seal import reason, unproved
from pytest_gaia.verdict.verdict import Facts, Verdict, decide, excused

_NO_RULES = RuleSet()
_OWN_CODES = (2, 3, 4)
"""pytest's exit codes: interrupted, failed inside, called wrongly"""
_SELECTED = ("ran", "crashed", "never ran")
"""states of tests that were selected"""
_JUDGED = (0, 1, 5)
"""pytest's exit codes of which records say more: all passed, some failed, nothing selected"""
_ENDINGS = {2: "the run was interrupted", 3: "pytest failed inside", 4: "pytest was called wrongly"}


@dataclasses.dataclass(frozen=True)
class Judged:
    """One run under one environment's rules on one day."""

    start: RunStart
    end: RunEnd | None
    context: Context
    rules: tuple[Rule, ...]
    """all rules that the run was judged by, applicable or not"""
    judgements: tuple[Judgement, ...]
    verdict: Verdict
    gating_in_production: int
    """how many tests would gate under production's rules"""
    addresses: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
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
        return Counter(map(OUTCOME, self.judgements))

    @property
    def excused(self) -> int:
        """How many failures were let through."""
        return excused(self.judgements)

    def using(self, rule: Rule) -> int:
        """How many failures ``rule`` excused."""
        return self._using[rule.id]

    @cached_property
    def _using(self) -> Counter[str]:
        # Counted once for all rules: a run can have as many rules as tests.
        excused = (each.rules for each in self.judgements if each.outcome == "expected failure")
        return Counter(rule for rules in excused for rule in rules)


def judge_run(
    start: RunStart,
    records: Sequence[TestRecord],
    end: RunEnd | None,
    rules: RuleSet,
    context: Context,
) -> Judged:
    """Judge a run. The same arguments give the same result: a replay is this very call with other rules or dates."""
    standings = list(map(rules.under(context), map(subject_of, records)))
    judgements = tuple(map(judge_by, standings, records, repeat(context)))
    facts = _facts(records, end, standings, rules, context)
    if end is not None and end.sealed:
        facts = dataclasses.replace(facts, unproved=reason(len(end.sealed), unproved(end.sealed, judgements)))
    verdict = decide(judgements, rules.rules, facts, context)
    production = dataclasses.replace(context, environment=PRODUCTION, tolerance=tolerance_of(PRODUCTION, {}))
    # No rule can name production, so none has to be asked; and what passed at once gates nowhere.
    doubtful = (record for record, come_to in zip(records, judgements, strict=True) if not _at_once(record, come_to))
    gating = sum(judge(record, _NO_RULES, production).gates for record in doubtful)
    return Judged(start, end, context, rules.rules, judgements, verdict, gating, tested_addresses(start, records))


def _at_once(record: TestRecord, come_to: Judgement) -> bool:
    return come_to.outcome in ("passed", "unexpected pass") and record.attempt == 1 and not record.earlier


def _facts(
    records: Sequence[TestRecord],
    end: RunEnd | None,
    standings: Sequence[Standing],
    rules: RuleSet,
    context: Context,
) -> Facts:
    if end is None:
        return Facts(planned=len(records), interrupted="the run was killed before its end")
    unused: tuple[str, ...] = ()
    # In a selection, a rule without tests says nothing; in a complete run it is a rule too many.
    if end.complete:
        covered = _covering(standings)
        active = (rule.id for rule in rules.rules if rule.inapplicable(context) is None)
        unused = tuple(rule for rule in active if rule not in covered)
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


def _covering(standings: Sequence[Standing]) -> set[str]:
    """The rules that are about any of the tests. Tests that the same rules cover share one standing."""
    each_once = dict(zip(map(id, standings), standings, strict=True))
    return {rule for standing in each_once.values() for rule in standing.covering}


def _interrupted(records: Sequence[TestRecord], end: RunEnd) -> str:
    if end.lost:
        return f"ended before their time: {', '.join(end.lost)}"
    if end.pytest_exit == 1 and not any(_failed(record) for record in records):
        return "pytest counted a failure that no record shows"
    return "" if end.pytest_exit in _JUDGED else _ENDINGS.get(end.pytest_exit, f"pytest ended with {end.pytest_exit}")


def _failed(record: TestRecord) -> bool:
    without_phases = record.state in ("crashed", "not collected") and not record.phases
    return without_phases or any(phase.outcome == "failed" for phase in record.phases)


def worst_of_each(judgements: Iterable[Judgement]) -> list[Judgement]:
    """Return the worst judgement of each test, in the order in which tests come first. Deselected ones are left out.

    A test is judged more than once if it ran on several workers, or ran to its end and took its worker down elsewhere.
    """
    worst: dict[str, Judgement] = {}
    for each in judgements:
        if each.outcome != "deselected" and (each.node not in worst or _badness(each) > _badness(worst[each.node])):
            worst[each.node] = each
    return list(worst.values())


def _badness(judgement: Judgement) -> tuple[bool, bool]:
    return judgement.gates, judgement.outcome != "passed"
