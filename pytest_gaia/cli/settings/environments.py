"""``gaia env``: the environments and their settings."""

from dataclasses import replace
from typing import Annotated

import typer

from pytest_gaia.cli.options import AsJson, complete_name, options_here
from pytest_gaia.cli.output import echo_json, show_table
from pytest_gaia.cli.settings.values import deploy_values, described, plain
from pytest_gaia.config.environment import Environment
from pytest_gaia.config.resolve import resolve, resolve_each
from pytest_gaia.errors import NotConfigured
from pytest_gaia.secrets.masks import mask_url

HELP = """\
List the environments, and show their settings.

\b
  gaia env list
  gaia env show staging
"""

app = typer.Typer(name="env", help=HELP, no_args_is_help=True)

LIST_HELP = """\
List the environments of this project.

\b
  gaia env list
  gaia env list --json

The list has the sandbox and the environments that gaia.toml configures. The last column marks the environment that a run
in this folder uses, and shows what selects it.
"""

SHOW_HELP = """\
Show each setting of an environment, and its source.

\b
  gaia env show                        the one that a run in this folder uses
  gaia env show staging
  gaia env show --url http://localhost:9000
  gaia env show staging --json | jq .settings.nats

Secrets are masked. If the environment has deploy files, their values are shown with file, line and key.
"""


@app.command("list", help=LIST_HELP)
def list_environments(as_json: AsJson = False) -> None:
    """List the environments; name those that cannot be resolved on stderr."""
    options = options_here()
    found = resolve_each(options)
    chosen = resolve(options)
    environments = [each for each in found.values() if not isinstance(each, Exception)]
    if chosen.name not in found:
        environments.append(chosen)
    if as_json:
        echo_json([_summary(each, chosen) for each in environments])
    else:
        show_table(
            ("name", "topology", "writes", "gateway", "nats", "used here"),
            [[str(value or "") for value in _row(each, chosen)] for each in environments],
        )
    for name, error in found.items():
        if isinstance(error, Exception) and not isinstance(error, NotConfigured):
            typer.echo(f"gaia: {name}: {error}", err=True)
    if unset := [name for name, error in found.items() if isinstance(error, NotConfigured)]:
        typer.echo(f"gaia: not configured in this project: {', '.join(unset)}", err=True)


@app.command("show", help=SHOW_HELP)
def show_environment(
    name: Annotated[
        str | None,
        typer.Argument(metavar="ENV", help="Default: the environment that a run uses", autocompletion=complete_name),
    ] = None,
    url: Annotated[
        list[str] | None, typer.Option(metavar="SERVICE=URL", help="As --gaia-url of pytest; repeatable")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show one environment."""
    options = replace(options_here(name, urls=tuple(url or ())), addressed=False)
    environment = resolve(options)
    settings = described(environment)
    deployment = environment.deployment
    deployed = deploy_values(deployment) if deployment is not None else []
    if as_json:
        values = {each.key: {"value": each.value, "source": each.source} for each in settings}
        apps = deployed if deployment is not None else None
        echo_json({"name": environment.name, "settings": values, "deployment": apps})
        return
    rows = [(each.key, each.source or "-", each.text) for each in settings if each.relevant]
    show_table(("setting", "source", "value"), rows)
    if deployed:
        typer.echo()
        rows = [(f"{each.service}: {each.key}", each.source, each.text) for each in deployed]
        show_table(("deployment", "source", "value"), rows)


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
