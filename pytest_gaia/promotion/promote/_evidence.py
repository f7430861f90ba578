"""Conversion of the files of a run into ledger entries, without side effects and without unproved claims."""

from collections.abc import Mapping, Sequence
from datetime import date, timedelta

import msgspec

from pytest_gaia.config.environment import Environment
from pytest_gaia.config.ownership import misplaced
from pytest_gaia.config.stages import Slo
from pytest_gaia.expectations import apis
from pytest_gaia.expectations.apis import Apis, removed_without_tests
from pytest_gaia.promotion.attestation import ACCEPTED, sorted_tests
from pytest_gaia.promotion.ledger.statements import (
    Decision,
    DeploymentPredicate,
    DeployOutcome,
    RemovedOperation,
    Resource,
    RunDetails,
    RunPredicate,
    ShardSeen,
)
from pytest_gaia.promotion.promote.performance import Baseline, measure, samples_of
from pytest_gaia.promotion.release.kept import Release
from pytest_gaia.verdict.classify import EXECUTED, Classification, Outcome
from pytest_gaia.verdict.evidence import DeploymentSeen, RecordedRun, ServiceSeen
from pytest_gaia.verdict.plan import Plan
from pytest_gaia.verdict.report import VerdictFile
from pytest_gaia.verdict.results_log import CLOCK_SKEW, time_of

_GOOD: tuple[DeployOutcome, ...] = ("deployed_with_tool_error", "deployed", "unchanged")
"""in order of precedence"""
_BAD: tuple[DeployOutcome, ...] = ("split", "phantom", "failed")


_NO_BASELINE = Baseline()


_CLOCK_STEP = timedelta(seconds=5)
"""maximum change of the clock of this machine during the run"""
_SHOWN = 3
"""maximum number of differences in a message"""
_LONGEST = 60
"""maximum number of characters of a value in a message"""


class Unfit(ValueError):
    """The run left no results that can be evaluated; the message is the reason."""


def run_predicate(
    plan: Plan,
    verdict: VerdictFile,
    record: RecordedRun,
    *,
    files: Mapping[str, str],
    running: Mapping[str, str],
    fence: int,
    baseline: Baseline = _NO_BASELINE,
    problem: str = "",
    ci: str = "",
    shards: tuple[ShardSeen, ...] = (),
) -> RunPredicate:
    """Return the ledger entry for a run, with the ``verdict`` that the promotion itself computed.

    ``running`` is service → digest, observed after the last test. With a ``problem``, the run counts as failed.
    """
    classifications = [msgspec.convert(test, Classification, from_attributes=True) for test in verdict.tests]
    outcomes = {classification.node: classification.outcome for classification in classifications}
    details = _details(plan, verdict, record, outcomes, baseline)
    tests = sorted_tests(plan.nodes, classifications, details.flaky)
    return RunPredicate(
        result="FAILED" if problem else tests.result(verdict.verdict),
        configuration=tuple(Resource(name, {"sha256": digest}) for name, digest in sorted(files.items())),
        passed=tests.passed,
        warned=tests.warned,
        failed=tests.failed,
        details=msgspec.structs.replace(
            details,
            verdict="REJECT" if problem else _decision(verdict),
            problem=problem or (record.end.held if record.end else ""),
            ci=ci,
            shards=shards,
            missing=tests.failed,
            unexecuted=tests.unexecuted,
            digests=dict(running),
            fence=fence,
        ),
    )


def located(run: RunPredicate, environment: Environment, tested: Mapping[str, tuple[str, ...]]) -> RunPredicate:
    """Return ``run`` with the ``tested`` addresses. It is evidence only if they belong to the environment."""
    wrong = misplaced(environment, tested) if tested else ("the results log has no tested address",)
    details = msgspec.structs.replace(
        run.details,
        addresses=dict(tested),
        hosts=environment.known_hosts,
        loopback=environment.loopback,
        misplaced=wrong,
    )
    if not wrong or details.verdict != "PROMOTE":
        return msgspec.structs.replace(run, details=details)
    return msgspec.structs.replace(run, result="FAILED", details=msgspec.structs.replace(details, verdict="HOLD"))


