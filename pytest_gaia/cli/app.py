"""Putting the commands together, and turning every user's mistake into one line and exit code 4."""

from __future__ import annotations

import errno
import os
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from pytest_gaia import __version__
from pytest_gaia.cli import (
    api,
    bundle,
    check,
    config_files,
    deploy,
    environments,
    gate,
    keys,
    ledger,
    logs,
    monitor,
    policy,
    promote,
    replay,
    report,
    rollback,
    sandbox,
    scale,
    signing,
    signoff_report,
    slo,
    stages,
    status,
    testing,
)
from pytest_gaia.errors import ConfigError, GaiaError
from pytest_gaia.printable import SafeStream

if TYPE_CHECKING:
    from collections.abc import Sequence

_USAGE_ERROR = 2
"""what typer exits with where pytest, and so ``gaia``, says 4"""

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


def run(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code."""
    streams = sys.stdout, sys.stderr
    # Names and messages from outside reach a terminal, or the log of CI, through these.
    sys.stdout, sys.stderr = (SafeStream(stream, plain=True) for stream in streams)
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
    if "--" not in words or words[0] not in ("test", "promote", *stages.PASSED_ON):
        return words, []
    at = words.index("--")
    return words[:at], words[at + 1 :]


def build() -> typer.Typer:
    """Return the application, all commands attached."""
    # Plain help reads the same on a terminal and in a pipe, and loads nothing more.
    app = typer.Typer(
        name="gaia", help=HELP, no_args_is_help=True, rich_markup_mode=None, pretty_exceptions_enable=False
    )
    app.callback()(_top)
    app.add_typer(environments.app, name="env")
    app.add_typer(config_files.app, name="config")
    app.add_typer(sandbox.app, name="sandbox")
    app.add_typer(policy.app, name="policy")
    app.add_typer(bundle.app, name="bundle")
    app.add_typer(ledger.app, name="ledger")
    app.add_typer(keys.app, name="key")
    app.add_typer(api.app, name="api")
    app.add_typer(check.app, name="check")
    app.command("slo", help=slo.HELP)(slo.judge_speed)
    app.command("gate", help=gate.GATE_HELP)(gate.decide_gate)
    app.command("checklist", help=gate.CHECKLIST_HELP)(gate.show_checklist)
    app.add_typer(signoff_report.app, name="signoff")
    app.command("waive", help=signing.WAIVE_HELP)(signing.waive_item)
    app.command("promote", help=promote.HELP)(promote.promote_bundle)
    app.command("replay", help=replay.HELP)(replay.replay_run)
    app.command("report", help=report.HELP)(report.make_report)
    app.command("deploy", help=deploy.HELP)(deploy.deploy_environment)
    app.command("deploy-and-test", help=stages.DEPLOY_HELP)(stages.deploy_and_test)
    app.command("quick-test", help=stages.QUICK_HELP)(stages.quick_test)
    app.command("full-test", help=stages.FULL_HELP)(stages.full_test)
    app.command("status", help=status.HELP)(status.show_status)
    app.command("monitor", help=monitor.HELP)(monitor.monitor_environment)
    app.add_typer(rollback.app, name="rollback")
    app.command("scale", help=scale.HELP)(scale.scale_service)
    app.command("logs", help=logs.HELP)(logs.show_logs)
    app.command("test", help=testing.HELP, epilog=testing.commands_help())(testing.run_command)
    return app


def _top(
    version: Annotated[
        bool,
        typer.Option("--version", help="Show the version and exit.", callback=_show_version, is_eager=True),
    ] = False,
) -> None:
    """Take the options that stand before a command."""


def _show_version(asked: bool) -> None:
    if asked:
        typer.echo(f"gaia {__version__}")
        raise typer.Exit
