"""``gaia deploy``, and the display of rollouts."""

import os
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from pytest_gaia.cli.app import CHOSEN
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
    confirm_production,
    refused_as_json,
    target,
)
from pytest_gaia.cli.output import echo_json, reader_may_leave, show_table
from pytest_gaia.cli.runs.testing import run_environment
from pytest_gaia.errors import ConfigError
from pytest_gaia.rollout.course import roll_out
from pytest_gaia.rollout.model import Progress, Rollout, RolloutInterrupted, RolloutResult, StepResult
from pytest_gaia.rollout.plan import plan_rollout, split_images, split_services
from pytest_gaia.system.signals import like_interrupts

HELP = """\
Deploy the services of an environment and verify each rollout.

\b
  gaia deploy staging
  gaia deploy staging --services auth,gateway --region fra
  gaia deploy staging --image auth=registry.fly.io/gaia-auth-dev@sha256:…
  gaia deploy staging --test smoke       then run the smoke tests
  gaia deploy staging --test -- -n 4     then run all tests, in 4 processes
  gaia deploy production --dry-run

Services are deployed in dependency order: nats and postgres, then auth, asset and chat, then the gateway. Each service
is verified before the next one starts; the first failure stops the deployment. Production asks for its name, or takes
--confirm production.

After a failure, the last line is the command that continues the deployment. A dry run fails if the deployment would be
refused; it does not contact the platform.

\b
Exit codes (with --test: those of pytest):
    0  deployed, or already up to date
    1  failed, not rolled out (the tool reported success), or mixed versions
    4  usage error, or not confirmed
   12  the deploy tool is rate-limited or unreachable
   13  another deployment is in progress
  130  interrupted
"""

app = typer.Typer()


