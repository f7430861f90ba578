"""``gaia sandbox``: a platform of one's own, kept running for development."""

import shlex
from dataclasses import replace
from typing import Annotated

import typer

from pytest_gaia.cli.options import environment_option, options_here
from pytest_gaia.cli.output import echo_json, show_table
from pytest_gaia.config.environment import Environment
from pytest_gaia.config.platform import HTTP_SERVICES
from pytest_gaia.config.resolve import resolve, split_services
from pytest_gaia.run.sandbox import Sandbox
from pytest_gaia.run.session import Run
from pytest_gaia.secrets.masks import mask_url
from pytest_gaia.system.signals import Ended, until_signalled

app = typer.Typer(name="sandbox", help="A platform of one's own, kept running for development.", no_args_is_help=True)

UP_HELP = """\
Start a whole platform on this machine (PostgreSQL, NATS, gateway, auth, asset, chat) and keep it until Ctrl-C.

\b
  gaia sandbox up
  gaia sandbox up --as staging         shaped like that environment
  gaia sandbox up --without asset,nats
  gaia sandbox up --fixed              without the platform's known defects
  gaia sandbox up --json               addresses and keys as one line of JSON

It listens on loopback only, on free ports. The `export` lines that it prints let pytest, curl or a service of yours
use it from another shell. Nothing is kept when it ends.
"""


@app.callback()
def group() -> None:
    """Keep ``up`` a command of its own: with only one, typer would leave its name out."""


@app.command("up", help=UP_HELP)
def up(
    like: Annotated[str, environment_option("Shape it like this environment.", "--as")] = "sandbox",
    without: Annotated[
        list[str] | None, typer.Option(metavar="MEMBER,…", help="Leave these members stopped; repeatable.")
    ] = None,
    fixed: Annotated[bool, typer.Option("--fixed", help="Serve the platform without its known defects.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Write one line of JSON instead.")] = False,
) -> None:
    """Start a sandbox, say where it is, and wait for a signal."""
    options = replace(
        options_here(like, "--as"),
        sandbox_without=split_services(without or (), "--without"),
        sandbox_fixed=fixed,
        rehearse=like != "sandbox",
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
        typer.echo("The sandbox has been stopped.", err=True)
    finally:
        run.stop()


def exports(environment: Environment) -> dict[str, str]:
    """Return the variables by which another process uses the sandbox that ``environment`` is bound to.

    It is ``local`` there, whatever its shape: a run must not go by the name of an environment that it did not test.
    """
    values = {"GAIA_ENV": "local"}
    values |= {f"GAIA_{name.upper()}_URL": environment.urls[name] for name in HTTP_SERVICES if name in environment.urls}
    values |= {"GAIA_NATS_URL": environment.nats} if environment.nats else {}
    secrets = {
        "GAIA_DATABASE_URL": environment.database,
        "GAIA_API_KEY": environment.api_key,
        "GAIA_JWT_SECRET": environment.jwt_secret,
    }
    # They belong to this sandbox alone and end with it; without them nobody could use it.
    return values | {name: secret.reveal() for name, secret in secrets.items() if secret is not None}


def _show_lines(environment: Environment, sandbox: Sandbox) -> None:
    shape = f", shaped like {environment.name}" if environment.rehearsal else ""
    typer.echo(f"The sandbox is ready{shape}. Ctrl-C ends it. Its logs are in {sandbox.directory}\n")
    variables = exports(environment)
    places = {name: environment.urls.get(name, "no URL of its own") for name in HTTP_SERVICES}
    places |= {"nats": environment.nats or "none", "postgres": variables.get("GAIA_DATABASE_URL", "none")}
    show_table(("service", "address"), [(name, mask_url(address)) for name, address in places.items()])
    typer.echo("\nTo use it from another shell:\n")
    for name, value in variables.items():
        typer.echo(f"export {name}={shlex.quote(value)}")


def _show_json(environment: Environment, sandbox: Sandbox) -> None:
    known = {"shape": environment.name, "variables": exports(environment), "logs": str(sandbox.directory)}
    echo_json(known, indent=None)
