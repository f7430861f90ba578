"""The conditions of release checks: each function returns one finding from the evidence. Pure."""

from datetime import datetime, timedelta
from typing import Any

from pytest_gaia.promotion.gate.check import Finding, expired, failed, passed, pending
from pytest_gaia.promotion.gate.situation import Evidence, Situation
from pytest_gaia.promotion.ledger.statements import (
    OUTCOMES,
    RUNS_WELL,
    SHORT,
    CheckPredicate,
    DeploymentPredicate,
    GatePredicate,
    RollbackPredicate,
    RunDetails,
    RunPredicate,
    SignoffPredicate,
)
from pytest_gaia.wording import counted

_REJECTED = ("REJECT", "DRIFT")
"""verdicts of a run that fail a check; verdicts other than these and PROMOTE prove nothing"""

_STABLE_RUNS = 2
"""number of consecutive passed runs of a stable environment"""


_NAMED = 3
"""most operations that a finding lists"""
_SLO = ("passed", "warned", "failed", "inconclusive")


def passed_run(situation: Situation, environment: str) -> Finding:
    """The newest run of the release there was complete and recent, with the verdict PROMOTE."""
    again = f"gaia promote {environment} {situation.release.short}"
    run = situation.newest(RunPredicate, environment)
    if run is None:
        return pending(f"no valid run of this release in {environment}", again)
    details = run.says.details
    if details.verdict in _REJECTED:
        gone = [each.operation for each in details.removed if each.blocks]
        reason = f": {details.problem}" if details.problem else ""
        reason += f": {counted(len(gone), 'operation')} gone: {', '.join(gone[:_NAMED])}" if gone else ""
        return failed(f"the newest run in {environment} ended with {details.verdict}{reason}", run, next=again)
    if details.verdict != "PROMOTE" or details.missing or not details.planned or run.says.result == "FAILED":
        count = len(details.missing)
        lacking = f"; {count} of {details.planned} required tests did not pass" if count else ""
        lacking += "".join(f"; {reason}" for reason in (*details.misplaced, details.problem) if reason)
        return pending(f"the newest run in {environment} is inconclusive: {details.verdict}{lacking}", again)
    if not situation.fresh(run):
        return expired(f"the newest run in {environment} is too old: {_day(run)}", run, next=again)
    earlier = _earlier_runs(situation, environment)
    where = _addresses(details)
    return passed(f"{details.planned} required tests ran in {environment} on {_day(run)}: PROMOTE{where}{earlier}", run)


def covers_suites(situation: Situation, environment: str, suites: tuple[str, ...]) -> Finding:
    """The newest run there passed, and at least one test of each of ``suites`` ran in it."""
    finding = passed_run(situation, environment)
    run = situation.newest(RunPredicate, environment)
    if finding.status != "passed" or run is None:
        return finding
    lacking = sorted(set(suites) - set(run.says.details.suites))
    if lacking:
        return pending(f"the run in {environment} did not include {', '.join(lacking)}")
    where = _addresses(run.says.details)
    return passed(f"{', '.join(suites)} ran in {environment}{where}{_earlier_runs(situation, environment)}", run)


def _addresses(details: RunDetails) -> str:
    found = [f"{service} at {' and '.join(addresses)}" for service, addresses in details.addresses.items()]
    allowed = " (loopback = true)" if details.loopback else ""
    return f"; {', '.join(found)}{allowed}" if found else ""


def rejected_before(situation: Situation) -> list[Evidence[RunPredicate]]:
    """Return the rejected runs of the release before the newest run, oldest first."""
    return [run for run in situation.evidence(RunPredicate)[:-1] if run.says.details.verdict in _REJECTED]


def not_rejected(situation: Situation) -> Finding:
    """No run of the release there was rejected before the newest; repeating a run until it passes proves nothing."""
    rejected = rejected_before(situation)
    if not rejected:
        return passed("no earlier run of this release was rejected")
    reason = (
        f"{_earlier_runs(situation, situation.environment)[2:]}, on {_day(rejected[-1])}; accepting it needs a waiver"
    )
    evidence = (rejected[-1].sha256,)
    return Finding("pending", reason, evidence, situation.waiver("not-rejected", "7d"))


