"""Each environment of the way in numbers: what runs where, how objectives were met, and every run of the ledger."""

from collections.abc import Iterator, Mapping
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
    RunPredicate,
    SloResult,
)
from pytest_gaia.promotion.promote.performance import samples_of
from pytest_gaia.promotion.signoff._look import Look, RunSeen, linked, may_testify, moment
from pytest_gaia.report.signoff.page import SHOWN_RUNS, Counts, EnvironmentSeen, Image, Objective, RunPoint
from pytest_gaia.verdict.classify import ACCEPTED

_FAILED = ("failed", "error", "crashed")


def environments(look: Look) -> tuple[EnvironmentSeen, ...]:
    """Return what is known of each."""
    return tuple(_seen(look, situation) for situation in look.way)


def counts_of(counts: Mapping[str, int], planned: int) -> Counts:
    """Return outcomes as the matrix shows them. Whatever is not accounted for was not run."""
    failed, expected = (sum(counts.get(each, 0) for each in outcomes) for outcomes in (_FAILED, ACCEPTED))
    passed, unexpected = counts.get("passed", 0), counts.get("unexpected pass", 0)
    ran = passed + expected + failed + unexpected
    left_out, blocked = counts.get("not applicable", 0), counts.get("not collected", 0)
    return Counts(
        planned=planned,
        ran=ran,
        passed=passed,
        expected=expected,
        failed=failed,
        unexpected_passes=unexpected,
        not_applicable=left_out,
        blocked=blocked,
        not_run=max(planned - ran - left_out - blocked, 0),
    )


def images(look: Look) -> tuple[Image, ...]:
    """Return each image of the bundle, and what was seen of it on the way."""
    running = {situation.environment: _running(look, situation) for situation in look.way}
    return tuple(
        Image(
            part.service,
            part.digest,
            tuple((name, *_compared(look, name, part.service, running[name][1])) for name in look.names),
        )
        for part in sorted(look.release.components)
    )


def _seen(look: Look, situation: Situation) -> EnvironmentSeen:
    name = situation.environment
    seen = look.runs[name]
    gate = situation.newest(GatePredicate)
    run = seen.evidence.says.details if seen.evidence else None
    counts = counts_of(run.counts, run.planned) if run else None
    if counts is None and seen.verdict is not None:
        counts = counts_of(seen.verdict.counts, len(seen.verdict.tests))
    return EnvironmentSeen(
        name=name,
        run=run.verdict if run else "",
        gate=gate.says.decision.verdict if gate else "",
        when=moment(seen.evidence.time) if seen.evidence else "",
        counts=counts,
        runs_now=_running(look, situation)[0],
        notes=tuple(_notes(seen, situation)),
        link=linked(look.allure, name) if counts else "",
    )


def _notes(seen: RunSeen, situation: Situation) -> Iterator[str]:
    if seen.evidence is None:
        yield "no run of this release counts as evidence here" + (
            "; the file that was given with --run is not in the ledger, and proves nothing" if seen.verdict else ""
        )
        return
    details = seen.evidence.says.details
    if seen.verdict is not None and details.verdict != "PROMOTE":
        yield f"{details.verdict}: {', '.join(seen.verdict.reasons)}"
    if details.missing:
        yield f"{len(details.missing)} sealed tests have neither passed nor an excuse"
    if details.flaky:
        yield f"flaky: {', '.join(details.flaky[:3])}" + (
            f" and {len(details.flaky) - 3} more" * (len(details.flaky) > 3)
        )
    if details.drift:
        yield f"changed while the tests ran: {details.drift}"
    if details.slower:
        yield f"slower than before: {'; '.join(details.slower)}"
    if not situation.fresh(seen.evidence):
        yield "the run is older than this environment takes as evidence"


def _running(look: Look, situation: Situation) -> tuple[str, Mapping[str, str]]:
    """Return in words what was last seen to run in an environment, and service → digest."""
    if outside := situation.deployed_outside(situation.environment):
        return outside, {}
    latest = next(
        (entry for entry in reversed(look.entries) if _puts(entry, situation) and may_testify(entry, situation.stage)),
        None,
    )
    says = latest.predicate if latest else None
    if latest is None or not isinstance(says, DeploymentPredicate | RollbackPredicate):
        return "nothing is known", {}
    arrived = says.target if isinstance(says, RollbackPredicate) else says.release
    other = "images of no bundle" if arrived == NO_RELEASE else f"bundle {arrived[:SHORT]}"
    what = "this release" if arrived == look.release.id else other
    when = moment(latest.time) if latest.time else says.time
    if says.outcome not in RUNS_WELL:
        return f"{what} was to be deployed, and that came to {says.outcome} ({when})", says.services
    if arrived != look.release.id:
        return f"{what}, since {when}", says.services
    evidence = look.runs[situation.environment].evidence
    after = evidence is not None and evidence.entry.sequence > latest.sequence
    return f"{what}, since {when}", (evidence.says.details.digests if evidence and after else {}) or says.services


def _puts(entry: Entry, situation: Situation) -> bool:
    says = entry.predicate
    return (
        isinstance(says, DeploymentPredicate | RollbackPredicate)
        and says.environment == situation.environment
        and not says.rehearsal
    )


def _compared(look: Look, name: str, service: str, running: Mapping[str, str]) -> tuple[str, bool]:
    situation = next(each for each in look.way if each.environment == name)
    if service not in situation.wanted:
        return "not part of it", True
    seen = running.get(service, "")
    if not seen:
        return "not observed", False
    if seen == look.release.digests[service]:
        return "this image", True
    return f"another: {seen}", False


def objectives(look: Look) -> tuple[Objective, ...]:
    """Return each objective of each run that counts, with times of its record where that is at hand."""
    return tuple(
        _objective(look, name, result)
        for name, seen in look.runs.items()
        if seen.evidence
        for result in seen.evidence.says.details.slo
    )


def history(look: Look) -> tuple[RunPoint, ...]:
    """Return the last runs of each environment of the way, of whatever release, the oldest first."""
    return tuple(point for name in look.names for point in list(_points(look, name))[-SHOWN_RUNS:])


def _objective(look: Look, name: str, result: SloResult) -> Objective:
    record = look.runs[name].record
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
        why=result.why,
        median_ms=round(median(times), 1) if times else None,
        slowest_ms=round(max(times), 1) if times else None,
    )


def _points(look: Look, name: str) -> Iterator[RunPoint]:
    stage = next(each.stage for each in look.way if each.environment == name)
    for entry in look.entries:
        says = entry.predicate
        if not isinstance(says, RunPredicate) or not may_testify(entry, stage):
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
            this=details.release == look.release.id,
            verdict=details.verdict,
            passed=counts.passed,
            accepted=counts.expected,
            failed=unexpected,
            other=counts.not_applicable + counts.blocked + counts.not_run,
        )
