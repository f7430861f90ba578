"""The promotion gate: may a release enter, and stay in, an environment? Pure; uses evidence only.

The checks of the pipeline before each stage are decided by evidence, or approved by people. PROMOTE needs evidence for
every check. A check without evidence is pending (HOLD), a failed check is REJECT, and a corrupt ledger proves nothing.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal

from pytest_gaia.config.stages import Stage
from pytest_gaia.promotion.gate import _proofs as proofs
from pytest_gaia.promotion.gate.check import Check, Finding, Group, failed, passed, pending
from pytest_gaia.promotion.gate.services import kept_tests, removed_operations, services_kept
from pytest_gaia.promotion.gate.settings import SETTINGS, in_force, settings_kept, trusted_before
from pytest_gaia.promotion.gate.situation import Situation
from pytest_gaia.promotion.ledger.ledger import counted, problems_of
from pytest_gaia.promotion.ledger.statements import Decision, GateDetails, GatePredicate, WaiverPredicate
from pytest_gaia.verdict.evaluated import EXIT_CODES
from pytest_gaia.wording import counted as number_of

_APPROVERS = ("release-manager", "product")
_SECURITY = ("security",)

INTEGRATION_SUITES = ("messaging", "database")
"""suites that test the services with the message broker and the database, in projects that have one of these suites"""
_API = "gaia api diff --release {release} -e {environment} --attest"
_EXPERIMENTAL = "gaia release attest experimental-features {release} -e {environment}"

_LOCAL_ONLY = ("local", "dev")
"""roles of stages for releases whose images exist on one machine only"""

FREEZE = "not-frozen"
RERUN = "not-rejected"
KEPT = "services-kept"
TESTS = "tests-kept"
WAIVER_ROLE = "release-manager"
LONGEST_WAIVER = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class PipelineCheck:
    """A check of the pipeline, and the function that evaluates it."""

    id: str
    title: str
    target: str
    """role of the environments before which it applies"""
    prove: Callable[[Situation], Finding]
    roles: tuple[str, ...] = ()
    """roles that approve it; empty if evidence decides"""
    first: Literal["pre-deploy", "post-deploy", ""] = "pre-deploy"
    """when it applies in a first stage, which a release enters without earlier runs; empty: never"""

    def check(self, situation: Situation) -> Check:
        """Evaluate the check."""
        group = (self.first if situation.stage.previous is None else "") or "pre-deploy"
        return Check(self.id, self.title, group, self.prove(situation), in_pipeline=True)


def _from_previous(prove: Callable[[Situation, str], Finding]) -> Callable[[Situation], Finding]:
    return lambda situation: prove(situation, situation.stage.previous or "")


def _integration(situation: Situation) -> Finding:
    previous, suites = situation.stage.previous or "", situation.declared.suites
    if suites is not None and suites.isdisjoint(INTEGRATION_SUITES):
        return proofs.passed_run(situation, previous)
    return proofs.covers_suites(situation, previous, INTEGRATION_SUITES)


def _check(check: str, command: str) -> Callable[[Situation], Finding]:
    def prove(situation: Situation) -> Finding:
        filled = command.format(environment=situation.environment, release=situation.release.short)
        return proofs.checked(situation, check, filled)

    return prove


def _signed(check: str, roles: tuple[str, ...]) -> Callable[[Situation], Finding]:
    return lambda situation: proofs.signed(situation, check, roles)


def _removed(situation: Situation) -> Finding:
    return removed_operations(situation, "removed-operations", _APPROVERS)


CHECKS: tuple[PipelineCheck, ...] = (
    PipelineCheck("local-tests-pass", "All local tests pass", "dev", _from_previous(proofs.passed_run), first=""),
    PipelineCheck(
        "feature-complete", "Features complete and tested", "dev", _signed("feature-complete", _APPROVERS), _APPROVERS
    ),
    # The API is read where the release runs: in the previous stage, or in the first stage after its deployment.
    PipelineCheck(
        "no-breaking-api-change",
        "No breaking API change",
        "dev",
        _check("no-breaking-api-change", _API),
        first="post-deploy",
    ),
    PipelineCheck("dev-stable", "The dev environment is stable", "staging", _from_previous(proofs.stable), first=""),
    PipelineCheck("integration-tests-pass", "Integration tests pass", "staging", _integration, first=""),
    PipelineCheck(
        "no-experimental-features",
        "No experimental features",
        "staging",
        _check("no-experimental-features", _EXPERIMENTAL),
    ),
    PipelineCheck("staging-validated", "Staging validation complete", "production", _from_previous(proofs.passed_gate)),
    PipelineCheck("core-verified", "Core functionality verified", "production", _from_previous(proofs.core_passed)),
    PipelineCheck("performance-acceptable", "Performance acceptable", "production", _from_previous(proofs.performs)),
    PipelineCheck("removed-operations", "Removed operations approved", "production", _removed, _APPROVERS, first=""),
    PipelineCheck(
        "security-review", "Security review complete", "production", _signed("security-review", _SECURITY), _SECURITY
    ),
    PipelineCheck("rollback-ready", "Rollback plan ready", "production", _from_previous(proofs.rollback_ready)),
)

BY_ID: Mapping[str, PipelineCheck] = {check.id: check for check in CHECKS}


def checks_for(situation: Situation) -> tuple[PipelineCheck, ...]:
    """Return the checks of the stage of ``situation``; none for a stage outside of the pipeline."""
    asked = (check for check in CHECKS if check.target == situation.declared.role)
    return tuple(check for check in asked if check.first or situation.stage.previous is not None)


def waivable(stage: Stage) -> tuple[str, ...]:
    """Return the checks outside of the pipeline that a release manager can waive.

    These are a freeze, a change of the services, wider settings, removed tests, and an earlier rejected run.
    """
    always = (FREEZE, KEPT, SETTINGS, TESTS)
    return (*always, RERUN) if stage.require_signed else always


@dataclass(frozen=True, slots=True)
class Gate:
    """The decision, and the checks that it rests on."""

    environment: str
    release: str
    verdict: Decision
    checks: tuple[Check, ...]

    @property
    def exit_code(self) -> int:
        """Exit code: 0 PROMOTE, 1 REJECT, 11 HOLD."""
        return EXIT_CODES[self.verdict]

    @property
    def reasons(self) -> tuple[str, ...]:
        """What blocks the release; empty for PROMOTE."""
        return tuple(f"{check.id}: {check.finding.reason}" for check in self.checks if not check.good)

    @property
    def waived(self) -> tuple[str, ...]:
        """IDs of waived checks."""
        return tuple(check.id for check in self.checks if check.finding.status == "waived")

    def predicate(self, now: datetime, policies: dict[str, str], fence: int = 0) -> GatePredicate:
        """Return the decision for the ledger; ``policies`` are digests of the settings that it used."""
        evidence = sorted({sha256 for check in self.checks for sha256 in check.finding.evidence})
        return GatePredicate(
            verifier={
                "id": "urn:pytest-gaia",
                "policies": [{"digest": {"sha256": each}} for each in policies.values()],
            },
            time_created=now.isoformat(timespec="seconds"),
            properties=tuple(check.property_name for check in self.checks if check.good),
            decision=GateDetails(
                environment=self.environment,
                release=self.release,
                verdict=self.verdict,
                reasons=self.reasons,
                evidence=tuple(evidence),
                waived=self.waived,
                fence=fence,
            ),
        )


def evaluate(situation: Situation, *, only: Group | None = None, also: Iterable[Check] = ()) -> Gate:
    """Decide. ``only="pre-deploy"`` evaluates only the checks before a deployment.

    Where a setting became wider and no waiver accepts it, the promoted settings of the stage decide. ``also`` are checks
    that the ledger knows nothing of.
    """
    strict = in_force(situation)
    kept = _waived(Check(SETTINGS, "Settings are not wider", "pre-deploy", settings_kept(situation)), strict)
    situation = situation if kept.good else strict
    asked = (check for check in (*_checks(situation, kept), *also) if only is None or check.group == only)
    checks = tuple(_waived(check, situation) for check in asked)
    return Gate(situation.environment, situation.release.id, _word(checks), checks)


def check_plan(situation: Situation, planned: Collection[str]) -> Gate:
    """Decide whether the tests of a plan can show that no test was removed, before anything is deployed."""
    check = _waived(Check(TESTS, "Tests are kept", "post-deploy", kept_tests(situation, planned)), situation)
    return Gate(situation.environment, situation.release.id, _word((check,)), (check,))


def _word(checks: tuple[Check, ...]) -> Decision:
    if any(check.finding.status == "failed" for check in checks):
        return "REJECT"
    return "PROMOTE" if checks and all(check.good for check in checks) else "HOLD"


def _checks(situation: Situation, kept: Check) -> Iterator[Check]:
    yield Check("ledger-whole", "Ledger is intact", "pre-deploy", _whole(situation))
    yield Check("images-pinned", "Images are pinned by digest", "pre-deploy", _pinned(situation))
    yield Check(KEPT, "Services and their descriptions are kept", "pre-deploy", services_kept(situation))
    yield kept
    yield Check("not-quarantined", "Never rolled back", "pre-deploy", proofs.not_quarantined(situation))
    yield Check(FREEZE, "No deployment freeze", "pre-deploy", proofs.not_frozen(situation))
    previous = situation.stage.previous
    if previous:
        passed = proofs.passed_gate(situation, previous)
        yield Check("previous-stage", f"Passed the gate of {previous}", "pre-deploy", passed)
        yield Check("soaked", f"Soak time in {previous}", "pre-deploy", proofs.soaked(situation, previous))
    for entry in checks_for(situation):
        yield entry.check(situation)
    for role in situation.stage.sign:
        yield Check(f"signed-{role}", f"Approved by {role}", "pre-deploy", proofs.signed(situation, "release", (role,)))
    yield Check("deployed", "Deployed and running", "post-deploy", proofs.deployed(situation))
    if situation.running is not None:
        yield Check("running-now", "What runs there now", "post-deploy", proofs.running_now(situation))
    yield Check("suites-passed", "Required tests passed", "post-deploy", _suites(situation))
    if situation.stage.require_signed:
        yield Check(RERUN, "No earlier run was rejected", "post-deploy", proofs.not_rejected(situation))
    yield Check(TESTS, "Tests are kept", "post-deploy", kept_tests(situation))
    yield Check("undrifted", "Unchanged during the tests", "post-deploy", proofs.undrifted(situation))


def _suites(situation: Situation) -> Finding:
    if situation.stage.suites:
        return proofs.covers_suites(situation, situation.environment, situation.stage.suites)
    return proofs.passed_run(situation, situation.environment)


def _whole(situation: Situation) -> Finding:
    wrong = problems_of(situation.entries, situation.head)
    if not wrong:
        return passed(f"{counted(situation.entries)}; hash chain intact")
    verify = "gaia ledger verify" + (f" --head {situation.head}" if situation.head else "")
    return failed(wrong[0], next=verify)


def _pinned(situation: Situation) -> Finding:
    release = situation.release
    if not release.components:
        return pending("the release has no image", "gaia release create")
    if release.kind == "local" and situation.declared.role not in _LOCAL_ONLY:
        return failed("its images exist on one machine only; push them to a registry, and create a release of those")
    if lacking := [each for each in situation.declared.built if each not in release.digests]:
        reason = f"no image of {', '.join(lacking)}, which {situation.environment} runs"
        return pending(reason, "gaia release create")
    loose = [each.service for each in release.components if not each.digest.startswith("sha256:")]
    return failed(f"no digest: {', '.join(loose)}") if loose else passed(number_of(len(release.components), "image"))


def _waived(check: Check, situation: Situation) -> Check:
    """Return ``check`` as waived, if a valid waiver of it exists."""
    if check.good or not (check.in_pipeline or check.id in waivable(situation.stage)):
        return check
    waivers = [each for each in situation.evidence(WaiverPredicate) if each.says.check == check.id]
    if check.id == SETTINGS:
        waivers = [each for each in waivers if trusted_before(situation, each.entry.signers, WAIVER_ROLE)]
    if check.id == RERUN:
        # A waiver from before the rejection does not cover it.
        rejected = proofs.rejected_before(situation)
        waivers = [each for each in waivers if each.entry.sequence > rejected[-1].entry.sequence]
    if not waivers:
        return check
    says, given = waivers[-1].says, waivers[-1].time
    until = min(datetime.fromisoformat(says.until), given + LONGEST_WAIVER)
    if says.role != WAIVER_ROLE or situation.now > until:
        return check
    reason = f"{check.finding.reason}; waived by {says.signer} ({says.role}) until {says.until}: {says.reason}"
    evidence = (waivers[-1].sha256, *check.finding.evidence)
    return replace(check, finding=replace(check.finding, status="waived", reason=reason, evidence=evidence, next=""))
