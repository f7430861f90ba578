"""Each environment in numbers: what runs there, its SLOs, its runs in the ledger, and the releases that reached it."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from statistics import median

from pytest_gaia.promotion.gate.situation import Situation
from pytest_gaia.promotion.ledger.ledger import Entry
from pytest_gaia.promotion.ledger.statements import (
    NO_RELEASE,
    RUNS_WELL,
    SHORT,
    DeploymentPredicate,
    GatePredicate,
    RollbackPredicate,
    RunDetails,
    RunPredicate,
    SloResult,
)
from pytest_gaia.promotion.promote.performance import samples_of
from pytest_gaia.promotion.signoff._context import (
    VERDICT_OPTION,
    KnownRun,
    PageContext,
    allure_link,
    is_valid_evidence,
    moment,
    span,
    web_address,
)
from pytest_gaia.report.signoff.page import (
    SHOWN_RUNS,
    Counts,
    EnvironmentResult,
    Image,
    Objective,
    ReleasePoint,
    RunPoint,
)
from pytest_gaia.verdict.classify import ACCEPTED
from pytest_gaia.verdict.results_log import time_of
from pytest_gaia.wording import counted

_FAILED = ("failed", "error", "crashed", "without evidence")


def environments(context: PageContext) -> tuple[EnvironmentResult, ...]:
    """Return the results of the release in each environment."""
    return tuple(_seen(context, situation) for situation in context.situations)


def counts_of(counts: Mapping[str, int], planned: int) -> Counts:
    """Return the outcomes as the table shows them. Planned tests without an outcome count as not run."""
    failed, expected = (sum(counts.get(each, 0) for each in outcomes) for outcomes in (_FAILED, ACCEPTED))
    passed, unexpected = counts.get("passed", 0), counts.get("unexpected pass", 0)
    offline = counts.get("passed offline", 0)
    ran = passed + expected + failed + unexpected
    left_out, blocked = counts.get("not applicable", 0), counts.get("not collected", 0)
    return Counts(
        planned=planned,
        ran=ran,
        passed=passed,
        expected=expected,
        failed=failed,
        unexpected_passes=unexpected,
        offline=offline,
        not_applicable=left_out,
        blocked=blocked,
        not_run=max(planned - ran - offline - left_out - blocked, 0),
    )


def images(context: PageContext) -> tuple[Image, ...]:
    """Return each image of the release, and the images observed in the environments."""
    running = {situation.environment: _running(context, situation) for situation in context.situations}
    return tuple(
        Image(
            part.service,
            part.digest,
            tuple((name, *_compared(context, name, part.service, running[name][1])) for name in context.names),
        )
        for part in sorted(context.release.components)
    )


def _seen(context: PageContext, situation: Situation) -> EnvironmentResult:
    name = situation.environment
    seen = context.runs[name]
    gate = situation.newest(GatePredicate)
    run = seen.evidence.says.details if seen.evidence else None
    counts = counts_of(run.counts, run.planned) if run else None
    if counts is None and seen.verdict is not None:
        counts = counts_of(seen.verdict.counts, len(seen.verdict.tests))
    return EnvironmentResult(
        name=name,
        run=run.verdict if run else "",
        gate=gate.says.decision.verdict if gate else "",
        when=moment(seen.evidence.time) if seen.evidence else "",
        counts=counts,
        runs_now=_running(context, situation)[0],
        notes=tuple(_notes(seen, situation)),
        link=allure_link(context.allure, name) if counts else "",
        url=context.links.environments.get(name, ""),
        ci=web_address(run.ci) if run else "",
    )


def _notes(seen: KnownRun, situation: Situation) -> Iterator[str]:
    if seen.evidence is None:
        yield "no valid run of this release" + (
            f"; the verdict file given with {VERDICT_OPTION} is not in the ledger and is no evidence"
            if seen.verdict
            else ""
        )
        return
    details = seen.evidence.says.details
    if seen.verdict is not None and details.verdict != "PROMOTE":
        yield f"{details.verdict}: {', '.join(seen.verdict.reasons)}"
    if details.missing:
        yield f"{counted(len(details.missing), 'required test')} without an accepted result"
    if details.flaky:
        yield f"flaky: {', '.join(details.flaky[:3])}" + (
            f" and {len(details.flaky) - 3} more" * (len(details.flaky) > 3)
        )
    if details.drift:
        yield f"changed during the run: {details.drift}"
    if details.slower:
        yield f"slower than before: {'; '.join(details.slower)}"
    if not situation.fresh(seen.evidence):
        yield "the run is older than max_evidence_age of this environment"


def _running(context: PageContext, situation: Situation) -> tuple[str, Mapping[str, str]]:
    """Return in words what runs in an environment according to the ledger, and service → digest."""
    if outside := situation.deployed_outside(situation.environment):
        return outside, {}
    latest = next(
        (
            entry
            for entry in reversed(context.entries)
            if _puts(entry, situation) and is_valid_evidence(entry, situation.stage)
        ),
        None,
    )
    says = latest.predicate if latest else None
    if latest is None or not isinstance(says, DeploymentPredicate | RollbackPredicate):
        return "unknown", {}
    arrived = says.target if isinstance(says, RollbackPredicate) else says.release
    other = "images of no release" if arrived == NO_RELEASE else f"release {arrived[:SHORT]}"
    what = "this release" if arrived == context.release.id else other
    when = moment(latest.time) if latest.time else says.time
    if says.outcome not in RUNS_WELL:
        return f"the deployment of {what} ended with: {says.outcome} ({when})", says.services
    if arrived != context.release.id:
        return f"{what}, since {when}", says.services
    evidence = context.runs[situation.environment].evidence
    after = evidence is not None and evidence.entry.sequence > latest.sequence
    return f"{what}, since {when}", (evidence.says.details.digests if evidence and after else {}) or says.services


def _puts(entry: Entry, situation: Situation) -> bool:
    says = entry.predicate
    return (
        isinstance(says, DeploymentPredicate | RollbackPredicate)
        and says.environment == situation.environment
        and not says.rehearsal
    )


def _compared(context: PageContext, name: str, service: str, running: Mapping[str, str]) -> tuple[str, bool]:
    situation = next(each for each in context.situations if each.environment == name)
    if service not in situation.wanted:
        return "not deployed there", True
    seen = running.get(service, "")
    if not seen:
        return "not observed", False
    if seen == context.release.digests[service]:
        return "this image", True
    return f"other image: {seen}", False


def objectives(context: PageContext) -> tuple[Objective, ...]:
    """Return each SLO of each valid run, with times from its results log if it is available."""
    return tuple(
        _objective(context, name, result)
        for name, seen in context.runs.items()
        if seen.evidence
        for result in seen.evidence.says.details.slo
    )


def history(context: PageContext) -> tuple[RunPoint, ...]:
    """Return the last runs of each environment, of any release, the oldest first."""
    return tuple(point for name in context.names for point in list(_points(context, name))[-SHOWN_RUNS:])


def _objective(context: PageContext, name: str, result: SloResult) -> Objective:
    record = context.runs[name].record
    times = samples_of(record.tests).get(result.route, []) if record else []
    return Objective(
        environment=name,
        route=result.route,
        percentile=result.percentile,
        samples=result.samples,
        measured_ms=result.measured_ms,
        warn_ms=result.warn_ms,
        fail_ms=result.fail_ms,
        status=result.status,
        reason=result.reason,
        median_ms=round(median(times), 1) if times else None,
        slowest_ms=round(max(times), 1) if times else None,
    )


def _points(context: PageContext, name: str) -> Iterator[RunPoint]:
    stage = next(each.stage for each in context.situations if each.environment == name)
    for entry in context.entries:
        says = entry.predicate
        if not isinstance(says, RunPredicate) or not is_valid_evidence(entry, stage):
            continue
        details = says.details
        if details.environment != name or details.rehearsal:
            continue
        counts = counts_of(details.counts, details.planned)
        unexpected = counts.failed + counts.unexpected_passes
        yield RunPoint(
            environment=name,
            when=moment(entry.time) if entry.time else "",
            release=details.release[:SHORT],
            this=details.release == context.release.id,
            verdict=details.verdict,
            passed=counts.passed,
            expected=counts.expected,
            failed=unexpected,
            other=counts.offline + counts.not_applicable + counts.blocked + counts.not_run,
        )


def releases(context: PageContext) -> tuple[ReleasePoint, ...]:
    """Return the newest releases in the ledger, the oldest first: when each was deployed, and its newest run."""
    deployed: dict[str, datetime] = {}
    arrived: dict[str, datetime] = {}
    runs: dict[str, RunDetails] = {}
    stages = {each.environment: each.stage for each in context.situations}
    for entry in context.entries:
        says = entry.predicate
        if says is None or entry.time is None or says.environment not in stages:
            continue
        if not is_valid_evidence(entry, stages[says.environment]):
            continue
        if isinstance(says, DeploymentPredicate) and says.outcome in RUNS_WELL and says.release != NO_RELEASE:
            deployed.setdefault(says.release, entry.time)
            if says.environment == context.target.environment:
                arrived.setdefault(says.release, entry.time)
        elif isinstance(says, RunPredicate) and not says.details.rehearsal:
            runs[says.release] = says.details
    newest = sorted(deployed, key=lambda each: deployed[each])[-SHOWN_RUNS:]
    return tuple(_release(context, each, deployed[each], arrived.get(each), runs.get(each)) for each in newest)


def _release(
    context: PageContext, release: str, deployed: datetime, arrived: datetime | None, run: RunDetails | None
) -> ReleasePoint:
    counts = counts_of(run.counts, run.planned) if run else None
    return ReleasePoint(
        release=release[:SHORT],
        this=release == context.release.id,
        deployed=moment(deployed),
        arrived=moment(arrived) if arrived else "",
        took=span(arrived - deployed) if arrived else "",
        environment=run.environment if run else "",
        verdict=run.verdict if run else "",
        ran=counts.ran if counts else 0,
        passed=counts.passed if counts else 0,
        expected=counts.expected if counts else 0,
        failed=counts.failed + counts.unexpected_passes if counts else 0,
        flaky=len(run.flaky) if run else 0,
        seconds=_seconds(run),
    )


def _seconds(run: RunDetails | None) -> int:
    try:
        return int((time_of(run.finished) - time_of(run.started)).total_seconds()) if run else 0
    except ValueError:
        return 0
