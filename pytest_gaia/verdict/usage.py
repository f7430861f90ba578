"""Find unused expectations, unexpected failures, and operations that are gone, in results logs."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from pytest_gaia.expectations.apis import NamedOperation, removed_without_tests
from pytest_gaia.expectations.expectation import Expectation
from pytest_gaia.expectations.subjects import Context, Subject
from pytest_gaia.expectations.suggestions import Failing
from pytest_gaia.verdict.classify import EXECUTED, details_of, subject_of
from pytest_gaia.verdict.evaluated import EvaluatedRun
from pytest_gaia.verdict.evidence import RecordedRun
from pytest_gaia.wording import counted


@dataclass(frozen=True, slots=True)
class Unused:
    """An expectation, or a part of one, that is not needed."""

    expectation: Expectation
    reason: str
    nodes: tuple[str, ...] = ()
    """tests that passed in every run, if the expectation still covers other failures"""


@dataclass(slots=True)
class _Use:
    """Use of one expectation in one run."""

    inapplicable: str | None
    passed: set[str] = field(default_factory=set)
    accepted: set[str] = field(default_factory=set)

    @property
    def clean(self) -> bool:
        """Whether its tests ran and none failed."""
        return bool(self.passed) and not self.accepted


def unused(expectations: Iterable[Expectation], runs: Sequence[EvaluatedRun], *, clean_runs: int) -> list[Unused]:
    """Return the expectations that covered no failure in any of ``runs``, which are sorted by time.

    A flaky expectation is unused after ``clean_runs`` consecutive runs in which its tests passed. Expectations whose
    environments or tests did not run are not reported, and neither are removed operations of services without documents.
    """
    used = [_uses(run) for run in runs]
    found = [
        _unused_removal(expectation, runs)
        if expectation.expect == "removed"
        else _unused(expectation, [each[expectation.id] for each in used if expectation.id in each], clean_runs)
        for expectation in expectations
    ]
    return [each for each in found if each is not None]


def _uses(run: EvaluatedRun) -> dict[str, _Use]:
    """Return the use of each expectation that names the environment of ``run``, by ID."""
    named = (expectation for expectation in run.expectations if run.context.environment in expectation.environments)
    uses = {expectation.id: _Use(expectation.inapplicable(run.context)) for expectation in named}
    for classification in run.classifications:
        for expectation in classification.expectations:
            if classification.outcome in ("passed", "passed offline", "unexpected pass"):
                uses[expectation].passed.add(classification.node)
            elif classification.outcome in ("expected failure", "skipped"):
                uses[expectation].accepted.add(classification.node)
    return uses


def _unused(expectation: Expectation, uses: Sequence[_Use], clean_runs: int) -> Unused | None:
    if expectation.expect == "pass" or not uses:
        return None
    reasons = [use.inapplicable for use in uses if use.inapplicable]
    if len(reasons) == len(uses):
        return Unused(expectation, f"did not apply in any run: {reasons[-1]}")
    if expectation.expect == "flaky":
        return _flaky(expectation, uses, clean_runs)
    passed, accepted = _all(use.passed for use in uses), _all(use.accepted for use in uses)
    if passed and not accepted:
        return Unused(
            expectation, f"{counted(len(passed), 'test')} passed in {counted(len(uses), 'run')}, and none failed"
        )
    healed = tuple(sorted(passed - accepted))
    return Unused(expectation, f"{counted(len(healed), 'test')} passed in every run", healed) if healed else None


def _flaky(expectation: Expectation, uses: Sequence[_Use], clean_runs: int) -> Unused | None:
    clean = 0
    for use in reversed(uses):
        if not use.clean:
            break
        clean += 1
    return Unused(expectation, f"all tests passed in the last {counted(clean, 'run')}") if clean >= clean_runs else None


def _unused_removal(expectation: Expectation, runs: Sequence[EvaluatedRun]) -> Unused | None:
    named = [run for run in runs if run.context.environment in expectation.environments]
    reasons = [expectation.inapplicable(run.context) for run in named]
    if not named or any(run.using(expectation) for run in named):
        return None
    if all(reasons):
        return Unused(expectation, f"did not apply in any run: {reasons[-1]}")
    services = {each.service for each in expectation.operations}
    for run in named:
        apis = run.context.apis
        known = apis.now.keys() & (apis.baseline.apis.keys() if apis.baseline else ())
        # Without the tests that a partial run left out, only the documents show what is gone.
        untested = [] if run.end and run.end.complete else removed_without_tests(apis, (), run.context.today)
        if not services <= known or any(map(expectation.covers, untested)):
            return None
    return Unused(expectation, f"accepted no removed operation in {counted(len(named), 'run')}")


def _all(sets: Iterable[set[str]]) -> set[str]:
    return set().union(*sets)


def unexpected(runs: Sequence[tuple[RecordedRun, EvaluatedRun]]) -> Iterator[Failing]:
    """Yield the first unexpected failure of each test in each run; flaky if the test also passed."""
    passed = {
        (evaluated.context.environment, each.node)
        for _, evaluated in runs
        for each in evaluated.classifications
        if each.outcome == "passed"
    }
    for run, evaluated in runs:
        # A test of an operation that the release does not offer has no failure of its own.
        accepted = {
            each.node for each in evaluated.classifications if each.outcome == "expected failure" or each.operations
        }
        environment = evaluated.context.environment
        for record in run.tests:
            phases = (*record.phases, *record.earlier)
            failed = next((phase for phase in phases if phase.outcome == "failed"), None)
            if failed is not None and record.node not in accepted:
                flaky = (environment, record.node) in passed
                yield Failing(environment, subject_of(record), details_of(failed), flaky)


def gone(runs: Iterable[EvaluatedRun]) -> list[tuple[Context, list[str]]]:
    """Return the gone operations that no expectation accepts, with the context of the newest run of each environment.

    Operations that the newest run offers again are not gone.
    """
    found: defaultdict[str, dict[str, None]] = defaultdict(dict)
    newest: dict[str, Context] = {}
    for run in sorted(runs, key=lambda run: run.start.started):
        name = run.context.environment
        newest[name] = run.context
        found[name].update(dict.fromkeys(each.operation for each in run.gone if not each.expectation))
    lost = (
        (context, [each for each in found[name] if context.apis.lacks(NamedOperation.written(each))])
        for name, context in newest.items()
    )
    return [each for each in lost if each[1]]


def executed(runs: Sequence[tuple[RecordedRun, EvaluatedRun]]) -> frozenset[Subject]:
    """Return every test that ran in any of ``runs``."""
    nodes = {each.node for _, evaluated in runs for each in evaluated.classifications if each.outcome in EXECUTED}
    return frozenset(subject_of(record) for run, _ in runs for record in run.tests if record.node in nodes)