def _earlier_runs(situation: Situation, environment: str) -> str:
    """Return the number of the newest run, such as ``; 3rd run, 1 rejected before``; empty for the first."""
    runs = situation.evidence(RunPredicate, environment)
    if len(runs) < 2:  # two runs are more than one
        return ""
    rejected = sum(run.says.details.verdict in _REJECTED for run in runs[:-1])
    return f"; {_ordinal(len(runs))} run" + (f", {rejected} rejected before" if rejected else "")


def _ordinal(number: int) -> str:
    teens = range(11, 14)
    ending = "th" if number % 100 in teens else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"


def passed_gate(situation: Situation, environment: str) -> Finding:
    """The newest decision of the gate of ``environment`` about this release is PROMOTE, and recent."""
    again = f"gaia promote {environment} {situation.release.short}"
    gate = situation.newest(GatePredicate, environment)
    if gate is None:
        return pending(f"this release has not passed the gate of {environment}", again)
    if gate.says.decision.verdict != "PROMOTE":
        return failed(f"the gate of {environment} decided {gate.says.decision.verdict}", gate, next=again)
    if not situation.fresh(gate):
        return expired(f"the decision for {environment} is too old: {_day(gate)}", gate, next=again)
    if gone := (stay := situation.stay(environment)).gone:
        return failed(gone, gate, next=again) if stay.elsewhere else pending(gone, again)
    return passed(f"it passed the gate of {environment} on {_day(gate)}", gate)


def soaked(situation: Situation, environment: str) -> Finding:
    """The release ran in ``environment`` for the soak time of the stage, and no run was rejected meanwhile."""
    need = situation.stage.soak
    stay = situation.stay(environment)
    if stay.since is None:
        if situation.newest(DeploymentPredicate, environment) is None:
            return pending(f"no evidence of a deployment of this release to {environment}")
        return pending(stay.gone, f"gaia promote {environment} {situation.release.short}")
    age = situation.now - stay.since.time
    if age < need:
        return pending(
            f"{_came(stay.since)} {_span(age)} ago; the soak time is {_span(need)}: wait {_span(need - age)}"
            + (f" (before: {stay.before})" if stay.before else "")
        )
    runs = situation.evidence(RunPredicate, environment)
    came = stay.since.entry.sequence
    bad = [run for run in runs if run.says.details.verdict == "REJECT" and run.entry.sequence > came]
    if bad:
        return failed(f"a run in {environment} was rejected on {_day(bad[-1])}, during the soak time", bad[-1])
    return passed(f"running in {environment} since {_day(stay.since)}", stay.since)


def stable(situation: Situation, environment: str) -> Finding:
    """The newest runs of the release there all passed, without flaky tests."""
    runs = situation.evidence(RunPredicate, environment)[-_STABLE_RUNS:]
    again = f"gaia promote {environment} {situation.release.short}"
    if len(runs) < _STABLE_RUNS:
        return pending(f"{len(runs)} of {_STABLE_RUNS} required runs in {environment}", again)
    for run in runs:
        if run.says.details.verdict != "PROMOTE":
            return failed(f"the run of {_day(run)} ended with {run.says.details.verdict}", run, next=again)
        if run.says.details.flaky:
            return failed(f"flaky tests on {_day(run)}: {', '.join(run.says.details.flaky[:3])}", run, next=again)
    return passed(f"the last {_STABLE_RUNS} runs in {environment} passed", *runs)


def core_passed(situation: Situation, environment: str) -> Finding:
    """Every core test of the newest run there passed; an expected failure is not enough."""
    run = situation.newest(RunPredicate, environment)
    if run is None or passed_run(situation, environment).status != "passed":
        return pending(f"no passed run in {environment}")
    details = run.says.details
    if details.core_failed:
        return failed(f"core tests failed: {', '.join(details.core_failed[:3])}", run)
    if not details.core_passed:
        return pending(f"no core test ran in {environment}")
    return passed(f"{details.core_passed} core tests passed in {environment}", run)


