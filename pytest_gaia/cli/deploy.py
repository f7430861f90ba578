"""``gaia deploy``: an environment's services in their order, each observed and judged."""

from __future__ import annotations

import sys

import typer

from pytest_gaia.cli.confirmation import confirm, is_production
from pytest_gaia.cli.options import (
    AsJson,
    Confirm,
    DryRun,
    EnvironmentName,
    Images,
    Rebuild,
    Region,
    RemoteOnly,
    Services,
    Target,
    refused_as_json,
    target,
)
from pytest_gaia.cli.output import reader_may_leave
from pytest_gaia.rollout.model import Rollout
from pytest_gaia.rollout.plan import split_images, split_services

HELP = """\
Deploy an environment: nats and postgres first, then auth, asset and chat, then the gateway.

\b
  gaia deploy staging
  gaia deploy staging --services auth,gateway --region fra
  gaia deploy staging --image auth=registry.fly.io/gaia-auth-dev@sha256:…
  gaia deploy production --dry-run

Each service is observed, deployed, observed until what is wanted runs everywhere, and judged; the first that fails
ends it. Production asks for its name to be typed, or for --confirm production.

\b
Exit codes: 0 deployed, or already there; 1 failed, phantom (the tool said that it is done, and it is not) or split
(different images run); 4 a mistake; 12 the deploy tool was rate-limited or did not answer; 13 somebody else is
deploying there; 130 interrupted. After all but 0 the command that goes on is printed. A dry run ends with 4 where the
deployment would be refused; it asks no platform, so what that would answer is not known.
"""

app = typer.Typer()


@app.command("deploy", help=HELP)
@refused_as_json("deploy")
def deploy_environment(
    env: EnvironmentName,
    services: Services = None,
    region: Region = None,
    image: Images = None,
    rebuild: Rebuild = False,
    remote_only: RemoteOnly = True,
    confirmed: Confirm = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Plan, ask where production is meant, and roll out."""
    from pytest_gaia.rollout.plan import plan_rollout

    there = target(env)
    names = split_services(services)
    rollout = plan_rollout(
        there.environment,
        there.deployment,
        rootdir=there.rootdir,
        services=names,
        images=split_images(image, names, "--image"),
        region=region,
        rebuild=rebuild,
        remote_only=remote_only,
        check=not dry_run,
    )
    if confirmed is not None or (not dry_run and is_production(rollout.environment)):
        listed = ", ".join(step.service for step in rollout.steps)
        confirm(rollout.environment, f"Deploy {listed} to {rollout.environment}", confirmed)
    carry_out(there, rollout, dry_run=dry_run, as_json=as_json)


def carry_out(there: Target, rollout: Rollout, *, dry_run: bool, as_json: bool) -> None:
    """Roll out, show how far it came, and end with its exit code."""
    from pytest_gaia.cli.progress import shown_progress
    from pytest_gaia.cli.rollout_shown import show_result
    from pytest_gaia.promotion.promote.witness import recorded
    from pytest_gaia.rollout.course import roll_out
    from pytest_gaia.rollout.model import RolloutInterrupted
    from pytest_gaia.system.signals import like_interrupts

    if rollout.refused:
        typer.echo(f"gaia: {rollout.refused}", err=True)
    try:
        with like_interrupts(), shown_progress() as progress:
            result = roll_out(rollout, there.hook(), progress=progress, dry_run=dry_run)
    except RolloutInterrupted as interruption:
        result = interruption.result
    with reader_may_leave(sys.stdout):
        show_result(result, as_json=as_json)
    if not dry_run and (said := recorded(there.project, result)):
        typer.echo(f"gaia: {said}", err=True)
    if result.exit_code:
        raise typer.Exit(result.exit_code)
