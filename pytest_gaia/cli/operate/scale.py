"""``gaia scale``: the number of machines of a service on Fly, and their memory."""

import shlex
from collections.abc import Sequence
from typing import Annotated

import typer

from pytest_gaia.cli.options import (
    INTERRUPTED,
    AsJson,
    Confirm,
    DryRun,
    EnvironmentName,
    Target,
    complete_service,
    confirm,
    is_production,
    refused_as_json,
    target,
)
from pytest_gaia.cli.output import echo_error, echo_json, show_table
from pytest_gaia.config.deployfiles.model import App
from pytest_gaia.deploy.contract import Observation
from pytest_gaia.deploy.fly.operations import scale
from pytest_gaia.errors import ConfigError
from pytest_gaia.rollout.plan import apps_of, choose, settings_of
from pytest_gaia.system.signals import like_interrupts

HELP = """\
Set the number of machines of a service on Fly, or their memory.

\b
  gaia scale staging gateway --count 2
  gaia scale production chat --memory 4096 --confirm production

With several process groups, the one that serves is scaled. The deploy file is not changed. The next deployment applies its memory again, so change the file as well.

\b
Exit codes:
   0  done
   1  the deploy tool failed
   4  usage error, or not confirmed
  12  the deploy tool is rate-limited or unreachable
"""

app = typer.Typer()


@app.command("scale", help=HELP)
@refused_as_json("scale")
def scale_service(
    env: EnvironmentName,
    service: Annotated[
        str,
        typer.Argument(metavar="SERVICE", help="The service", show_default=False, autocompletion=complete_service),
    ],
    count: Annotated[int | None, typer.Option(metavar="N", min=1, help="Number of machines")] = None,
    memory: Annotated[int | None, typer.Option(metavar="MB", min=256, help="Memory of each machine, in MB")] = None,
    region: Annotated[str | None, typer.Option(metavar="REGION", help="Count the machines of this region only")] = None,
    confirmed: Confirm = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Scale, and show the machines."""
    if count is None and memory is None:
        raise ConfigError("nothing to scale. Pass --count N, --memory MB, or both.")
    there = target(env)
    app, role = fly_app(there, service, "scaled"), there.environment.role
    what = " and ".join(text for text in (count and f"{count} machines", memory and f"{memory} MB each") if text)
    if confirmed is not None or (not dry_run and is_production(app.environment, role)):
        confirm(env, role, f"Set {app.name} to {what}", confirmed)
    try:
        with like_interrupts():
            reply = scale(
                app.name,
                count=count,
                memory=memory,
                region=region,
                group=app.serving_group,
                dry_run=dry_run,
                log=echo_error,
            )
    except KeyboardInterrupt:
        typer.echo(f"Interrupted. To see the machines of {app.name}, run: gaia status {env}", err=True)
        raise typer.Exit(INTERRUPTED) from None
    if as_json:
        end = {"dry_run": dry_run, "good": True, "exit_code": 0, "notes": []}
        echo_json(_document(env, service, app, reply.commands, reply.observation) | end)
    elif dry_run:
        for command in reply.commands:
            typer.echo(shlex.join(command))
    elif reply.observation is not None:
        _show(reply.observation)


def fly_app(there: Target, service: str, done: str) -> App:
    """Return the app of ``service`` on Fly; ``done`` names the operation for the message. Raises ``ConfigError``."""
    environment = there.environment
    settings = settings_of(environment)
    if settings.hook != "fly" or there.deployment is None:
        raise ConfigError(
            f"{environment.name} is deployed by the hook {settings.hook!r}. Only services on Fly can be {done}. Change its "
            f"deploy files, and run: gaia deploy {environment.name}"
        )
    apps = apps_of(there.deployment)
    (name,) = choose(environment, there.deployment, apps, [service])
    return apps[name]


def _document(
    environment: str, service: str, app: App, commands: Sequence[Sequence[str]], seen: Observation | None
) -> dict[str, object]:
    machines = [] if seen is None else seen.machines
    return {
        "environment": environment,
        "service": service,
        "app": app.name,
        "commands": [list(command) for command in commands],
        "machines": [
            {
                "id": each.id,
                "group": each.group,
                "state": each.state,
                "region": each.region,
                "memory_mb": each.memory_mb,
            }
            for each in machines
        ],
    }


def _show(seen: Observation) -> None:
    rows = [
        (seen.app, each.id, each.group, each.state, each.region or "", f"{each.memory_mb} MB" if each.memory_mb else "")
        for each in seen.machines
    ]
    show_table(("app", "machine", "group", "state", "region", "memory"), rows)
