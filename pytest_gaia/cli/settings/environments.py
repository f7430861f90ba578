"""``gaia env``: the environments and their settings."""

from dataclasses import replace
from typing import Annotated

import typer

from pytest_gaia.cli.options import AsJson, complete_name, options_here
from pytest_gaia.cli.output import echo_json, show_table
from pytest_gaia.cli.settings.values import deploy_values, described, plain
from pytest_gaia.config.environment import Environment
from pytest_gaia.config.platform import DISABLED
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

The list has the sandbox and the environments that gaia.toml configures: their roles, whether tests may write, their
services, and the URL of the entry. The last column marks the environment that a run in this folder uses, and shows what
selects it.
"""

SHOW_HELP = """\
Show each setting of an environment, and its source.

\b
  gaia env show                        the one that a run in this folder uses
  gaia env show staging
  gaia env show --url http://localhost:9000
  gaia env show staging --json | jq .settings.services

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
            ("name", "role", "writes", "services", "address", "used here"),
            [_row(each, chosen) for each in environments],
        )
    for name, error in found.items():
        if isinstance(error, Exception) and not isinstance(error, NotConfigured):
            typer.echo(f"gaia: {name}: {error}", err=True)
    if unset := [name for name, error in found.items() if isinstance(error, NotConfigured)]:
        typer.echo(f"gaia: not configured in this project: {', '.join(unset)}", err=True)
    _hint(chosen)


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
    _hint(environment)
    if deployed:
        typer.echo()
        rows = [(f"{each.service}: {each.key}", each.source, each.text) for each in deployed]
        show_table(("deployment", "source", "value"), rows)


def _summary(environment: Environment, chosen: Environment) -> dict[str, object]:
    return {
        "name": environment.name,
        "role": environment.role or None,
        "writes": environment.writes,
        "services": environment.services,
        "entry": environment.platform.entry,
        "urls": _urls(environment),
        "chosen_by": chosen.sources["name"] if environment.name == chosen.name else None,
    }


def _urls(environment: Environment) -> dict[str, str]:
    """Return service → its URL, masked, or ``disabled``."""
    found = {name: environment.url_of(name) for name in environment.platform if name not in environment.disabled}
    urls = {name: mask_url(url) for name, url in found.items() if url} | dict.fromkeys(environment.disabled, DISABLED)
    return {name: urls[name] for name in environment.platform.sort(urls)}


def _row(environment: Environment, chosen: Environment) -> tuple[str, ...]:
    selected = chosen.sources["name"] if environment.name == chosen.name else ""
    writes = plain(environment.writes)
    return environment.name, environment.role, writes, _services(environment), _address(environment), selected


def _services(environment: Environment) -> str:
    names = environment.services
    return "all" if names and names == environment.platform.usual else ", ".join(names) or "none"


def _address(environment: Environment) -> str:
    """Return the URL of the entry, or else of the first service that has one, with its name."""
    if environment.sandbox:
        return "its own"
    urls = {name: url for name, url in _urls(environment).items() if url != DISABLED}
    entry = environment.platform.entry
    return urls.get(entry or "") or next((f"{name}: {url}" for name, url in urls.items()), "")


def _hint(environment: Environment) -> None:
    if not environment.platform.names:
        typer.echo("gaia: no services are declared; `gaia init` writes [services.NAME] to gaia.toml", err=True)
