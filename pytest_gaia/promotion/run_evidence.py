"""From what pytest has left behind to what goes into the ledger. Pure; whatever is not shown is not claimed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec

from pytest_gaia.config.stages import Slo
from pytest_gaia.promotion.baseline import Baseline
from pytest_gaia.promotion.performance import measure, samples_of
from pytest_gaia.promotion.statements import DeploymentPredicate, Resource, RunDetails, RunPredicate
from pytest_gaia.verdict.judge import EXECUTED, Judgement
from pytest_gaia.verdict.seal import unproved

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pytest_gaia.promotion.bundle import Bundle
    from pytest_gaia.verdict.deployment import DeploymentSeen, ServiceSeen
    from pytest_gaia.verdict.evidence import RecordedRun
    from pytest_gaia.verdict.judge import Outcome
    from pytest_gaia.verdict.report import VerdictFile
    from pytest_gaia.verdict.seal import Plan

DeployOutcome = Literal["deployed", "deployed_with_tool_error", "unchanged", "phantom", "failed", "split"]
_EXCUSED = frozenset({"expected failure", "tolerated", "unexpected pass"})
_GOOD: tuple[DeployOutcome, ...] = ("deployed_with_tool_error", "deployed", "unchanged")
"""what has to be told comes first"""
_BAD: tuple[DeployOutcome, ...] = ("split", "phantom", "failed")


_NO_BASELINE = Baseline()


class Unfit(ValueError):
    """The files are not those of one and the same run of this bundle; the message says which differs."""


def run_predicate(
    plan: Plan,
    verdict: VerdictFile,
    record: RecordedRun,
    *,
    bundle: Bundle,
    files: Mapping[str, str],
    running: Mapping[str, str],
    fence: int,
    baseline: Baseline = _NO_BASELINE,
) -> RunPredicate:
    """Return what the run shows. ``running`` is service → digest as observed after the last test.

    Raises :class:`Unfit` where plan, verdict file and record do not belong together.
    """
    _check(plan, verdict, record, bundle)
    judgements = [msgspec.convert(test, Judgement, from_attributes=True) for test in verdict.tests]
    outcomes = {judgement.node: judgement.outcome for judgement in judgements}
    lacking = unproved(plan.nodes, judgements)
    details = _details(plan, verdict, record, outcomes, baseline)
    warned = {*details.expected, *details.flaky}
    return RunPredicate(
        result=_result(verdict, lacking, warned),
        configuration=tuple(Resource(name, {"sha256": digest}) for name, digest in sorted(files.items())),
        passed=tuple(node for node in plan.nodes if outcomes.get(node) == "passed" and node not in warned),
        warned=tuple(node for node in plan.nodes if node in warned and node not in lacking),
        failed=lacking,
        details=msgspec.structs.replace(details, missing=lacking, digests=dict(running), fence=fence),
    )


def _details(
    plan: Plan, verdict: VerdictFile, record: RecordedRun, outcomes: Mapping[str, Outcome], baseline: Baseline
) -> RunDetails:
    executed = [test for test in plan.tests if outcomes.get(test.node) in EXECUTED]
    core = [test.node for test in plan.tests if "core" in test.markers]
    objectives = [
        Slo(each.route, each.fail_ms, each.warn_ms, each.percentile, each.least_samples) for each in plan.objectives
    ]
    samples = samples_of(record.tests)
    return RunDetails(
        environment=plan.environment,
        bundle=plan.bundle,
        verdict=verdict.verdict,
        plan=plan.digest,
        planned=len(plan.tests),
        counts=verdict.counts,
        flaky=tuple(sorted({test.node for test in record.tests if test.attempt > 1 or test.earlier})),
        expected=tuple(node for node in plan.nodes if outcomes.get(node) in _EXCUSED),
        suites=tuple(sorted({marker for test in executed for marker in test.markers} & set(plan.suites))),
        core_failed=tuple(node for node in core if outcomes.get(node) not in ("passed", "not applicable")),
        core_passed=sum(outcomes.get(node) == "passed" for node in core),
        experimental_run=sum("experimental" in test.markers for test in executed),
        slo=measure(objectives, samples),
        baseline=baseline.record,
        slower=baseline.slower(samples),
        drift="; ".join(verdict.changed),
        rehearsal=verdict.rehearsal,
        started=verdict.started,
        finished=verdict.finished,
    )


def deployment_predicate(
    seen: DeploymentSeen | None, services: Sequence[str], *, environment: str, bundle: Bundle, time: str, fence: int
) -> DeploymentPredicate:
    """Return what became of ``services``; a service of which nothing was told has failed."""
    told = {service.service: service for service in seen.services} if seen else {}
    known = [told[name] for name in services if name in told]
    outcome, reason = _outcome(known, [name for name in services if name not in told], seen)
    return DeploymentPredicate(
        environment=environment,
        bundle=bundle.id,
        outcome=outcome,
        reason=reason,
        services={each.service: each.images[0] for each in known if len(each.images) == 1},
        releases={each.service: each.release for each in known if each.release is not None},
        time=time,
        fence=fence,
    )


def _outcome(
    known: Sequence[ServiceSeen], unknown: Sequence[str], seen: DeploymentSeen | None
) -> tuple[DeployOutcome, str]:
    if seen is None or not seen.by_this_run or unknown or not known:
        return "failed", f"the run does not say that it deployed {', '.join(unknown) or 'anything'}"
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


def _result(verdict: VerdictFile, lacking: Sequence[str], warned: set[str]) -> Literal["PASSED", "WARNED", "FAILED"]:
    if lacking or verdict.verdict != "PROMOTE":
        return "FAILED"
    return "WARNED" if warned else "PASSED"


def _check(plan: Plan, verdict: VerdictFile, record: RecordedRun, bundle: Bundle) -> None:
    if record.end is None:
        raise Unfit("the record has no end: the run was killed")
    for what, wanted, found in (
        ("the plan is of another bundle", bundle.id, plan.bundle),
        ("the verdict file is of another bundle", bundle.id, verdict.bundle),
        ("the verdict file is of another plan", plan.digest, verdict.plan),
        ("the verdict file is of another environment", plan.environment, verdict.environment),
        ("the verdict file was judged by other rules", plan.policy, verdict.policy),
        ("the record is of another plan", plan.digest, record.end.plan),
        ("the record is of another run than the verdict file", verdict.started, record.start.started),
        ("the record is of another run than the verdict file", verdict.finished, record.end.finished),
    ):
        if wanted != found:
            raise Unfit(f"{what}: {found[:19] or 'none'}, not {wanted[:19]}")
