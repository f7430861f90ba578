"""``gaia rollback``: back to what was last seen to run well."""

from __future__ import annotations

from typing import Annotated

import typer

from pytest_gaia.cli.confirmation import confirm
from pytest_gaia.cli.deploy import carry_out
from pytest_gaia.cli.deployments import (
    AsJson,
    Confirm,
    DryRun,
    EnvironmentName,
    Services,
    target,
)
from pytest_gaia.run.interrupts import like_interrupts
from pytest_gaia.run.rollout_options import split_images, split_services

HELP = """\
Bring an environment back to what was last seen to run well there: the gateway first, then the backends.

\b
  gaia rollback staging
  gaia rollback staging --services auth --to registry.fly.io/gaia-auth-staging@sha256:…
  gaia rollback production --confirm production

Without --services it is what the last roll-out changed. The target is looked for in the journal beside gaia.toml
(.gaia/deployments), and where that knows none, among the releases of the deploy tool, which is said. Release commands
(migrations) are not run again. Production asks for its name to be typed, others for y; --confirm ENV answers for CI.

\b
Exit codes: 0 rolled back, or already there; 1 failed, phantom or split; 4 a mistake, nothing to go back to, or not
confirmed; 12 the deploy tool was rate-limited or did not answer; 13 somebody else is deploying there; 130 interrupted.
"""


def roll_back_environment(
    env: EnvironmentName,
    services: Services = None,
    to: Annotated[
        list[str] | None,
        typer.Option(metavar="[SERVICE=]IMAGE", help="Go back to this image instead; repeatable."),
    ] = None,
    confirmed: Confirm = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Find the targets, show them, ask, and roll back."""
    from pytest_gaia.run.rollback import plan_rollback
    from pytest_gaia.run.rollback_sight import sight

    there = target(env)
    names = split_services(services)
    hook = there.hook()
    with like_interrupts():
        rollout = plan_rollback(
            there.environment,
            there.deployment,
            sight(there.environment, hook, there.rootdir),
            rootdir=there.rootdir,
            services=names,
            targets=split_images(to, names, "--to"),
        )
    # What is about to run again, before anybody agrees to it; and no part of the result.
    for step in rollout.steps:
        typer.echo(f"{step.service} goes back to {step.image} ({step.origin})", err=True)
    if not dry_run:
        confirm(rollout.environment, f"Roll {rollout.environment} back", confirmed)
    carry_out(rollout, hook, dry_run=dry_run, as_json=as_json)
