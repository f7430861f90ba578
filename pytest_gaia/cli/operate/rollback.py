"""``gaia rollback``: back to what was last seen to run well; planned, rehearsed, and written into the ledger."""

import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated

import typer

from pytest_gaia.cli.asking import confirm, is_production
from pytest_gaia.cli.operate.deploy import carry_out, document, rolled_out, show_result, shown_progress
from pytest_gaia.cli.options import (
    AsJson,
    Confirm,
    DefaultGroup,
    DryRun,
    EnvironmentName,
    Services,
    Target,
    refused_as_json,
    target,
)
from pytest_gaia.cli.output import echo_json, reader_may_leave
from pytest_gaia.errors import ConfigError, GaiaError
from pytest_gaia.promotion.ledger.lock import renewed
from pytest_gaia.promotion.ledger.statements import NO_RELEASE, ROLLBACK, SHORT
from pytest_gaia.promotion.project import Promotion
from pytest_gaia.promotion.promote.child import check_environ
from pytest_gaia.promotion.promote.rehearsal import rehearse, smoke
from pytest_gaia.promotion.promote.rollback import (
    RollbackPlan,
    gone_targets,
    plan_to_earlier,
    rollback_predicate,
    running_release,
)
from pytest_gaia.promotion.promote.signers import any_signer
from pytest_gaia.rollout.course import roll_out
from pytest_gaia.rollout.journal import who
from pytest_gaia.rollout.model import Rollout, RolloutInterrupted, RolloutResult
from pytest_gaia.rollout.plan import split_images, split_services
from pytest_gaia.rollout.rollback import plan_rollback
from pytest_gaia.system.signals import like_interrupts

PLAN_HELP = """\
Show where an environment would go back to, by the ledger, and the exact commands. Nothing is changed.

\b
  gaia rollback plan production
  gaia rollback plan staging --bundle 3f9a1c     from this bundle, whatever runs there now

Exit codes: 0 there is a plan; 4 there is none, and why.
"""

REHEARSE_HELP = """\
Try the rollback before it is needed: back to the last bundle that ran well there, and forward again. Each time what runs
is observed, and the suite `health` is run. The result goes into the ledger, for the item rollback-ready.

\b
  gaia rollback rehearse staging --bundle 3f9a1c

\b
Exit codes: 0 both ways worked; 1 one failed; 4 a mistake, nothing to go back to, or the environment runs something else;
12 the deploy tool was rate-limited or did not answer; 13 somebody else is deploying there; 130 interrupted.
"""

HELP = """\
Bring an environment back to what was last seen to run well there: the gateway first, then the backends.

\b
  gaia rollback staging
  gaia rollback staging --services auth --to registry.fly.io/gaia-auth-staging@sha256:…
  gaia rollback production --confirm production
  gaia rollback plan production                       where to, and the exact commands; changes nothing
  gaia rollback rehearse staging --bundle 3f9a1c      back and forward again, as evidence for the gate

Where the ledger shows which bundle runs, it goes back as a whole to the last one that ran well there, with the deploy
files of then, and the one that it leaves is quarantined: no gate lets it through again. Afterwards the suite `health` runs.

Elsewhere, without --services, it is what the last roll-out changed. The target is looked for in the journal beside
gaia.toml (.gaia/deployments), and where that knows none, among the releases of the deploy tool, which is said. Release
commands (migrations) are not run again. Production asks for its name to be typed, others for y; --confirm ENV answers for CI.

\b
Exit codes: 0 rolled back, or already there; 1 failed, phantom or split, or it does not work; 4 a mistake, nothing to go
back to, or not confirmed; 12 the deploy tool was rate-limited or did not answer; 13 somebody else is deploying there;
130 interrupted.
"""

app = typer.Typer(name="rollback", help=HELP, cls=DefaultGroup)

AcceptMigrations = Annotated[
    bool, typer.Option("--accept-migrations", help="Go back although the database is at another migration.")
]
FromRelease = Annotated[
    str | None, typer.Option("--bundle", metavar="ID", help="The bundle that is left; by default the one that runs.")
]


@dataclass(frozen=True, slots=True)
class Recorded:
    """A rollback that goes into the ledger."""

    promotion: Promotion
    release: str
    """id of the bundle that is left"""
    plan: RollbackPlan | None
    """None where images are named by hand, or the ledger shows no earlier bundle"""
    notes: tuple[str, ...]


def release_plan(there: Target, *, whole: bool, accept_migrations: bool) -> Recorded | None:
    """Return what the ledger knows of a rollback of ``there``; None where it does not know which bundle runs."""
    promotion, name = Promotion.of(there.project), there.environment.name
    if name not in promotion.stages:
        return None
    try:
        running = running_release(promotion, name)
    except ConfigError:
        if whole:
            raise
        # Images that are named go further back than any bundle.
        return None
    if not running:
        return None
    quarantine = f"bundle {running[:SHORT]} will be quarantined: no gate lets it through again"
    if not whole:
        return Recorded(promotion, running, None, (quarantine,))
    plan = plan_to_earlier(
        promotion, there.environment, promotion.release(running), datetime.now(UTC), accept_migrations=accept_migrations
    )
    return Recorded(promotion, running, plan, (*(plan.notes if plan else ()), quarantine))


