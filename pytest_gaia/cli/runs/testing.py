"""``gaia test``, ``quick-test``, ``full-test`` and ``deploy-and-test``: a selection of checks, run by pytest."""

import os
import shlex
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from pytest_gaia.cli.asking import confirm_production
from pytest_gaia.cli.options import (
    Confirm,
    EnvironmentName,
    Images,
    Rebuild,
    Region,
    Services,
    environment_option,
    options_here,
    target,
)
from pytest_gaia.cli.runs.old_commands import BATCHES, COMMANDS, environment_options, select
from pytest_gaia.config.project import Project
from pytest_gaia.config.resolve import resolve
from pytest_gaia.errors import ConfigError
from pytest_gaia.rollout.plan import plan_rollout, split_images, split_services

HELP = """\
Run the checks that stand for a command of the old test.sh, and print the pytest selection.

\b
  gaia test health
  gaia test --prod chat "Test"
  gaia test --staging provider-models openai
  gaia test --url http://localhost:8666 all
  gaia test --dev personas-all -- -x --junitxml=personas.xml

Without a flag the environment is that of every run: GAIA_ENV, gaia.toml, or the sandbox. What follows `--` goes to
pytest. The exit code is pytest's: 0 passed, 1 failed, 4 a mistake, 11 nothing passed, 12 the environment is out of reach.
What passes is PARTIAL, because it is a part of the suites: it cannot promote a release.
"""

app = typer.Typer()

DryRun = Annotated[bool, typer.Option("--dry-run", help="Print the selection and run nothing.")]

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


def complete_command(incomplete: str) -> list[str]:
    """Return the commands and batches that begin with ``incomplete``, for shell completion."""
    return [name for name in (*COMMANDS, *BATCHES) if name.startswith(incomplete)]


def commands_help() -> str:
    """Return the list of commands as it stands below the options: by suite."""
    suites = dict.fromkeys(command.suite for command in COMMANDS.values())
    rows = [
        (suite, [" ".join((name, *each.arguments)) for name, each in COMMANDS.items() if each.suite == suite])
        for suite in suites
    ]
    text = [f"{suite + ':':13}{', '.join(names)}" for suite, names in (*rows, ("batches", list(BATCHES)))]
    wrap = textwrap.TextWrapper(76, initial_indent="  ", subsequent_indent=" " * 15, break_on_hyphens=False)
    return "\n".join(["\b", "Commands, by suite:", *(line for each in text for line in wrap.wrap(each))])


@app.command("test", help=HELP, epilog=commands_help())
def run_command(
    context: typer.Context,
    command: Annotated[
        str, typer.Argument(metavar="COMMAND", help="A command or a batch.", autocompletion=complete_command)
    ],
    arguments: Annotated[list[str] | None, typer.Argument(metavar="ARG", help="What the command takes.")] = None,
    local: Annotated[bool, typer.Option("--local", help="Test local.")] = False,
    dev: Annotated[bool, typer.Option("--dev", help="Test dev.")] = False,
    staging: Annotated[bool, typer.Option("--staging", help="Test staging.")] = False,
    prod: Annotated[bool, typer.Option("--prod", "--production", help="Test production.")] = False,
    url: Annotated[str | None, typer.Option(metavar="URL", help="Test whatever answers there; read-only.")] = None,
    env: Annotated[str | None, environment_option("Test this environment.")] = None,
    dry_run: DryRun = False,
) -> None:
    """Print the selection and become pytest."""
    flags = {"local": local, "dev": dev, "staging": staging, "prod": prod}
    selection = select(command, arguments or [])
    before = (*project_suites(), *environment_options(flags, url, env))
    _become_pytest(context, before, selection.options, selection.shown, dry_run=dry_run)


def project_suites(project: Project | None = None) -> tuple[str, ...]:
    """Return the folders of the project's suites as this folder sees them, and the root where it is another folder."""
    here = Path.cwd()
    project = project or Project.around(here)
    root = project.rootdir
    if not project.suites:
        problem = "gaia.toml names no suites" if project.path else "there is no gaia.toml here or in a folder above"
        raise ConfigError(f'{problem}, so there is nothing to run. Name the suites there: [gaia] suites = ["suites"].')
    folders = tuple(os.path.relpath(suite, here) for suite in project.suites)
    return folders if root == here else (*folders, f"--rootdir={os.path.relpath(root, here)}")


@app.command("quick-test", help=QUICK_HELP)
def quick_test(context: typer.Context, env: EnvironmentName, dry_run: DryRun = False) -> None:
    """Become pytest, with the batch `all`."""
    _test(context, env, select("all", ()).options, dry_run=dry_run)


@app.command("full-test", help=FULL_HELP)
def full_test(context: typer.Context, env: EnvironmentName, dry_run: DryRun = False) -> None:
    """Become pytest, with nothing selected."""
    _test(context, env, (), dry_run=dry_run)


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
    there = target(env)
    names = split_services(services)
    images = split_images(image, names, "--image")
    # Planned here as well, because whoever is asked to confirm it should know what it is.
    rollout = plan_rollout(
        there.environment, there.deployment, rootdir=there.rootdir, services=names, images=images, region=region,
        rebuild=rebuild,
    )  # fmt: skip
    listed = ", ".join(step.service for step in rollout.steps)
    confirm_production(env, f"Deploy {listed} to {env}, and test it", confirmed, dry_run=dry_run)
    deploying = ["--gaia-deploy"]
    deploying += [f"--gaia-deploy-services={','.join(names)}"] if names else []
    deploying += [f"--gaia-deploy-image={service}={reference}" for service, reference in images.items()]
    deploying += [f"--gaia-deploy-region={region}"] if region else []
    deploying += ["--gaia-deploy-rebuild"] if rebuild else []
    selection = select("all", ()).options if quick else ()
    _test(context, env, (*deploying, *selection), dry_run=dry_run, project=there.project)


def _test(
    context: typer.Context, env: str, options: tuple[str, ...], *, dry_run: bool, project: Project | None = None
) -> None:
    here = options_here(env, project=project)
    resolve(here)
    _become_pytest(context, (*project_suites(here.project), f"--gaia-env={env}"), options, options, dry_run=dry_run)


def _become_pytest(
    context: typer.Context, before: Sequence[str], options: Sequence[str], shown: Sequence[str], *, dry_run: bool
) -> None:
    """Print the command line, with ``shown`` in the place of ``options``, and become that pytest."""
    after = tuple(context.obj or ())
    typer.echo(shlex.join(("pytest", *before, *shown, *after)))
    if not dry_run:
        sys.stdout.flush()
        # In the place of this process: signals, the terminal and the exit code are then pytest's own. S606: no shell
        # is meant to see the arguments.
        os.execv(sys.executable, [sys.executable, "-m", "pytest", *before, *options, *after])  # noqa: S606