def _details(
    plan: Plan, verdict: VerdictFile, record: RecordedRun, outcomes: Mapping[str, Outcome], baseline: Baseline
) -> RunDetails:
    executed = [test for test in plan.tests if outcomes.get(test.node) in EXECUTED]
    core = [test.node for test in plan.tests if "core" in test.markers]
    objectives = [
        Slo(each.route, each.fail_ms, each.warn_ms, each.percentile, each.least_samples) for each in plan.objectives
    ]
    samples = samples_of(record.tests)
    baseline = baseline.at(record.start.concurrency)
    before = verdict.baseline if verdict.baseline and verdict.baseline.apis else None
    return RunDetails(
        environment=plan.environment,
        release=plan.release,
        verdict=_decision(verdict),
        plan=plan.digest,
        planned=len(plan.tests),
        counts=verdict.counts,
        flaky=tuple(sorted({test.node for test in record.tests if test.attempt > 1 or test.earlier})),
        expected=tuple(node for node in plan.nodes if outcomes.get(node) in ACCEPTED),
        suites=tuple(sorted({marker for test in executed for marker in test.markers} & set(plan.suites))),
        core_failed=tuple(
            node for node in core if outcomes.get(node) not in ("passed", "passed offline", "not applicable")
        ),
        core_passed=sum(outcomes.get(node) == "passed" for node in core),
        experimental_run=sum("experimental" in test.markers for test in executed),
        slo=measure(objectives, samples),
        baseline=baseline.record,
        slower=baseline.slower(samples),
        apis=verdict.apis,
        compared_with=before.name if before else "",
        unknown_apis=tuple(sorted((before.apis if before else {}).keys() - verdict.apis.keys())),
        removed=_removed(verdict),
        drift="; ".join(verdict.changed),
        plugins=verdict.plugins,
        rehearsal=verdict.simulated,
        started=verdict.started,
        finished=verdict.finished,
    )


def _removed(verdict: VerdictFile) -> tuple[RemovedOperation, ...]:
    known = {each.id: each for each in verdict.expectations}
    accepting = [known.get(each.expectation) for each in verdict.gone]
    gone = [
        RemovedOperation(each.operation, each.tests, each.expectation, by.owner if by else "", by.expires if by else "")
        for each, by in zip(verdict.gone, accepting, strict=True)
    ]
    day = date.fromisoformat(verdict.evaluated_as_of)
    silent = removed_without_tests(Apis(verdict.apis, verdict.baseline), [each.operation for each in gone], day)
    return (*gone, *(RemovedOperation(each, 0) for each in silent))


def deployment_predicate(
    seen: DeploymentSeen | None, services: Sequence[str], *, environment: str, release: Release, time: str, fence: int
) -> DeploymentPredicate:
    """Return the ledger entry for the deployment of ``services``. A service without a result counts as failed."""
    reported = {service.service: service for service in seen.services} if seen else {}
    known = [reported[name] for name in services if name in reported]
    outcome, reason = _outcome(known, [name for name in services if name not in reported], seen)
    return DeploymentPredicate(
        environment=environment,
        release=release.id,
        outcome=outcome,
        reason=reason,
        services={each.service: each.images[0] for each in known if len(each.images) == 1},
        versions={each.service: each.version for each in known if each.version is not None},
        time=time,
        fence=fence,
    )


def _outcome(
    known: Sequence[ServiceSeen], unknown: Sequence[str], seen: DeploymentSeen | None
) -> tuple[DeployOutcome, str]:
    if seen is None or not seen.by_this_run or unknown or not known:
        return "failed", f"the run has no deployment of {', '.join(unknown) or 'any service'}"
    reason = "; ".join(f"{each.service}: {each.reason}" for each in known if each.reason)
    outcomes = {each.outcome for each in known}
    if outcomes <= set(_GOOD):
        return _first(_GOOD, outcomes), reason
    stopped = ", ".join(
        f"{each.service} {each.outcome or 'not deployed'}" for each in known if each.outcome not in _GOOD
    )
    return _first(_BAD, outcomes), reason or stopped


