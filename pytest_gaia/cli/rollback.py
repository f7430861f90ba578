"""``gaia rollback``: back to what was last seen to run well."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from pytest_gaia.cli.confirmation import confirm
from pytest_gaia.cli.options import (
    AsJson,
    Confirm,
    DryRun,
    EnvironmentName,
    Services,
    refused_as_json,
    target,
)
from pytest_gaia.cli.rollback_bundle import (
    PLAN_HELP,
    REHEARSE_HELP,
    AcceptMigrations,
    bundle_plan,
    plan_rollback_of_bundle,
    rehearse_rollback,
)
from pytest_gaia.rollout.plan import split_images, split_services
from pytest_gaia.system.signals import like_interrupts

if TYPE_CHECKING:
    from pytest_gaia.cli.options import Target
    from pytest_gaia.rollout.model import Rollout

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

_DEFAULT = "environment"


class RollbackGroup(TyperGroup):
    """``gaia rollback ENV`` beside ``gaia rollback plan ENV``: any other first word belongs to the former."""

    # Any: the context's type is one of typer's private modules.
    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put the name of the command there where it is left out."""
        if not args or args[0] not in self.commands:
            args = [_DEFAULT, *args]
        return super().parse_args(ctx, args)


app = typer.Typer(name="rollback", help=HELP, cls=RollbackGroup)
app.command("plan", help=PLAN_HELP)(plan_rollback_of_bundle)
app.command("rehearse", help=REHEARSE_HELP)(rehearse_rollback)


@app.command(_DEFAULT, help=HELP, hidden=True)
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
    from pytest_gaia.cli.rollback_bundle import carry_out_recorded

    there = target(env)
    whole = not services and not to
    recorded = bundle_plan(there, whole=whole, accept_migrations=accept_migrations)
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
    from pytest_gaia.cli.deploy import carry_out

    carry_out(there, rollout, dry_run=dry_run, as_json=as_json)


def _by_journal(there: Target, services: list[str] | None, to: list[str] | None) -> Rollout:
    from pytest_gaia.rollout.rollback import plan_rollback

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