@app.command("deploy", help=HELP)
@refused_as_json("deploy")
def deploy_environment(
    context: typer.Context,
    env: EnvironmentName,
    services: Services = None,
    region: Region = None,
    image: Images = None,
    rebuild: Rebuild = False,
    remote_only: RemoteOnly = True,
    test: Annotated[
        str | None,
        typer.Option("--test", metavar="[smoke|full]", help="Run the tests after the deployment; default: full"),
    ] = None,
    confirmed: Confirm = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Plan, ask for confirmation in production, and deploy."""
    if test is None and context.obj:
        raise ConfigError("arguments after `--` are passed to pytest; add --test to run the tests.")
    there = target(env)
    names = split_services(services)
    images = split_images(image, names, "--image")
    rollout = plan_rollout(
        there.environment,
        there.deployment,
        rootdir=there.rootdir,
        services=names,
        images=images,
        region=region,
        rebuild=rebuild,
        remote_only=remote_only,
        check=not dry_run or test is not None,
    )
    listed = ", ".join(step.service for step in rollout.steps)
    what = f"Deploy {listed} to {rollout.environment}" + (", and test it" if test else "")
    confirm_production(rollout.environment, there.environment.role, what, confirmed, dry_run=dry_run)
    if test is None:
        carry_out(there, rollout, dry_run=dry_run, as_json=as_json)
        return
    if as_json or not remote_only:
        raise ConfigError(f"{'--json' if as_json else '--no-remote-only'} cannot be combined with --test.")
    options = ["--gaia-deploy"]
    options += [f"--gaia-deploy-services={','.join(names)}"] if names else []
    options += [f"--gaia-deploy-image={service}={reference}" for service, reference in images.items()]
    options += [f"--gaia-deploy-region={region}"] if region else []
    options += ["--gaia-deploy-rebuild"] if rebuild else []
    run_environment(context, env, smoke=_is_smoke(test), options=options, dry_run=dry_run, project=there.project)


def _is_smoke(test: str) -> bool:
    if test not in ("smoke", "full"):
        raise ConfigError(f"--test {test}: unknown selection; use --test smoke or --test full.")
    return test == "smoke"


def carry_out(there: Target, rollout: Rollout, *, dry_run: bool, as_json: bool) -> None:
    """Roll out, show the result, and exit with its code."""
    if rollout.refused:
        typer.echo(f"gaia: {rollout.refused}", err=True)
    with like_interrupts():
        result = rolled_out(there, rollout, dry_run=dry_run)
    with reader_may_leave(sys.stdout):
        show_result(result, as_json=as_json)
    if not dry_run and there.project.ledger.may_have_entries(there.project.rootdir):
        # Imported here: it loads the gate, which most projects do not use on this machine.
        from pytest_gaia.promotion.promote.signing import recorded

        if note := recorded(there.project, result):
            typer.echo(f"gaia: {note}", err=True)
    raise typer.Exit(result.exit_code)


def rolled_out(there: Target, rollout: Rollout, *, dry_run: bool = False) -> RolloutResult:
    """Roll out with a display of the progress; return the result, also of an interrupted rollout."""
    try:
        with shown_progress() as progress:
            return roll_out(rollout, there.hook(), progress=progress, dry_run=dry_run)
    except RolloutInterrupted as interruption:
        return interruption.result


_DOING = {"deploy": "deploying", "rollback": "rolling back"}


@contextmanager
def shown_progress() -> Iterator[Progress]:
    """Yield the display of the progress for this terminal; none with ``-q``."""
    if CHOSEN.quiet:
        yield Progress()
        return
    if not sys.stderr.isatty() or os.environ.get("TERM") == "dumb":
        yield PlainProgress()
        return
    live = LiveProgress()
    with live.lines.display:
        yield live


class PlainProgress(Progress):
    """A line per event, and all lines of the tool."""

    def __init__(self) -> None:
        self._last: dict[str, str] = {}

    def begun(self, rollout: Rollout) -> None:
        """Print the services of the rollout."""
        names = ", ".join(step.service for step in rollout.steps)
        self._print(f"{rollout.environment}: {_DOING[rollout.action]} {names}")

    def waiting(self, service: str, text: str) -> None:
        """Print ``text``, unless it is the last text of this service."""
        if self._last.get(service) != text:
            self._last[service] = text
            self._print(f"{service}: {text}")

    def line(self, service: str, text: str) -> None:
        """Print it."""
        if text.strip():
            self._print(f"{service} | {text}")

    def ended(self, step: StepResult) -> None:
        """Print the outcome."""
        self._print(f"{step.service}: {ending(step)}")

    def note(self, text: str) -> None:
        """Print it."""
        self._print(f"note: {text}")

    @staticmethod
    def _print(text: str) -> None:
        with reader_may_leave(sys.stderr):
            typer.echo(text, err=True)


class LiveProgress(Progress):
    """A live line per service: the current step, and its duration."""

    def __init__(self) -> None:
        from pytest_gaia.cli.terminal import Lines

        self.lines = Lines()

    def begun(self, rollout: Rollout) -> None:
        """Show all services as pending."""
        self.lines.above(f"{rollout.environment}: {_DOING[rollout.action]}")
        self.lines.add([step.service for step in rollout.steps], "pending")

    def waiting(self, service: str, text: str) -> None:
        """Show it in the line of the service; the first text starts its clock."""
        self.lines.update(service, text)

    def line(self, service: str, text: str) -> None:
        """Show it until the next one."""
        if text.strip():
            self.waiting(service, text.strip())

    def ended(self, step: StepResult) -> None:
        """Stop the clock of the service."""
        self.lines.end(step.service, ending(step))

    def note(self, text: str) -> None:
        """Show it above."""
        self.lines.above(f"note: {text}")


_OUTCOMES = {
    "deployed_with_tool_error": "deployed, with an error of the tool",
    "in doubt": "interrupted",
    "not begun": "not started",
    "phantom": "not rolled out",
    "split": "mixed versions",
    "unavailable": "unreachable",
}
"""What is shown for outcomes whose stored name is not plain."""


def ending(step: StepResult) -> str:
    """Return the outcome of a service in one line."""
    version = f", version {step.version}" if step.version and step.good else ""
    return f"{_OUTCOMES.get(step.outcome, step.outcome)}{version}" + (f": {step.reason}" if step.reason else "")


_SHORT = 12
"""Characters of a digest in tables."""
_TAIL = 15
"""Last lines of a failed tool that are shown."""


def show_result(result: RolloutResult, *, as_json: bool) -> None:
    """Write the result of a rollout, or the commands of a dry run, to standard output."""
    if as_json:
        echo_json(document(result))
    elif result.dry_run:
        _show_commands(result)
    else:
        _show_steps(result)


def document(result: RolloutResult) -> dict[str, object]:
    """Return the result as plain values, with secrets masked."""
    return {
        "environment": result.environment,
        "action": result.action,
        "dry_run": result.dry_run,
        "good": result.good,
        "exit_code": result.exit_code,
        "started": result.started,
        "elapsed": round(result.elapsed, 3),
        "go_on": result.go_on or None,
        "notes": list(result.notes),
        "steps": [_step(step) for step in result.steps],
    }


def _step(step: StepResult) -> dict[str, object]:
    return {
        "service": step.service,
        "app": step.app,
        "outcome": step.outcome,
        "reason": step.reason or None,
        "release": step.version,
        "image": step.image,
        "digests": list(step.digests),
        "attempts": step.attempts,
        "elapsed": round(step.elapsed, 3),
        "commands": [list(command) for command in step.commands],
        "tail": list(step.tail),
    }


def _show_commands(result: RolloutResult) -> None:
    # One command may be for several services.
    for command in dict.fromkeys(command for step in result.steps for command in step.commands):
        typer.echo(shlex.join(command))
    for step in result.steps:
        if step.reason:
            # On stderr: standard output has commands only.
            typer.echo(f"# {step.service}: {step.reason}", err=True)


def _show_steps(result: RolloutResult) -> None:
    show_table(
        ("service", "app", "outcome", "version", "image", "seconds"), [_row(step, result) for step in result.steps]
    )
    # One run of the tool may have been for several services.
    for tail, services in _tails(result).items():
        for line in tail[-_TAIL:]:
            typer.echo(f"{', '.join(services)} | {line}", err=True)
    for step in result.steps:
        if step.reason:
            typer.echo(f"{step.service}: {step.reason}")
    if result.go_on:
        typer.echo(f"To continue: {result.go_on}")


def _tails(result: RolloutResult) -> dict[tuple[str, ...], list[str]]:
    """Return the last lines of the tool → the services that were not deployed."""
    found: dict[tuple[str, ...], list[str]] = {}
    for step in result.steps:
        if not step.good and step.tail:
            found.setdefault(step.tail, []).append(step.service)
    return found


def _row(step: StepResult, result: RolloutResult) -> tuple[str, ...]:
    digests = ", ".join(digest.removeprefix("sha256:")[:_SHORT] for digest in step.digests)
    version = "" if step.version is None else str(step.version)
    seconds = f"{step.elapsed:.0f}" if step.attempts else ""
    outcome = "rolled back" if (result.action, step.outcome) == ("rollback", "deployed") else step.outcome
    return step.service, step.app, _OUTCOMES.get(outcome, outcome), version, digests or (step.image or ""), seconds
