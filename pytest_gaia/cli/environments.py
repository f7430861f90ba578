"""``gaia env``: which environments there are, and what each is made of."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pytest_gaia.cli.settings import described, plain
from pytest_gaia.cli.tables import show_table
from pytest_gaia.config.options import Options
from pytest_gaia.config.project import Project
from pytest_gaia.config.resolve import resolve, resolve_each
from pytest_gaia.config.secrets import mask_url
from pytest_gaia.errors import GaiaError, NotConfigured

if TYPE_CHECKING:
    from pytest_gaia.config.environment import Environment

app = typer.Typer(name="env", help="Which environments there are, and what each is made of.", no_args_is_help=True)

AsJson = Annotated[bool, typer.Option("--json", help="Write one JSON document instead of a table.")]

LIST_HELP = """\
List the environments of this project: the sandbox, and those that gaia.toml configures.

The last column names the one that a run from this folder would use, and what chose it.
"""

SHOW_HELP = """\
Show every value of an environment, and where it comes from. Secrets are masked.

An environment that reads deploy files shows what they say of each app, with file, line and key.

\b
  gaia env show                        the one that a run from this folder would use
  gaia env show staging
  gaia env show --url http://localhost:9000
  gaia env show staging --json | jq .settings.nats
"""


def options_here(
    env: str | None = None,
    env_source: str = "command line",
    urls: tuple[str, ...] = (),
    project: Project | None = None,
) -> Options:
    """Return the options of a run from this folder; without ``project``, that is looked for upward from it."""
    here = project or Project.around(Path.cwd())
    return Options(project=here, environ=os.environ, env=env, env_source=env_source, urls=urls)


def complete_name(incomplete: str) -> list[str]:
    """Return the environments whose names begin with ``incomplete``, for shell completion."""
    try:
        return [name for name in Project.around(Path.cwd()).environments if name.startswith(incomplete)]
    except GaiaError:
        # In the middle of a completion a message would garble the line; the command itself will say it.
        return []


@app.command("list", help=LIST_HELP)
def list_environments(as_json: AsJson = False) -> None:
    """List the environments; those that cannot be resolved are named on standard error."""
    options = options_here()
    found = resolve_each(options)
    chosen = resolve(options)
    environments = [each for each in found.values() if not isinstance(each, Exception)]
    if chosen.name not in found:
        environments.append(chosen)
    if as_json:
        typer.echo(json.dumps([_summary(each, chosen) for each in environments], indent=2))
    else:
        show_table(
            ("name", "topology", "writes", "gateway", "nats", "used here"),
            [[str(value or "") for value in _row(each, chosen)] for each in environments],
        )
    for name, error in found.items():
        if isinstance(error, Exception) and not isinstance(error, NotConfigured):
            typer.echo(f"gaia: {name}: {error}", err=True)
    if unset := [name for name, error in found.items() if isinstance(error, NotConfigured)]:
        typer.echo(f"gaia: not configured here: {', '.join(unset)}", err=True)


@app.command("show", help=SHOW_HELP)
def show_environment(
    name: Annotated[
        str | None, typer.Argument(help="Its name; without one, what a run would use.", autocompletion=complete_name)
    ] = None,
    url: Annotated[
        list[str] | None, typer.Option(metavar="SERVICE=URL", help="As --gaia-url of a run; repeatable.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show one environment."""
    from pytest_gaia.cli.deploy_values import deploy_values

    options = replace(options_here(name, urls=tuple(url or ())), addressed=False)
    environment = resolve(options)
    settings = described(environment)
    deployment = environment.deployment
    deployed = deploy_values(deployment) if deployment is not None else []
    if as_json:
        values = {each.key: {"value": each.value, "source": each.source} for each in settings}
        apps = [asdict(each) for each in deployed] if deployment is not None else None
        typer.echo(json.dumps({"name": environment.name, "settings": values, "deployment": apps}, indent=2))
        return
    rows = [(each.key, each.source or "-", each.text) for each in settings if each.relevant]
    show_table(("setting", "from", "value"), rows)
    if deployed:
        typer.echo()
        rows = [(f"{each.service}: {each.key}", each.source, each.text) for each in deployed]
        show_table(("deployment", "from", "value"), rows)


def _summary(environment: Environment, chosen: Environment) -> dict[str, object]:
    return {
        "name": environment.name,
        "topology": environment.topology,
        "writes": environment.writes,
        "gateway": environment.urls.get("gateway"),
        "nats": mask_url(environment.nats) if environment.nats else None,
        "chosen_by": chosen.sources["name"] if environment.name == chosen.name else None,
    }


def _row(environment: Environment, chosen: Environment) -> list[object]:
    values = _summary(environment, chosen)
    if environment.sandbox:
        values |= {"gateway": "its own", "nats": "its own"}
    return [plain(value) if isinstance(value, bool) else value for value in values.values()]
