"""What recorded runs say of rules: which still excuse something, and which failures none excuses."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from pytest_gaia.policy.rules import Rule
from pytest_gaia.policy.subjects import Subject
from pytest_gaia.policy.suggestions import Failing
from pytest_gaia.verdict.evidence import RecordedRun
from pytest_gaia.verdict.judge import EXECUTED, subject_of, symptom_of
from pytest_gaia.verdict.judged import Judged
from pytest_gaia.wording import counted


@dataclass(frozen=True, slots=True)
class Idle:
    """A rule, or a part of one, that the runs did not need."""

    rule: Rule
    why: str
    nodes: tuple[str, ...] = ()
    """tests that passed in every run though the rule still excuses others; empty where it excused nothing"""


@dataclass(slots=True)
class _Use:
    """One rule in one run."""

    inapplicable: str | None
    passed: set[str] = field(default_factory=set)
    excused: set[str] = field(default_factory=set)

    @property
    def clean(self) -> bool:
        """Whether its tests ran, and none of them needed it."""
        return bool(self.passed) and not self.excused


def idle(rules: Iterable[Rule], runs: Sequence[Judged], *, clean_runs: int) -> list[Idle]:
    """Return the rules that excused nothing in any of ``runs``, the oldest run first.

    A flaky rule is idle only after ``clean_runs`` runs in a row in which its tests passed. A rule of whose environments
    none was run, or whose tests were not run, is not judged at all.
    """
    used = [_uses(run) for run in runs]
    found = [_idle(rule, [each[rule.id] for each in used if rule.id in each], clean_runs) for rule in rules]
    return [each for each in found if each is not None]


def _uses(run: Judged) -> dict[str, _Use]:
    """Return id → what became of each rule that names the environment of ``run``."""
    named = (rule for rule in run.rules if run.context.environment in rule.environments)
    uses = {rule.id: _Use(rule.inapplicable(run.context)) for rule in named}
    for judgement in run.judgements:
        for rule in judgement.rules:
            if judgement.outcome in ("passed", "unexpected pass"):
                uses[rule].passed.add(judgement.node)
            elif judgement.outcome in ("expected failure", "skipped"):
                uses[rule].excused.add(judgement.node)
    return uses


def _idle(rule: Rule, uses: Sequence[_Use], clean_runs: int) -> Idle | None:
    if rule.expect == "passes" or not uses:
        return None
    reasons = [use.inapplicable for use in uses if use.inapplicable]
    if len(reasons) == len(uses):
        return Idle(rule, f"never applied: {reasons[-1]}")
    if rule.expect == "flaky":
        return _flaky(rule, uses, clean_runs)
    passed, excused = _all(use.passed for use in uses), _all(use.excused for use in uses)
    if passed and not excused:
        return Idle(rule, f"excused nothing: {counted(len(passed), 'test')} passed in {counted(len(uses), 'run')}")
    healed = tuple(sorted(passed - excused))
    return Idle(rule, f"{len(healed)} of its tests passed every time", healed) if healed else None


def _flaky(rule: Rule, uses: Sequence[_Use], clean_runs: int) -> Idle | None:
    clean = 0
    for use in reversed(uses):
        if not use.clean:
            break
        clean += 1
    return Idle(rule, f"stale: its tests passed in the last {counted(clean, 'run')}") if clean >= clean_runs else None


def _all(sets: Iterable[set[str]]) -> set[str]:
    return set().union(*sets)


def unexcused(runs: Sequence[tuple[RecordedRun, Judged]]) -> Iterator[Failing]:
    """Yield the first failure of each test in each run that no rule excuses; flaky if the test has passed as well."""
    passed = {
        (judged.context.environment, each.node)
        for _, judged in runs
        for each in judged.judgements
        if each.outcome == "passed"
    }
    for run, judged in runs:
        excused = {each.node for each in judged.judgements if each.outcome == "expected failure"}
        environment = judged.context.environment
        for record in run.tests:
            phases = (*record.phases, *record.earlier)
            failed = next((phase for phase in phases if phase.outcome == "failed"), None)
            if failed is not None and record.node not in excused:
                flaky = (environment, record.node) in passed
                yield Failing(environment, subject_of(record), symptom_of(failed), flaky)


def executed(runs: Sequence[tuple[RecordedRun, Judged]]) -> frozenset[Subject]:
    """Return every test that ran in any of ``runs``."""
    nodes = {each.node for _, judged in runs for each in judged.judgements if each.outcome in EXECUTED}
    return frozenset(subject_of(record) for run, _ in runs for record in run.tests if record.node in nodes)
