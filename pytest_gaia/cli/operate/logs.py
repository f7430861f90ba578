"""``gaia logs``: what the services of an environment have written lately."""

from collections.abc import Callable
from typing import Annotated

import typer

from pytest_gaia.cli.options import EnvironmentName, Target, complete_service, target
from pytest_gaia.cli.output import echo_error, echo_json
from pytest_gaia.config.deployfiles.model import App
from pytest_gaia.deploy.compose import hook as compose_logs
from pytest_gaia.deploy.fly import operations as fly_operations
from pytest_gaia.deploy.fly.shapes import LogLine
from pytest_gaia.errors import ConfigError
from pytest_gaia.rollout.plan import apps_of, choose, settings_of
from pytest_gaia.system.signals import like_interrupts

HELP = """\
Show what the services of an environment have written lately, secrets masked.

\b
  gaia logs staging
  gaia logs staging auth --follow
  gaia logs local gateway
  gaia logs production --json | jq .message

With --json, one JSON object a line. Ctrl-C ends --follow.

\b
Exit codes: 0 done, 1 the tool failed, 4 a mistake, 12 the tool was rate-limited or did not answer.
"""

app = typer.Typer()


@app.command("logs", help=HELP)
def show_logs(
    env: EnvironmentName,
    service: Annotated[
        str | None,
        typer.Argument(
            metavar="SERVICE", help="One service; without it, each in turn.", autocompletion=complete_service
        ),
    ] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until Ctrl-C; takes one service.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Write one JSON object a line.")] = False,
) -> None:
    """Write the lines to standard output, and what the tool says of itself to standard error."""
    there = target(env)
    apps = _apps(there, service)
    if follow and len(apps) > 1:
        names = ", ".join(app.service for app in apps)
        raise ConfigError(f"--follow takes one service: gaia logs {env} SERVICE --follow, with one of {names}.")
    try:
        with like_interrupts():
            for app in apps:
                _show(there, app, follow=follow, as_json=as_json)
    except KeyboardInterrupt:
        # The way to end --follow, and so no failure.
        return


def _apps(there: Target, service: str | None) -> list[App]:
    environment = there.environment
    if settings_of(environment).hook not in ("fly", "compose") or there.deployment is None:
        raise ConfigError(
            f"{environment.name} is deployed by the hook {settings_of(environment).hook!r}, which tells of no logs; "
            "only those of apps on Fly and of compose services can be shown."
        )
    apps = apps_of(there.deployment)
    return [apps[name] for name in choose(environment, there.deployment, apps, [service] if service else ["all"])]


def _show(there: Target, app: App, *, follow: bool, as_json: bool) -> None:
    write = _writer(app, as_json=as_json)
    if there.deployment is not None and there.deployment.source == "compose":
        name = there.environment.name
        compose_logs.logs(
            app.path, app.name, name, lambda text: write(LogLine(message=text)), follow=follow, log=echo_error
        )
        return
    fly_operations.logs(app.name, write, follow=follow, log=echo_error)


def _writer(app: App, *, as_json: bool) -> Callable[[LogLine], None]:
    return (lambda line: echo_json(_document(app, line), indent=None)) if as_json else lambda line: _echo(app, line)


def _document(app: App, line: LogLine) -> dict[str, str | None]:
    return {
        "service": app.service,
        "app": app.name,
        "time": line.timestamp or None,
        "level": line.level or None,
        "machine": line.instance or None,
        "region": line.region or None,
        "message": line.message,
    }


def _echo(app: App, line: LogLine) -> None:
    typer.echo(" ".join(part for part in (app.service, line.timestamp, line.level, line.message) if part))
