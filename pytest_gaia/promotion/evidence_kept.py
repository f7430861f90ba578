"""What a promotion writes into the ledger about its run: the deployment first, then the tests."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec

from pytest_gaia.errors import ConfigError, DeployLocked, GaiaError
from pytest_gaia.promotion.baseline import baseline_of
from pytest_gaia.promotion.promote_commands import PLAN, RECORD, VERDICT
from pytest_gaia.promotion.run_evidence import Unfit, deployment_predicate, run_predicate
from pytest_gaia.promotion.running import observed
from pytest_gaia.promotion.statements import DEPLOYMENT, RUN, DeploymentPredicate, RunPredicate
from pytest_gaia.verdict.evidence import read_run
from pytest_gaia.verdict.report import VerdictFile
from pytest_gaia.verdict.seal import read_plan

if TYPE_CHECKING:
    from pytest_gaia.promotion.promote_journal import Mark
    from pytest_gaia.promotion.promote_plan import Plan
    from pytest_gaia.verdict.deployment import DeploymentSeen
    from pytest_gaia.verdict.verdict import Word

_IN_PYTEST = "plugin"
_UNTOUCHED = (ConfigError.exit_code, DeployLocked.exit_code)


@dataclass(frozen=True, slots=True)
class Kept:
    """What was written."""

    deployment: str = ""
    word: Word = "HOLD"
    problem: str = ""
    """why the run shows nothing"""
    untouched: bool = False
    """nothing was deployed and nothing tested, so that there is nothing to write down"""


def keep_evidence(plan: Plan, ran: Mark, fence: int) -> Kept:
    """Write down what the run has left; what it has not left is not claimed. Raises ``ConfigError``."""
    running = _running(plan)
    try:
        verdict = _verdict(plan)
    except Unfit as unfit:
        if ran.exit_code in _UNTOUCHED and not ran.problem:
            return Kept(problem=f"pytest ended with {ran.exit_code}, before anything was deployed", untouched=True)
        # Nobody knows what it has done; until it is known, the environment does not run the bundle.
        _write_deployment(
            plan, msgspec.structs.replace(_deployed(plan, None, fence), services=running, reason=str(unfit))
        )
        return Kept("failed", problem=str(unfit))
    deployment = _deployment(plan, verdict, ran, running, fence)
    seen = deployment.services if plan.hook == _IN_PYTEST and not verdict.changed else running
    try:
        run = _run(plan, verdict, ran, seen, fence)
    except (Unfit, ConfigError) as error:
        _write_deployment(plan, deployment)
        return Kept(deployment.outcome, problem=f"the run shows nothing: {error}")
    # A promotion that goes on behind this step has written it already: one run is never evidence twice.
    if not any(_same(entry.predicate, run) for entry in plan.promotion.ledger.entries()):
        _write_deployment(plan, deployment)
        plan.promotion.ledger.append(RUN, plan.bundle.subjects(), run, signers=plan.signers)
    return Kept(deployment.outcome, verdict.verdict)


def _run(plan: Plan, verdict: VerdictFile, ran: Mark, running: dict[str, str], fence: int) -> RunPredicate:
    folder = plan.commands.folder
    return run_predicate(
        read_plan(folder / PLAN),
        verdict,
        read_run(folder / RECORD),
        bundle=plan.bundle,
        files=ran.files | plan.bundle.configs,
        running=running,
        fence=fence,
        baseline=baseline_of(plan.promotion.rootdir, plan.promotion.ledger.entries(), plan.name, plan.bundle.id),
    )


def _deployment(
    plan: Plan, verdict: VerdictFile, ran: Mark, running: dict[str, str], fence: int
) -> DeploymentPredicate:
    """Return what was deployed; or, where nothing is deployed, whether what runs was the bundle before and after."""
    if plan.deploys:
        return _deployed(plan, verdict.deployment, fence)
    wrong = ran.problem or ", ".join(s for s in plan.services if running.get(s) != plan.bundle.digests[s])
    says = msgspec.structs.replace(_deployed(plan, None, fence), services=running)
    if wrong or verdict.changed:
        return msgspec.structs.replace(
            says, reason=f"nothing is deployed there, and what runs is not the bundle: {wrong}"
        )
    return msgspec.structs.replace(says, outcome="unchanged", reason="")


def _deployed(plan: Plan, seen: DeploymentSeen | None, fence: int) -> DeploymentPredicate:
    return deployment_predicate(
        seen, plan.services, environment=plan.name, bundle=plan.bundle, time=_now(), fence=fence
    )


def _write_deployment(plan: Plan, says: DeploymentPredicate) -> None:
    plan.promotion.ledger.append(DEPLOYMENT, plan.bundle.subjects(), says, signers=plan.signers)


def _running(plan: Plan) -> dict[str, str]:
    """Return what runs after the last test; a hook in conftest.py can be asked by pytest alone, which has done so."""
    if plan.hook == _IN_PYTEST:
        return {}
    try:
        return observed(plan.environment, plan.promotion.rootdir, plan.services)
    except GaiaError:
        # What could not be observed is not claimed; the gate holds for it.
        return {}


def _verdict(plan: Plan) -> VerdictFile:
    try:
        return msgspec.json.decode((plan.commands.folder / VERDICT).read_bytes(), type=VerdictFile)
    except (OSError, msgspec.MsgspecError):
        raise Unfit("pytest ended without a verdict file; what it did is not known") from None


def _same(predicate: object, run: RunPredicate) -> bool:
    if not isinstance(predicate, RunPredicate):
        return False
    return _identity(predicate) == _identity(run)


def _identity(run: RunPredicate) -> tuple[str, ...]:
    details = run.details
    return details.environment, details.bundle, details.plan, details.started, details.finished


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
