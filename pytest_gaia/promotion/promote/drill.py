"""Rollback drills: roll back to the earlier release, check it, roll forward again, and check that.

A check runs the suite ``health`` of the project. Without that suite, it probes the services.
"""

import subprocess
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeAlias

import msgspec

from pytest_gaia.config.environment import Environment
from pytest_gaia.config.project import Project
from pytest_gaia.config.resolve import Options, resolve
from pytest_gaia.config.tolerance import Tolerance
from pytest_gaia.deploy.contract import DeployHook
from pytest_gaia.errors import ConfigError, GaiaError
from pytest_gaia.expectations.expectation import ExpectationSet
from pytest_gaia.expectations.files import folders_of, load
from pytest_gaia.observation.readiness import probe_services
from pytest_gaia.promotion.ledger.ledger import Entry
from pytest_gaia.promotion.ledger.lock import renewed
from pytest_gaia.promotion.ledger.statements import (
    DEPLOYMENT,
    ROLLBACK,
    RUNS_WELL,
    DeploymentPredicate,
    DeployOutcome,
    sha256_of,
)
from pytest_gaia.promotion.project import Promotion
from pytest_gaia.promotion.promote.child import DigestPipe, check_environ, executed
from pytest_gaia.promotion.promote.rollback import RollbackPlan, outcome_of, rollback_predicate, rollout_to
from pytest_gaia.promotion.promote.signing import signers_for
from pytest_gaia.promotion.release.comparison import check_running, look
from pytest_gaia.report.services import missing
from pytest_gaia.rollout.course import roll_out
from pytest_gaia.rollout.model import Progress, Rollout, RolloutInterrupted, RolloutResult
from pytest_gaia.system.processes import exit_code_of, without_signing_key
from pytest_gaia.verdict.evaluated import evaluate_run
from pytest_gaia.verdict.results_log import decode_run, time_of

Smoke: TypeAlias = Callable[[], str]
"""checks the running release; returns the problem, or ''"""

_REASON = "rollback drill"
_FINE = ("same", "left out")


SUITE = "health"
_STANDARD_ERROR = 2
"""file descriptor; standard output is only for the result of the command"""


@dataclass(frozen=True, slots=True)
class DrillResult:
    """The result of a rollback drill."""

    back: RolloutResult
    forth: RolloutResult
    problem: str
    """reason why the drill failed; empty if it passed"""
    entry: Entry

    @property
    def exit_code(self) -> int:
        """The exit code of the failed rollout; 1 if only a check failed; else 0."""
        return self.forth.exit_code or self.back.exit_code or (1 if self.problem else 0)


def check_there(promotion: Promotion, environment: Environment, plan: RollbackPlan) -> None:
    """Raise ``ConfigError`` if a service runs neither the release nor, after an interrupted drill, its target."""
    observations = look(environment, promotion.rootdir, promotion.services(environment.name, plan.release))
    as_release, as_target = (
        {each.what: each for each in check_running(release, observations, environment.name)}
        for release in (plan.release, plan.target)
    )
    for what, check in as_release.items():
        if check.status not in _FINE and as_target[what].status not in _FINE:
            raise ConfigError(
                f"{environment.name} does not run release {plan.release.short} ({what}: {check.reason}), so a rollback drill "
                f"proves nothing. Deploy it first: gaia promote {environment.name} {plan.release.short}"
            )


def run_drill(
    promotion: Promotion,
    environment: Environment,
    plan: RollbackPlan,
    hook: DeployHook,
    smoke: Smoke,
    progress: Progress,
) -> DrillResult:
    """Roll back, check, roll forward, check, and write the result. Roll forward also if the rollback failed.

    Raises ``ConfigError`` before any change, for problems that the user must fix, and ``DeployLocked`` (13).
    """
    name = environment.name
    signers = signers_for(promotion, name)
    services = promotion.services(name, plan.release)
    forward = rollout_to(promotion, environment, plan.release, services, "deploy", "forward again")
    lock = promotion.lock(name, f"a rollback drill from {plan.release.short}")
    # A lost lock stops nothing, because entries with its fencing token do not count then.
    with renewed(lock, lambda: None) as fence:
        check_there(promotion, environment, plan)
        known = promotion.situation(name, plan.release).stay(name).since is not None
        back = None
        try:
            back, problem = _leg(plan.rollout, plan, hook, smoke, progress)
            forth, again = _leg(forward, plan, hook, smoke, progress)
        except (KeyboardInterrupt, GaiaError) as stop:
            if back is not None or (isinstance(stop, RolloutInterrupted) and _begun(stop.result)):
                _write_left(promotion, plan, {}, ("failed", "its rollback drill was interrupted"), fence)
            raise
        problem = problem or again
        now = datetime.now(UTC)
        predicate = rollback_predicate(
            plan.release.id, plan.target.id, back, reason=problem or _REASON, now=now, fence=fence, rehearsal=True
        )
        if problem and predicate.outcome in RUNS_WELL:
            predicate = msgspec.structs.replace(predicate, outcome="failed")
        entry = promotion.ledger.append(ROLLBACK, plan.release.subjects(), predicate, signers=signers)
        # If it was unknown what ran before, as after an interrupted drill, the ledger needs an entry.
        if not forth.good or not known:
            seen = {step.service: step.digests[0] for step in forth.steps if len(step.digests) == 1}
            _write_left(promotion, plan, seen, (outcome_of(forth), forth.problem), fence)
    return DrillResult(back, forth, problem, entry)


