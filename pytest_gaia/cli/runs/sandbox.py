"""``gaia sandbox``: the services on this machine, for development."""

import shlex
from dataclasses import replace
from typing import Annotated

import typer

from pytest_gaia.cli.options import environment_option, options_here
from pytest_gaia.cli.output import echo_json, show_table
from pytest_gaia.config.environment import Environment
from pytest_gaia.config.platform import DISABLED, SANDBOX_APIS
from pytest_gaia.config.resolve import checked_api, resolve, split_services
from pytest_gaia.run.sandbox import Sandbox
from pytest_gaia.run.session import Run
from pytest_gaia.secrets.masks import mask_url
from pytest_gaia.system.signals import Ended, until_signalled

HELP = """\
Run the services on this machine for development.

\b
  gaia sandbox up
"""

app = typer.Typer(name="sandbox", help=HELP, no_args_is_help=True)

UP_HELP = """\
Start the services on this machine until Ctrl-C.

\b
  gaia sandbox up
  gaia sandbox up -e staging           with the services of staging
  gaia sandbox up --without orders,nats
  gaia sandbox up --no-known-bugs      with the known bugs fixed
  gaia sandbox up --api next           with the newest API of Gaia
  gaia sandbox up --json               addresses and keys as one line of JSON

Starts the services of gaia.toml on free ports of the loopback interface: PostgreSQL, NATS and Redis, and the programs in
`command` of [services.NAME.sandbox]. Docker is not needed. The `export` lines that it prints let pytest, curl or your own
service use it from another shell. Ctrl-C stops all services and deletes their data.
"""


@app.callback()
def group() -> None:
    """Keep ``up`` as a subcommand; typer leaves out the name of an only command."""


@app.command("up", help=UP_HELP)
def up(
    env: Annotated[str, environment_option("Use the services of this environment")] = "sandbox",
    without: Annotated[
        list[str] | None, typer.Option(metavar="SERVICE,…", help="Do not start these services; repeatable")
    ] = None,
    no_known_bugs: Annotated[bool, typer.Option("--no-known-bugs", help="Fix the known bugs of the services")] = False,
    api: Annotated[
        str, typer.Option(metavar="current|next", help="API of the Gaia Platform; next: that of its newest release")
    ] = SANDBOX_APIS[0],
    as_json: Annotated[bool, typer.Option("--json", help="Print one line of JSON")] = False,
) -> None:
    """Start the sandbox, print its addresses, and wait for a signal."""
    options = options_here(env, "--env")
    options = replace(
        options,
        sandbox_without=split_services(without or (), options.project.platform, "--without"),
        sandbox_fixed=no_known_bugs,
        sandbox_api=checked_api(api, "--api"),
        simulate=env != "sandbox",
    )
    run = Run(options, resolve(options), roots=())
    try:
        with until_signalled():
            run.start()
            environment = run.environment
            assert run.sandbox is not None
            show = _show_json if as_json else _show_lines
            show(environment, run.sandbox)
            run.sandbox.wait()
    except Ended:
        typer.echo("The sandbox is stopped.", err=True)
    finally:
        run.stop()


def exports(environment: Environment) -> dict[str, str]:
    """Return the variables with which another process uses the sandbox of ``environment``.

    GAIA_ENV is ``local`` for every set of services: a run must not have the name of an environment that it did not test.
    """
    values = {"GAIA_ENV": "local"}
    values |= {
        f"GAIA_{environment.platform[name].variable}_URL": url for name, url in addresses_of(environment).items() if url
    }
    values |= {f"GAIA_{environment.platform[name].variable}_URL": DISABLED for name in environment.disabled}
    secrets = {"GAIA_API_KEY": environment.api_key, "GAIA_JWT_SECRET": environment.jwt_secret}
    # Printed in clear: they are valid for this sandbox only.
    return values | {name: secret.reveal() for name, secret in secrets.items() if secret is not None}


def addresses_of(environment: Environment) -> dict[str, str | None]:
    """Return the URL of each service in clear; None for one without."""
    platform = environment.platform
    return {name: environment.url_of(name) for name in platform if name in (*platform.usual, *environment.services)}


def _show_lines(environment: Environment, sandbox: Sandbox) -> None:
    services = f" with the services of {environment.name}" if environment.simulated else ""
    typer.echo(f"The sandbox is ready{services}. Stop it with Ctrl-C. Logs: {sandbox.directory}\n")
    rows = [(name, mask_url(url or _absence(name, environment))) for name, url in addresses_of(environment).items()]
    show_table(("service", "address"), rows)
    typer.echo("\nTo use it in another shell:\n")
    for name, value in exports(environment).items():
        typer.echo(f"export {name}={shlex.quote(value)}")


def _absence(name: str, environment: Environment) -> str:
    """Return why a service has no address."""
    if not environment.platform[name].runs_in_sandbox:
        return f"not run; add `command` to [services.{name}.sandbox]"
    return DISABLED if name in environment.disabled else "no URL" if name in environment.services else "none"


def _show_json(environment: Environment, sandbox: Sandbox) -> None:
    known = {
        "environment": environment.name,
        "services": addresses_of(environment),
        "variables": exports(environment),
        "logs": str(sandbox.directory),
    }
    echo_json(known, indent=None)