def _first(words: Sequence[DeployOutcome], outcomes: set[str]) -> DeployOutcome:
    return next((word for word in words if word in outcomes), "failed")


def _decision(verdict: VerdictFile) -> Decision:
    """Return the verdict for the ledger. A partial run is stored as HOLD, because its evidence is incomplete."""
    return "HOLD" if verdict.verdict == "PARTIAL" else verdict.verdict


def contradiction(
    plan: Plan,
    own: VerdictFile,
    theirs: VerdictFile | None,
    record: RecordedRun,
    *,
    baseline: apis.Baseline,
    release: Release,
    codes: tuple[int | None, int],
    between: tuple[str, str],
) -> str:
    """Return how the files of a run contradict its results log, as a sentence; '' if they agree.

    ``own`` is the verdict that the promotion computed from the results log, ``theirs`` the verdict file of the run,
    ``baseline`` what the ledger has of the release before, ``codes`` the exit code of pytest and the one expected from the results log, ``between`` the times when the plan was
    written and when pytest ended.
    """
    assert record.end is not None
    found = [f"{what}: {seen[:19] or 'none'}, not {wanted[:19]}" for what, wanted, seen in (
        ("the plan is of another release", release.id, plan.release),
        ("the results log is of another release", release.id, record.end.release),
        ("the results log is of another environment", plan.environment, record.start.environment),
        ("the results log is of another plan", plan.digest, record.end.plan),
        ("the plan used other expectations", own.expectations_digest, plan.expectations_digest),
    ) if wanted != seen]  # fmt: skip
    if record.end.required != plan.nodes:
        found.append("the results log has other required tests than the plan")
    found += _other_apis(record, baseline)
    if not _within(record, *between):
        found.append(
            f"it ran from {record.start.started} to {record.end.finished}, not between {' and '.join(between)}"
        )
    found += _differences(own, theirs, *codes)
    return f"the run and its results log disagree: {'; '.join(found)}" if found else ""


def _other_apis(record: RecordedRun, baseline: apis.Baseline) -> list[str]:
    """Return how the operations in a results log differ from those that the promotion passed to the run."""
    if not any(test.state in ("ran", "crashed") for test in record.tests):
        # Nothing was fetched or compared before the first test.
        return []
    start, found = record.start, []
    if start.baseline != baseline:
        seen = start.baseline.name if start.baseline else "nothing"
        other = "with other operations of it" if seen == baseline.name else f"with {_short(seen)}"
        found.append(f"the API was compared {other}, not with {baseline.name} as the ledger has it")
    foreign = [name for name, api in start.apis.items() if api not in (_fetched(api), baseline.recorded.get(name))]
    return [
        *found,
        *(f"the operations of {name} are from elsewhere: {_short(start.apis[name].source)}" for name in foreign),
    ]


def _fetched(api: apis.Api) -> apis.Api:
    return msgspec.structs.replace(api, source=apis.FETCHED)


def _differences(own: VerdictFile, theirs: VerdictFile | None, ended: int | None, expected: int) -> list[str]:
    found = [f"pytest exited with {ended}, its results log gives {expected}"] if ended != expected else []
    if theirs is None:
        return [*found, "the verdict file is missing or invalid"]
    for name in VerdictFile.__struct_fields__:
        seen, wanted = getattr(theirs, name), getattr(own, name)
        if seen != wanted:
            found.append(f"{name} is {_short(seen)} in the verdict file, {_short(wanted)} in the results log")
    return found[:_SHOWN]


def _short(value: object) -> str:
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return f"{text[:_LONGEST]} …" if len(text) > _LONGEST else text


def _within(record: RecordedRun, planned: str, ended: str) -> bool:
    assert record.end is not None
    # Shards ran on other machines.
    step = CLOCK_SKEW if record.end.shards else _CLOCK_STEP
    first, last = time_of(planned) - step, time_of(ended) + step
    return first <= time_of(record.start.started) and time_of(record.end.finished) <= last