def performs(situation: Situation, environment: str) -> Finding:
    """The newest run there measured every SLO, with enough samples, and met it."""
    run = situation.newest(RunPredicate, environment)
    if run is None or not run.says.details.slo:
        return pending(f"no SLO was measured in {environment}", f"set [[env.{environment}.slo]] in gaia.toml")
    by_status = {status: [slo.route for slo in run.says.details.slo if slo.status == status] for status in _SLO}
    if by_status["failed"]:
        return failed(f"too slow: {', '.join(by_status['failed'])}", run)
    if run.says.details.slower:
        return failed(f"slower than the last promoted run: {'; '.join(run.says.details.slower)}", run)
    if by_status["inconclusive"]:
        return pending(f"too few samples of {', '.join(by_status['inconclusive'])}")
    if not situation.fresh(run):
        return expired(f"the measurement is too old: {_day(run)}", run)
    warned = f"; close to its limit: {', '.join(by_status['warned'])}" if by_status["warned"] else ""
    return passed(f"{counted(len(run.says.details.slo), 'SLO')} met{warned}", run)


def rollback_ready(situation: Situation, environment: str) -> Finding:
    """A rollback drill from this release passed in ``environment``."""
    again = f"gaia rollback {environment} --drill --release {situation.release.short}"
    rehearsals = [each for each in situation.evidence(RollbackPredicate, environment) if each.says.rehearsal]
    if not rehearsals:
        return pending(f"no rollback drill of this release in {environment}", again)
    latest = rehearsals[-1]
    if latest.says.outcome not in RUNS_WELL:
        return failed(
            f"the rollback drill of {_day(latest)} failed: {OUTCOMES[latest.says.outcome]}", latest, next=again
        )
    if not situation.fresh(latest):
        return expired(f"the rollback drill is too old: {_day(latest)}", latest, next=again)
    return passed(f"rollback drill in {environment} on {_day(latest)}", latest)


def checked(situation: Situation, check: str, command: str) -> Finding:
    """A tool ran the check for this release, and it passed."""
    found = [each for each in situation.evidence(CheckPredicate) if each.says.check == check]
    if not found:
        return pending("not checked yet", command)
    latest = found[-1]
    if latest.says.status == "failed":
        return failed(latest.says.reason, latest, next=command)
    if latest.says.status == "inconclusive":
        return pending(latest.says.reason, command)
    if not situation.fresh(latest):
        return expired(f"the result is too old: {_day(latest)}", latest, next=command)
    return passed(latest.says.reason, latest)


def signed(situation: Situation, check: str, roles: tuple[str, ...]) -> Finding:
    """A person in one of ``roles``, who is no author of the release, approved the check, and the approval is valid."""
    role = roles[0]
    command = f"gaia release approve {situation.release.short} {check} -e {situation.environment} --role {role}"
    found = [
        each for each in situation.evidence(SignoffPredicate) if each.says.check == check and each.says.role in roles
    ]
    if not found:
        return pending(f"not approved by {' or '.join(roles)}", command)
    latest = found[-1]
    if not _in_force(latest, situation):
        return expired(
            f"the approval of {latest.says.signer} was valid until {latest.says.until}", latest, next=command
        )
    return Finding(
        "approved", f"{latest.says.signer} ({latest.says.role}), until {latest.says.until}", (latest.sha256,)
    )


def deployed(situation: Situation) -> Finding:
    """The release was deployed to the environment or restored by a rollback, was observed, and was not replaced."""
    environment = situation.environment
    again = f"gaia promote {environment} {situation.release.short}"
    latest, stay = situation.newest(DeploymentPredicate), situation.stay(environment)
    if latest is None and stay.since is None:
        return pending(f"no evidence of a deployment of this release to {environment}", again)
    if stay.gone and latest is not None and latest.says.outcome not in RUNS_WELL:
        return failed(f"{OUTCOMES[latest.says.outcome]}: {latest.says.reason}", latest, next=again)
    if not situation.wanted:
        return pending(f"{environment} runs no service of the release")
    back = _came_back(stay.since, latest)
    seen = (latest.says.services if latest else {}) | (back.says.services if back else {})
    if differing := _differing(situation, seen):
        return pending(f"other images run there: {', '.join(differing)}", again)
    if stay.gone:
        return pending(stay.gone, again)
    if back:
        return passed(f"running since the rollback from {back.says.release[:SHORT]} on {_day(back)}", back)
    return passed(f"observed on {_day(latest)}", latest) if latest else pending(f"no evidence of it in {environment}")


