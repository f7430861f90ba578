"""``gaia rollback``: return an environment to its last good version, and record the rollback in the ledger."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, NoReturn

import typer

from pytest_gaia.cli.operate.deploy import carry_out, document, rolled_out, show_result, shown_progress
from pytest_gaia.cli.options import (
    AsJson,
    Confirm,
    DryRun,
    EnvironmentName,
    Services,
    Target,
    Yes,
    confirm,
    is_production,
    refused_as_json,
    target,
)
from pytest_gaia.cli.output import echo_json, reader_may_leave
from pytest_gaia.errors import ConfigError, GaiaError
from pytest_gaia.promotion.ledger.lock import renewed
from pytest_gaia.promotion.ledger.statements import NO_RELEASE, ROLLBACK, SHORT
from pytest_gaia.promotion.project import Promotion
from pytest_gaia.promotion.promote.child import check_environ
from pytest_gaia.promotion.promote.drill import run_drill, smoke
from pytest_gaia.promotion.promote.rollback import (
    RollbackPlan,
    gone_targets,
    plan_to_earlier,
    rollback_predicate,
    running_release,
)
from pytest_gaia.promotion.promote.signing import any_signer
from pytest_gaia.rollout.journal import who
from pytest_gaia.rollout.model import Rollout, RolloutInterrupted, RolloutResult
from pytest_gaia.rollout.plan import split_images, split_services
from pytest_gaia.rollout.rollback import plan_rollback
from pytest_gaia.system.signals import like_interrupts

HELP = """\
Return an environment to its last good version.

\b
  gaia rollback staging
  gaia rollback staging --dry-run     show the target and the commands
  gaia rollback staging --drill       roll back and forward again, as evidence
  gaia rollback staging -s auth --to registry.fly.io/gaia-auth@sha256:…
  gaia rollback production --confirm production

The gateway is rolled back first, then the backends. If the ledger knows the running release, the environment returns to
the last release that ran well, with the deploy files of that time; the release that it leaves is blocked from promotion.
Then the suite `health` runs. Otherwise the services of the last deployment return to the target in the deployment history
(.gaia/deployments next to gaia.toml) or in the history of the deploy tool. Release commands (migrations) do not run again.

--drill tests a rollback before you need it: the result in the ledger passes the check rollback-ready. Run it in the stage
before production.

\b
Exit codes:
    0  rolled back, or already there; --drill: both directions worked
    1  failed, not rolled out, mixed versions, or unhealthy
    4  usage error, no target, or not confirmed
   12  the deploy tool is rate-limited or unreachable
   13  another deployment is in progress
  130  interrupted
"""

app = typer.Typer()


@app.command("rollback", help=HELP)
@refused_as_json("rollback")
def roll_back_environment(
    env: EnvironmentName,
    services: Services = None,
    to: Annotated[
        list[str] | None,
        typer.Option(metavar="[SERVICE=]IMAGE", help="Return to this image; repeatable"),
    ] = None,
    accept_migrations: Annotated[
        bool, typer.Option("--accept-migrations", help="Roll back although the database has another migration")
    ] = False,
    release: Annotated[
        str | None,
        typer.Option(
            metavar="RELEASE", help="With --dry-run or --drill: the release to leave; default: the running one"
        ),
    ] = None,
    drill: Annotated[bool, typer.Option("--drill", help="Roll back and forward again; record the result")] = False,
    confirmed: Confirm = None,
    yes: Yes = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Find the target, show it, ask for confirmation, and roll back."""
    whole = not services and not to
    _check_options(release, drill=drill, dry_run=dry_run, whole=whole)
    there = target(env)
    if drill and not dry_run:
        _drill(there, release, accept_migrations=accept_migrations, as_json=as_json)
    recorded = None
    if drill or release is not None:
        plan: RollbackPlan | None = _plan(there, release, accept_migrations=accept_migrations)[1]
        notes = plan.notes if plan else ()
    else:
        recorded = release_plan(there, whole=whole, accept_migrations=accept_migrations)
        plan, notes = (recorded.plan, recorded.notes) if recorded else (None, ())
    rollout = plan.rollout if plan else _by_history(there, services, to)
    _show_targets(env, plan, rollout, notes)
    if confirmed is not None or not dry_run:
        confirm(rollout.environment, there.environment.role, f"Roll {rollout.environment} back", confirmed, yes=yes)
    if recorded is not None and not dry_run:
        carry_out_recorded(there, recorded, rollout, as_json=as_json)
        return
    carry_out(there, rollout, dry_run=dry_run, as_json=as_json)


def _check_options(release: str | None, *, drill: bool, dry_run: bool, whole: bool) -> None:
    if release is not None and not (drill or dry_run):
        raise ConfigError("--release needs --dry-run or --drill. A rollback always leaves the running release.")
    if drill and not whole:
        raise ConfigError("--drill rolls back a whole release; it cannot be combined with --services or --to.")


def _show_targets(env: str, plan: RollbackPlan | None, rollout: Rollout, notes: Sequence[str]) -> None:
    """Print on stderr what will run again; this is not part of the result."""
    if plan is not None:
        typer.echo(f"{env}: from release {plan.release.short} back to {plan.rollout.steps[0].origin}", err=True)
    for step in rollout.steps:
        typer.echo(f"{step.service} returns to {step.image} ({step.origin})", err=True)
    for note in notes:
        typer.echo(note, err=True)


@dataclass(frozen=True, slots=True)
class Recorded:
    """A rollback that is recorded in the ledger."""

    promotion: Promotion
    release: str
    """id of the release to leave"""
    plan: RollbackPlan | None
    """None if images are given by hand, or the ledger has no earlier release"""
    notes: tuple[str, ...]


