"""The gate: may this bundle go into, and stay in, this environment? Decided from evidence alone, offline, and pure.

Only an explicit proof promotes. What is not shown holds, what is shown to be bad rejects, and a ledger that is not
whole shows nothing.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from pytest_gaia.config.stages import Stage
from pytest_gaia.promotion.gate import _proofs as proofs
from pytest_gaia.promotion.gate.check import Check, Finding, Group, failed, passed, pending
from pytest_gaia.promotion.gate.checks import checks_for
from pytest_gaia.promotion.gate.situation import Situation
from pytest_gaia.promotion.ledger.ledger import counted, problems_of
from pytest_gaia.promotion.ledger.statements import Decision, GateDetails, GatePredicate, WaiverPredicate
from pytest_gaia.verdict.evaluated import EXIT_CODES

_NOT_BUILT = ("nats", "postgres")
"""services whose images a project takes as they are: a bundle may do without them"""
_LOCAL_ONLY = ("local", "dev")
"""how far a bundle of images goes that only one machine has"""

FREEZE = "not-frozen"
RERUN = "not-rejected"
WAIVER_ROLE = "release-manager"
LONGEST_WAIVER = timedelta(days=30)


def waivable(stage: Stage) -> tuple[str, ...]:
    """Return the items beside those of the checklist that a release manager can waive, for a reason.

    They are a freeze, which has its exceptions, and a run that was rejected before the one that passed.
    """
    return (FREEZE, RERUN) if stage.require_signed else (FREEZE,)


@dataclass(frozen=True, slots=True)
class Gate:
    """The decision, and each item that it rests on."""

    environment: str
    release: str
    verdict: Decision
    checks: tuple[Check, ...]

    @property
    def exit_code(self) -> int:
        """As of a run: 0 PROMOTE, 1 REJECT, 11 HOLD."""
        return EXIT_CODES[self.verdict]

    @property
    def reasons(self) -> tuple[str, ...]:
        """What stands in the way; empty for PROMOTE."""
        return tuple(f"{check.id}: {check.finding.reason}" for check in self.checks if not check.good)

    @property
    def waived(self) -> tuple[str, ...]:
        """Items that were let go."""
        return tuple(check.id for check in self.checks if check.finding.status == "waived")

    def predicate(self, now: datetime, policies: dict[str, str], fence: int = 0) -> GatePredicate:
        """Return the decision as it goes into the ledger; ``policies`` are digests of the settings it was made by."""
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
    """Decide. ``only="pre-deploy"`` asks whether the bundle may be deployed there, before anything of it has been.

    ``also`` are checks that the ledger knows nothing of.
    """
    asked = (check for check in (*_checks(situation), *also) if only is None or check.group == only)
    checks = tuple(_waived(check, situation) for check in asked)
    return Gate(situation.environment, situation.release.id, _word(checks), checks)


def _word(checks: tuple[Check, ...]) -> Decision:
    if any(check.finding.status == "failed" for check in checks):
        return "REJECT"
    return "PROMOTE" if checks and all(check.good for check in checks) else "HOLD"


def _checks(situation: Situation) -> Iterator[Check]:
    yield Check("ledger-whole", "The ledger is whole", "pre-deploy", _whole(situation))
    yield Check("images-pinned", "Images are named by digest", "pre-deploy", _pinned(situation))
    yield Check("not-quarantined", "Never rolled back", "pre-deploy", proofs.not_quarantined(situation))
    yield Check(FREEZE, "No freeze in force", "pre-deploy", proofs.not_frozen(situation))
    previous = situation.stage.previous
    if previous:
        passed = proofs.passed_gate(situation, previous)
        yield Check("previous-stage", f"Passed the gate of {previous}", "pre-deploy", passed)
        yield Check("soaked", f"Long enough in {previous}", "pre-deploy", proofs.soaked(situation, previous))
    for entry in checks_for(situation):
        yield entry.check(situation)
    for role in situation.stage.sign:
        yield Check(f"signed-{role}", f"Signed by {role}", "pre-deploy", proofs.signed(situation, "release", (role,)))
    yield Check("deployed", "Deployed, and seen to run", "post-deploy", proofs.deployed(situation))
    if situation.running is not None:
        yield Check("running-now", "What runs there now", "post-deploy", proofs.running_now(situation))
    yield Check("suites-passed", "The sealed suites passed", "post-deploy", _suites(situation))
    if situation.stage.require_signed:
        yield Check(RERUN, "No earlier run was rejected", "post-deploy", proofs.not_rejected(situation))
    yield Check("undrifted", "The same from first to last test", "post-deploy", proofs.undrifted(situation))


def _suites(situation: Situation) -> Finding:
    if situation.stage.suites:
        return proofs.covers_suites(situation, situation.environment, situation.stage.suites)
    return proofs.passed_run(situation, situation.environment)


def _whole(situation: Situation) -> Finding:
    wrong = problems_of(situation.entries, situation.head)
    if not wrong:
        return passed(f"{counted(situation.entries)}; each follows the one before it")
    verify = "gaia ledger verify" + (f" --head {situation.head}" if situation.head else "")
    return failed(wrong[0], next=verify)


def _pinned(situation: Situation) -> Finding:
    release = situation.release
    if not release.components:
        return pending("the bundle holds no image", "gaia bundle create")
    if release.kind == "local" and situation.environment not in _LOCAL_ONLY:
        return failed("its images are on one machine only; push them, and make a bundle of what the registry has")
    services = situation.stage.services or ()
    if lacking := [each for each in services if each not in (*_NOT_BUILT, *release.digests)]:
        reason = (
            f"no image of {', '.join(lacking)}, which {situation.environment} runs: nobody knows what is tested there"
        )
        return pending(reason, "gaia bundle create")
    loose = [each.service for each in release.components if not each.digest.startswith("sha256:")]
    return failed(f"no digest: {', '.join(loose)}") if loose else passed(f"{len(release.components)} images")


def _waived(check: Check, situation: Situation) -> Check:
    """Let an item of the checklist go if somebody has signed for that, and has not since thought better of it."""
    if check.good or not (check.in_pipeline or check.id in waivable(situation.stage)):
        return check
    waivers = [each for each in situation.evidence(WaiverPredicate) if each.says.check == check.id]
    if check.id == RERUN:
        # A reason that was given before the rejection is none for it.
        rejected = proofs.rejected_before(situation)
        waivers = [each for each in waivers if each.entry.sequence > rejected[-1].entry.sequence]
    if not waivers:
        return check
    says, given = waivers[-1].says, waivers[-1].time
    until = min(datetime.fromisoformat(says.until), given + LONGEST_WAIVER)
    if says.role != WAIVER_ROLE or situation.now > until:
        return check
    reason = f"{check.finding.reason}; waived by {says.signer} ({says.role}) until {says.until}: {says.reason}"
    return replace(check, finding=Finding("waived", reason, (waivers[-1].sha256, *check.finding.evidence)))