def _write_left(
    promotion: Promotion, plan: RollbackPlan, seen: dict[str, str], left: tuple[DeployOutcome, str], fence: int
) -> None:
    """Write which release runs after a drill. This is usually unchanged, and needs no entry."""
    outcome, reason = left
    predicate = DeploymentPredicate(
        environment=plan.rollout.environment,
        release=plan.release.id,
        outcome=outcome,
        reason=reason,
        services=seen,
        time=datetime.now(UTC).isoformat(timespec="seconds"),
        rehearsal=True,
        fence=fence,
    )
    signers = signers_for(promotion, plan.rollout.environment)
    promotion.ledger.append(DEPLOYMENT, plan.release.subjects(), predicate, signers=signers)


def _begun(result: RolloutResult) -> bool:
    return any(step.outcome != "not begun" for step in result.steps)


def _leg(
    rollout: Rollout, plan: RollbackPlan, hook: DeployHook, smoke: Smoke, progress: Progress
) -> tuple[RolloutResult, str]:
    """Roll out and check; return the result and the problem."""
    try:
        result = roll_out(rollout, hook, progress=progress)
    except RolloutInterrupted as interruption:
        # Another drill repairs the state after an interruption in either direction.
        go_on = f"gaia rollback {rollout.environment} --drill --release {plan.release.short}"
        raise RolloutInterrupted(replace(interruption.result, go_on=go_on)) from None
    if not result.good:
        return result, result.problem
    there = plan.target if rollout.action == "rollback" else plan.release
    problem = smoke()
    return result, f"release {there.short} runs, but {problem}" if problem else ""


def smoke(project: Project, name: str, environ: Mapping[str, str]) -> str:
    """Return the reason why the environment ``name`` does not work; '' if it does.

    The output of pytest goes to standard error. Raises ``KeyboardInterrupt`` after pytest has ended.
    """
    rootdir = project.rootdir
    suites = [folder for folder in project.suites if (folder / SUITE).is_dir()]
    if not suites:
        return _unready(project, name, environ)
    try:
        check_environ(environ, rootdir)
        tolerances = project.tolerances
        expectations = load(folders_of(project.suites), tolerances, project.platform, rootdir=rootdir)
    except ConfigError as error:
        return f"its {SUITE} suite cannot be run: {str(error).removesuffix(' Nothing was deployed.')}"
    with tempfile.TemporaryDirectory(prefix="gaia-smoke-") as folder, DigestPipe() as pipe:
        record = Path(folder) / "record.jsonl"
        command = [
            *executed([str(each / SUITE) for each in suites]), f"--rootdir={rootdir}", f"--gaia-env={name}", f"--gaia-report-log={record}"
        ]  # fmt: skip
        variables = without_signing_key(environ) | pipe.variables
        # In this process group, so that Ctrl-C also reaches pytest. S603: no shell; the command is built here.
        with subprocess.Popen(  # noqa: S603
            command, cwd=rootdir, env=variables, stdout=_STANDARD_ERROR, pass_fds=pipe.inherited
        ) as pytest:
            code = exit_code_of(pytest)
        shown = _shown(record, pipe.reported(), name, expectations, tolerances[name])
    if code or shown:
        return f"its {SUITE} suite exited with {code}{f', and {shown}' if shown else ''}"
    return ""


def _shown(path: Path, reported: str, name: str, expectations: ExpectationSet, tolerance: Tolerance) -> str:
    """Return the reason why the results log of a run does not prove that it passed; '' if it does."""
    content = path.read_bytes() if path.is_file() else b""
    if not content or sha256_of(content) != reported:
        return "its results log is missing or was changed"
    try:
        record = decode_run(content, path)
    except ConfigError as error:
        return str(error)
    day = time_of(record.start.started).date()
    context = record.start.context(name, day, tolerance)
    evaluated = evaluate_run(record.start, record.tests, record.end, expectations, context)
    return "; ".join((evaluated.verdict.word, *evaluated.verdict.reasons)) if evaluated.exit_code else ""


def _unready(project: Project, name: str, environ: Mapping[str, str]) -> str:
    environment = resolve(Options(project=project, environ=environ, env=name))
    try:
        states = probe_services(environment, deadline=environment.timeouts.ready)
    except ConfigError as usage_error:
        return str(usage_error)
    absent = missing(environment, states)
    return "; ".join(f"{each.service} does not respond: {each.detail or each.state}" for each in absent)
