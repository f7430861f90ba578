"""The table of commands, and one command line: its command is loaded, and every user's mistake ends in one line and 4."""

import errno
import importlib
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from io import StringIO
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from pytest_gaia import __version__
from pytest_gaia.errors import ConfigError, GaiaError
from pytest_gaia.printable import SafeStream

_USAGE_ERROR = 2
"""what typer exits with where pytest, and so ``gaia``, says 4"""


@dataclass(frozen=True, slots=True)
class Command:
    """A word behind ``gaia``: one command, or a group of them."""

    module: str
    """holds ``app``, which has a command or a group of this name; loaded when the command is asked for"""
    summary: str
    """the beginning of its help, for the list of all commands"""
    passes_on: bool = False
    """whether what follows `--` goes to pytest"""


COMMANDS = {
    "slo": Command("reports.slo", "Hold a recorded run against the service level objectives"),
    "gate": Command("release.gate", "Decide whether a bundle may be in an environment"),
    "checklist": Command("release.gate", "Show the pipeline's checklist for a bundle"),
    "waive": Command("release.signoff", "Let an item of the checklist go for one bundle"),
    "promote": Command("release.promote", "Promote a bundle into an environment", passes_on=True),
    "replay": Command("reports.replay", "Judge a recorded run again"),
    "report": Command("reports.report", "Make an HTML report"),
    "deploy": Command("operate.deploy", "Deploy an environment"),
    "deploy-and-test": Command(
        "runs.testing", "Deploy an environment, wait until it is ready, and run everything", passes_on=True
    ),
    "quick-test": Command(
        "runs.testing", "Ask an environment for its health, status, providers, models and caches", passes_on=True
    ),
    "full-test": Command("runs.testing", "Run everything that an environment runs", passes_on=True),
    "status": Command("operate.status", "Show how all environments are"),
    "monitor": Command("operate.monitor", "Ask the members of an environment how they are"),
    "scale": Command("operate.scale", "Set how many machines run a service on Fly"),
    "logs": Command("operate.logs", "Show what the services of an environment have written"),
    "test": Command("runs.testing", "Run the checks that stand for a command of the old test.sh", passes_on=True),
    "env": Command("settings.environments", "Which environments there are, and what each is made of"),
    "config": Command("settings.deploy_files", "What is wrong with deploy files"),
    "sandbox": Command("runs.sandbox", "A platform of one's own, kept running for development"),
    "policy": Command("rules.policy", "What failures are expected where, why, and until when"),
    "bundle": Command("release.bundle", "What is released together"),
    "ledger": Command("release.ledger", "The signed evidence of every promotion"),
    "key": Command("release.keys", "The keys that sign evidence, and whom the project trusts"),
    "api": Command("release.api", "What services offer, by their OpenAPI documents"),
    "check": Command("release.gate", "Items of the checklist that a tool looks at"),
    "signoff": Command("release.signoff", "Sign an item of the checklist for one bundle"),
    "rollback": Command("operate.rollback", "Bring an environment back to what was last seen to run"),
}
"""in the order in which `gaia --help` lists them"""

HELP = """\
Test the Gaia Platform in one of its environments, or in a sandbox of its own.

\b
  gaia env list                    the environments, and the one that a run would use
  gaia env show staging            every value, and where it comes from
  gaia sandbox up                  keep a whole platform running; Ctrl-C ends it
  gaia test --staging providers    what an old test.sh command stands for, run by pytest
  gaia deploy staging              every service in its order, observed and judged
  gaia quick-test staging          health, status, providers, models; full-test runs everything
  gaia deploy-and-test staging     both, in one run
  gaia rollback staging            back to what was last seen to run well
  gaia scale staging chat --count 2
  gaia logs staging chat --follow
  gaia status                      all environments at once, and what is ahead of what
  gaia monitor staging             how it is, again and again
  gaia config lint                 what is wrong with deploy files, before anything is deployed
  gaia bundle create --from-env dev   what is released together, under one name
  gaia promote staging --bundle B  seal, deploy, test, observe, decide; with evidence of each step
  gaia gate production --bundle B  may this release go there, and if not, why not
  gaia signoff report --bundle B   the page of a release that people sign, to be printed
  gaia checklist --bundle B        the pipeline's items: proved, signed, waived, or missing
  gaia api diff production dev     what breaks the clients of production
  gaia slo run.jsonl               was a run fast enough
  gaia ledger verify               whether the evidence of every promotion is whole
  gaia policy list                 which failures are expected where, and until when
  gaia replay run.jsonl            judge a recorded run again
  gaia report                      an HTML report of Allure results
  pytest --gaia-env=staging        everything that staging runs
"""


class CommandGroup(TyperGroup):
    """Lists commands by their summaries alone; a command's module is imported when it is asked for."""

    # Any: contexts and commands are of typer's private modules.
    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Put the command itself in the place of its summary."""
        name, command, rest = super().resolve_command(ctx, args)
        return name, command and load(str(name)), rest


def run(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code."""
    streams = sys.stdout, sys.stderr
    # Names and messages from outside reach a terminal, or the log of CI, through these. Python has no stream where the
    # shell closed it (>&-).
    sys.stdout, sys.stderr = (SafeStream(stream or StringIO(), plain=True) for stream in streams)
    try:
        return _run(arguments)
    finally:
        sys.stdout, sys.stderr = streams


def _run(arguments: Sequence[str]) -> int:
    given, extra = split_extra(arguments)
    try:
        typer.main.get_command(build())(args=given, prog_name="gaia", obj=extra)
    except GaiaError as error:
        typer.echo(f"gaia: {error}", err=True)
        return error.exit_code
    except BrokenPipeError:
        # The reader has gone (gaia env list | head -1). Python would complain again when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        typer.echo(f"gaia: nothing more can be written: {error.strerror}.", err=True)
        return ConfigError.exit_code
    except SystemExit as end:
        return ConfigError.exit_code if end.code == _USAGE_ERROR else int(end.code or 0)
    return 0


def split_extra(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Split ``gaia test … -- …``, and its like, at the ``--``: what follows it is pytest's."""
    words = list(arguments)
    if "--" not in words or words[0] not in COMMANDS or not COMMANDS[words[0]].passes_on:
        return words, []
    at = words.index("--")
    return words[:at], words[at + 1 :]


def build() -> typer.Typer:
    """Return the application: every command by its summary."""
    app = _plain_typer(name="gaia", cls=CommandGroup, help=HELP, no_args_is_help=True)
    app.callback()(_top)
    for name, command in COMMANDS.items():
        app.command(name, help=command.summary)(_not_loaded)
    return app


def load(name: str) -> Any:
    """Import the module of the command ``name``, and return the command."""
    module = importlib.import_module(f"pytest_gaia.cli.{COMMANDS[name].module}")
    holder = _plain_typer()
    holder.add_typer(module.app)
    return typer.main.get_group(holder).commands[name]


def _plain_typer(**settings: Any) -> typer.Typer:
    """Return a ``Typer`` whose help reads the same on a terminal and in a pipe, and that loads nothing more for it."""
    return typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False, **settings)


def _not_loaded() -> None:
    """Stand for a command in the list of all."""


def _show_version(asked: bool) -> None:
    if asked:
        typer.echo(f"gaia {__version__}")
        raise typer.Exit


def _top(
    version: Annotated[
        bool,
        typer.Option("--version", help="Show the version and exit.", callback=_show_version, is_eager=True),
    ] = False,
) -> None:
    """Take the options that stand before a command."""