def release_plan(there: Target, *, whole: bool, accept_migrations: bool) -> Recorded | None:
    """Return the rollback of ``there`` by the ledger; None if the ledger does not know the running release."""
    promotion, name = Promotion.of(there.project), there.environment.name
    if name not in promotion.stages:
        return None
    try:
        running = running_release(promotion, name)
    except ConfigError:
        if whole:
            raise
        # Images given by hand may be older than any release.
        return None
    if not running:
        return None
    note = f"release {running[:SHORT]} will be blocked from promotion"
    if not whole:
        return Recorded(promotion, running, None, (note,))
    plan = plan_to_earlier(
        promotion, there.environment, promotion.release(running), datetime.now(UTC), accept_migrations=accept_migrations
    )
    return Recorded(promotion, running, plan, (*(plan.notes if plan else ()), note))


def carry_out_recorded(there: Target, recorded: Recorded, rollout: Rollout, *, as_json: bool) -> None:
    """Roll back under the lock, record the result, run the smoke tests, and exit with the result's code."""
    promotion, name = recorded.promotion, there.environment.name
    with like_interrupts():
        # A rollback continues if the lock is lost; the release is blocked anyway.
        with renewed(promotion.lock(name, f"a rollback from {recorded.release[:SHORT]}"), lambda: None) as fence:
            result = rolled_out(there, rollout)
            unwritten = _write(recorded, result, fence)
        with reader_may_leave(sys.stdout):
            show_result(result, as_json=as_json)
        problem = smoke(promotion.project, name, promotion.environ) if result.good else ""
        problem = problem or unwritten
    if problem:
        typer.echo(f"gaia: {name} was rolled back, but {problem}", err=True)
    if result.exit_code or problem:
        raise typer.Exit(result.exit_code or 1)


def _drill(there: Target, release: str | None, *, accept_migrations: bool, as_json: bool) -> NoReturn:
    """Roll back and forward again, record the result in the ledger, and exit."""
    env = there.environment.name
    if is_production(env, there.environment.role):
        raise ConfigError(f"{env}: run a rollback drill in the stage before production. Nothing was changed.")
    promotion, plan = _plan(there, release, accept_migrations=accept_migrations)
    check_environ(promotion.environ, promotion.rootdir)
    try:
        with like_interrupts(), shown_progress() as progress:
            done = run_drill(
                promotion, there.environment, plan, there.hook(),
                lambda: smoke(promotion.project, env, promotion.environ), progress,
            )  # fmt: skip
    except RolloutInterrupted as interruption:
        show_result(interruption.result, as_json=as_json)
        raise typer.Exit(interruption.result.exit_code) from None
    if as_json:
        legs = {"back": document(done.back), "forth": document(done.forth)}
        echo_json({**legs, "problem": done.problem, "exit_code": done.exit_code, "entry": done.entry.sequence})
    else:
        show_result(done.back, as_json=False)
        show_result(done.forth, as_json=False)
    result = done.problem or f"{env} returned to release {plan.target.short} and forward again to {plan.release.short}"
    typer.echo(f"{result}; recorded as entry {done.entry.sequence} of the ledger", err=True)
    raise typer.Exit(done.exit_code)


def _plan(there: Target, release: str | None, *, accept_migrations: bool) -> tuple[Promotion, RollbackPlan]:
    promotion, name = Promotion.of(there.project), there.environment.name
    prefix = release or running_release(promotion, name)
    if not prefix:
        raise ConfigError(
            f"the ledger has no release that runs in {name}. Name it with --release RELEASE, promote one with "
            f"`gaia promote {name} RELEASE`, or use the deployment history: gaia rollback {name} --dry-run"
        )
    found = promotion.release(prefix)
    plan = plan_to_earlier(promotion, there.environment, found, datetime.now(UTC), accept_migrations=accept_migrations)
    if plan is None:
        gone = "".join(f" {why}." for why in gone_targets(promotion.ledger.entries(), name).values())
        raise ConfigError(
            f"the ledger has no release before {found.short} that ran well in {name} and was not rolled back, so there is "
            f"no rollback target.{gone} For a first release, waive the check: gaia release waive {found.short} "
            "rollback-ready --help"
        )
    return promotion, plan


def _write(recorded: Recorded, result: RolloutResult, fence: int) -> str:
    """Record the rollback in the ledger; return why this failed, empty if it did not."""
    promotion = recorded.promotion
    if all(step.outcome == "not begun" for step in result.steps):
        return ""
    try:
        signers = any_signer(promotion)
    except GaiaError as problem:
        # A rollback must not wait for a key, and a signed ledger takes no entry without a signature.
        return (
            f"the rollback is not recorded in the ledger, so release {recorded.release[:SHORT]} is not blocked yet: "
            f"{problem} Run the command again afterwards"
        )
    goal = recorded.plan.target.id if recorded.plan else NO_RELEASE
    predicate = rollback_predicate(
        recorded.release, goal, result, reason=f"rolled back by {who()}", now=datetime.now(UTC), fence=fence
    )
    release = promotion.release(recorded.release)
    promotion.ledger.append(ROLLBACK, release.subjects(), predicate, signers=signers)
    return ""


def _by_history(there: Target, services: list[str] | None, to: list[str] | None) -> Rollout:
    names = split_services(services)
    with like_interrupts():
        return plan_rollback(
            there.environment,
            there.deployment,
            there.hook(),
            rootdir=there.rootdir,
            services=names,
            targets=split_images(to, names, "--to"),
        )