def carry_out_recorded(there: Target, recorded: Recorded, rollout: Rollout, *, as_json: bool) -> None:
    """Roll back under the lock, write it down whatever came of it, look whether it works, and end with the exit code."""
    promotion, name = recorded.promotion, there.environment.name
    with like_interrupts():
        # A lock that is lost stops no rollback; the quarantine holds whoever has it.
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


@app.command("plan", help=PLAN_HELP)
@refused_as_json("rollback", flag="")
def plan_rollback_of_release(
    env: EnvironmentName,
    release: FromRelease = None,
    accept_migrations: AcceptMigrations = False,
    as_json: AsJson = False,
) -> None:
    """Plan, and show the commands."""
    there = target(env)
    _, plan = _plan(there, release, accept_migrations=accept_migrations)
    typer.echo(f"{env}: from bundle {plan.release.short} back to {plan.rollout.steps[0].origin}", err=True)
    for note in plan.notes:
        typer.echo(note, err=True)
    result = roll_out(plan.rollout, there.hook(), dry_run=True)
    show_result(result, as_json=as_json)
    raise typer.Exit(result.exit_code)


@app.command("rehearse", help=REHEARSE_HELP)
def rehearse_rollback(
    env: EnvironmentName,
    release: FromRelease = None,
    accept_migrations: AcceptMigrations = False,
    as_json: AsJson = False,
) -> None:
    """Go back and forward again, and write what came of it."""
    if is_production(env):
        raise ConfigError(f"{env}: a rollback is rehearsed in the stage before it, not there. Nothing was changed.")
    there = target(env)
    promotion, plan = _plan(there, release, accept_migrations=accept_migrations)
    check_environ(promotion.environ, promotion.rootdir)
    try:
        with like_interrupts(), shown_progress() as progress:
            done = rehearse(
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
    said = done.problem or f"{env} went back to bundle {plan.target.short}, and forward again to {plan.release.short}"
    typer.echo(f"{said}; written as entry {done.entry.sequence} of the ledger", err=True)
    raise typer.Exit(done.exit_code)


def _plan(there: Target, release: str | None, *, accept_migrations: bool) -> tuple[Promotion, RollbackPlan]:
    promotion, name = Promotion.of(there.project), there.environment.name
    prefix = release or running_release(promotion, name)
    if not prefix:
        raise ConfigError(
            f"the ledger does not say which bundle {name} runs. Name it (--bundle ID), promote one (gaia promote {name} "
            f"--bundle ID), or go by the journal: gaia rollback {name} --dry-run."
        )
    found = promotion.release(prefix)
    plan = plan_to_earlier(promotion, there.environment, found, datetime.now(UTC), accept_migrations=accept_migrations)
    if plan is None:
        gone = "".join(f" {why}." for why in gone_targets(promotion, name).values())
        raise ConfigError(
            f"the ledger shows no bundle before {found.short} that ran well in {name} and was never rolled back: there is "
            f"nothing to go back to.{gone} Of the first release, `gaia waive rollback-ready --help` tells what can be said."
        )
    return promotion, plan


def _write(recorded: Recorded, result: RolloutResult, fence: int) -> str:
    """Write the rollback into the ledger; return why it could not be, which nobody but this machine knows then."""
    promotion = recorded.promotion
    if all(step.outcome == "not begun" for step in result.steps):
        return ""
    try:
        signers = any_signer(promotion)
    except GaiaError as problem:
        # A rollback does not wait for a key, and an entry without a signature would end a signed ledger.
        return f"this is not in the ledger, so bundle {recorded.release[:SHORT]} is not quarantined yet: {problem} Run it again then"
    goal = recorded.plan.target.id if recorded.plan else NO_RELEASE
    says = rollback_predicate(
        recorded.release, goal, result, why=f"rolled back by {who()}", now=datetime.now(UTC), fence=fence
    )
    release = promotion.release(recorded.release)
    promotion.ledger.append(ROLLBACK, release.subjects(), says, signers=signers)
    return ""


@app.command("environment", help=HELP, hidden=True)
@refused_as_json("rollback")
def roll_back_environment(
    env: EnvironmentName,
    services: Services = None,
    to: Annotated[
        list[str] | None,
        typer.Option(metavar="[SERVICE=]IMAGE", help="Go back to this image instead; repeatable."),
    ] = None,
    accept_migrations: AcceptMigrations = False,
    confirmed: Confirm = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Find the targets, show them, ask, and roll back."""

    there = target(env)
    whole = not services and not to
    recorded = release_plan(there, whole=whole, accept_migrations=accept_migrations)
    rollout = recorded.plan.rollout if recorded and recorded.plan else _by_journal(there, services, to)
    # What is about to run again, before anybody agrees to it; and no part of the result.
    for step in rollout.steps:
        typer.echo(f"{step.service} goes back to {step.image} ({step.origin})", err=True)
    for note in recorded.notes if recorded else ():
        typer.echo(note, err=True)
    if confirmed is not None or not dry_run:
        confirm(rollout.environment, f"Roll {rollout.environment} back", confirmed)
    if recorded is not None and not dry_run:
        carry_out_recorded(there, recorded, rollout, as_json=as_json)
        return
    carry_out(there, rollout, dry_run=dry_run, as_json=as_json)


def _by_journal(there: Target, services: list[str] | None, to: list[str] | None) -> Rollout:
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