def running_now(situation: Situation) -> Finding:
    """Every service of the release that runs there was just observed to run its image."""
    checks = [each for each in situation.running or () if each.status != "left out"]
    wrong = "; ".join(f"{each.what}: {each.reason}" for each in checks if each.status != "same")
    if wrong or not checks:
        again = f"gaia promote {situation.environment} {situation.release.short}"
        return pending(wrong or f"{situation.environment} runs no service of the release", again)
    return passed(
        f"{len(checks)} {'service runs its image' if len(checks) == 1 else 'services run the images'} of the release"
    )


def undrifted(situation: Situation) -> Finding:
    """The release still ran at the end of the newest run, which came after the deployment."""
    run, deployment = situation.newest(RunPredicate), situation.newest(DeploymentPredicate)
    again = f"gaia promote {situation.environment} {situation.release.short}"
    if run is None or deployment is None:
        return pending("no observation yet", again)
    if run.entry.sequence < deployment.entry.sequence:
        return pending("deployed again after the newest run", again)
    if run.says.details.drift:
        return pending(run.says.details.drift, again)
    if differing := _differing(situation, run.says.details.digests):
        return pending(f"other images ran at the end of the run: {', '.join(differing)}", again)
    return passed("the release ran until the end of the tests", run)


def not_quarantined(situation: Situation) -> Finding:
    """The release was never rolled back."""
    for entry in situation.entries:
        says = entry.predicate
        if isinstance(says, RollbackPredicate) and says.release == situation.release.id and not says.rehearsal:
            reason = f"rolled back from {says.environment} on {says.time[:10]}: {says.reason}; create a new release"
            return Finding("failed", reason, (entry.sha256,), "gaia release create")
    return passed("never rolled back")


def not_frozen(situation: Situation) -> Finding:
    """No deployment freeze is in effect."""
    for freeze in situation.stage.freezes:
        if freeze.begins <= situation.now < freeze.until:
            override = situation.waiver("not-frozen", "1d")
            return pending(f"deployment freeze until {freeze.until.isoformat()}: {freeze.why}", override)
    return passed("no deployment freeze")


def _came_back(since: Evidence[Any] | None, latest: Evidence[Any] | None) -> Evidence[RollbackPredicate] | None:
    """Return the rollback that restored the release, if it was not deployed again since."""
    if since is None or not isinstance(since.says, RollbackPredicate) or since.says.rehearsal:
        return None
    return since if latest is None or latest.entry.sequence < since.entry.sequence else None


def _came(since: Evidence[DeploymentPredicate | RollbackPredicate]) -> str:
    says = since.says
    if isinstance(says, DeploymentPredicate):
        return f"deployed to {says.environment}"
    if says.rehearsal:
        return f"rollback drill in {says.environment}"
    return f"restored in {says.environment} by a rollback"


def _differing(situation: Situation, observed: dict[str, str]) -> list[str]:
    wanted = situation.wanted
    return sorted(service for service, digest in wanted.items() if observed.get(service) != digest)


def _in_force(signoff: Evidence[SignoffPredicate], situation: Situation) -> bool:
    return situation.now <= datetime.fromisoformat(signoff.says.until)


def _day(evidence: Evidence[Any]) -> str:
    return f"{evidence.time:%Y-%m-%d %H:%M}"


def _span(span: timedelta) -> str:
    minutes = int(span.total_seconds() // 60)
    hours, rest = divmod(minutes, 60)
    large, small = (
        (f"{hours // 24} d", hours % 24 and f"{hours % 24} h")
        if hours >= 24
        else (f"{hours} h", rest and f"{rest} min")
    )
    return f"{large} {small}" if small else large
