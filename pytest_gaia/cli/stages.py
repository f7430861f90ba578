"""``gaia quick-test``, ``full-test`` and ``deploy-and-test``: a stage's checks, run by pytest."""

from __future__ import annotations

import os
import shlex
import sys
from typing import Annotated

import typer

from pytest_gaia.cli.confirmation import confirm, is_production
from pytest_gaia.cli.options import Confirm, EnvironmentName, Images, Rebuild, Region, Services, options_here, target
from pytest_gaia.cli.selection import select
from pytest_gaia.cli.testing import project_suites
from pytest_gaia.config.project import Project
from pytest_gaia.config.resolve import resolve
from pytest_gaia.rollout.plan import split_images, split_services

PASSED_ON = ("quick-test", "full-test", "deploy-and-test")
"""commands whose words after `--` go to pytest"""

_CODES = """\
What follows `--` goes to pytest. The exit code is pytest's: 0 passed, 1 failed, 4 a mistake, 11 not enough evidence,
12 the environment is out of reach.
"""

QUICK_HELP = f"""\
Ask an environment for its health, status, providers, models and caches.

What passes is PARTIAL, because it is a part of the suites: it cannot promote a release.

\b
  gaia quick-test staging
  gaia quick-test production -- -x

{_CODES}"""

FULL_HELP = f"""\
Run everything that an environment runs.

\b
  gaia full-test dev
  gaia full-test staging -- -n 4 --junitxml=staging.xml

{_CODES}"""

DEPLOY_HELP = f"""\
Deploy an environment, wait until it is ready, and run everything that it runs.

\b
  gaia deploy-and-test staging
  gaia deploy-and-test staging --services auth,gateway --quick
  gaia deploy-and-test production --confirm production

A deployment that fails ends it before the first test. {_CODES}"""

app = typer.Typer()

DryRun = Annotated[bool, typer.Option("--dry-run", help="Print the selection and run nothing.")]


@app.command("quick-test", help=QUICK_HELP)
def quick_test(context: typer.Context, env: EnvironmentName, dry_run: DryRun = False) -> None:
    """Become pytest, with the batch `all`."""
    _become_pytest(context, env, select("all", ()).options, dry_run=dry_run)


@app.command("full-test", help=FULL_HELP)
def full_test(context: typer.Context, env: EnvironmentName, dry_run: DryRun = False) -> None:
    """Become pytest, with nothing selected."""
    _become_pytest(context, env, (), dry_run=dry_run)


@app.command("deploy-and-test", help=DEPLOY_HELP)
def deploy_and_test(
    context: typer.Context,
    env: EnvironmentName,
    services: Services = None,
    region: Region = None,
    image: Images = None,
    rebuild: Rebuild = False,
    quick: Annotated[bool, typer.Option("--quick", help="Run what quick-test runs, not everything.")] = False,
    confirmed: Confirm = None,
    dry_run: DryRun = False,
) -> None:
    """Become pytest, which deploys first."""
    from pytest_gaia.rollout.plan import plan_rollout

    there = target(env)
    names = split_services(services)
    images = split_images(image, names, "--image")
    # Planned here as well, because whoever is asked to confirm it should know what it is.
    rollout = plan_rollout(
        there.environment, there.deployment, rootdir=there.rootdir, services=names, images=images, region=region,
        rebuild=rebuild,
    )  # fmt: skip
    if confirmed is not None or (not dry_run and is_production(env)):
        confirm(env, f"Deploy {', '.join(step.service for step in rollout.steps)} to {env}, and test it", confirmed)
    deploying = ["--gaia-deploy"]
    deploying += [f"--gaia-deploy-services={','.join(names)}"] if names else []
    deploying += [f"--gaia-deploy-image={service}={reference}" for service, reference in images.items()]
    deploying += [f"--gaia-deploy-region={region}"] if region else []
    deploying += ["--gaia-deploy-rebuild"] if rebuild else []
    selection = select("all", ()).options if quick else ()
    _become_pytest(context, env, (*deploying, *selection), dry_run=dry_run, project=there.project)


def _become_pytest(
    context: typer.Context, env: str, options: tuple[str, ...], *, dry_run: bool, project: Project | None = None
) -> None:
    here = options_here(env, project=project)
    resolve(here)
    words = (*project_suites(here.project), f"--gaia-env={env}", *options, *(context.obj or ()))
    typer.echo(shlex.join(("pytest", *words)))
    if not dry_run:
        sys.stdout.flush()
        # As in `gaia test`: in the place of this process, so that signals, the terminal and the exit code are pytest's
        # own. S606: no shell is meant to see the arguments.
        os.execv(sys.executable, [sys.executable, "-m", "pytest", *words])  # noqa: S606
