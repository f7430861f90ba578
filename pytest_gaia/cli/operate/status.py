"""``gaia status``: all environments at once, and what is ahead of what."""

import sys
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, replace
from typing import Annotated

import typer

from pytest_gaia.cli.asking import INTERRUPTED
from pytest_gaia.cli.options import AsJson, complete_name, options_here
from pytest_gaia.cli.output import echo_json, show_table
from pytest_gaia.config.environment import Environment, not_configured
from pytest_gaia.config.resolve import Options, resolve_each
from pytest_gaia.deploy.process import ending
from pytest_gaia.errors import ConfigError, EnvironmentUnavailable, NotConfigured, nearest
from pytest_gaia.observation.overview import AppView, EnvironmentView, Lead, leads
from pytest_gaia.observation.status import histories, observe_all
from pytest_gaia.system.signals import like_interrupts

HELP = """\
Show how all environments are, asked at the same time, and what is ahead of what. Nothing is changed.

\b
  gaia status
  gaia status staging production
  gaia status --json | jq '.environments[] | select(.as_expected | not)'

Where an environment is deployed from here, its deploy tool says what runs, and only what is awake is asked how it is.
Any other is asked directly, which may wake it.

\b
Exit codes: 0 each environment is as somebody may want it; 1 one is degraded or unknown; 4 a mistake; 12 nothing could
be observed; 130 interrupted.
"""

app = typer.Typer()

_NOT_AS_EXPECTED = 1
_DIGEST = len("sha256:") + 12
"""characters of a digest that people are shown"""


@app.command("status", help=HELP)
def show_status(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[ENV]…", help="Only these.", autocompletion=complete_name)
    ] = None,
    timeout: Annotated[
        float, typer.Option(metavar="SECONDS", min=1, max=600, help="How long an environment may take.")
    ] = 60.0,
    as_json: AsJson = False,
) -> None:
    """Observe, show, and exit with what was seen."""
    options = options_here()
    environments, rootdir = _chosen(names or (), options), options.rootdir
    try:
        with like_interrupts(), _waiting(environments):
            views = observe_all(environments, rootdir, deadline=timeout)
    except KeyboardInterrupt:
        # Tools that are being waited for would go on without anybody to hear them.
        ending.set()
        raise typer.Exit(INTERRUPTED) from None
    found = leads(views, histories(environments, rootdir))
    (_show_json if as_json else _show)(views, found)
    raise typer.Exit(exit_code(views))


def exit_code(views: Sequence[EnvironmentView]) -> int:
    """Return what the command ends with."""
    if all(view.as_expected for view in views):
        return 0
    known = (app for view in views for app in view.apps if app.state not in ("unknown", "gateway-only"))
    return _NOT_AS_EXPECTED if any(known) else EnvironmentUnavailable.exit_code


def _chosen(names: Sequence[str], options: Options) -> Mapping[str, Environment | Exception]:
    """Return the environments to look at: all that are configured but the sandbox, which belongs to a run.

    Raises ``ConfigError`` for a name that is unknown or not configured, and where no environment is.
    """
    found = resolve_each(replace(options, addressed=False), apart=True)
    known = {name: each for name, each in found.items() if isinstance(each, Exception) or not each.sandbox}
    for name in names:
        if name not in known:
            raise ConfigError(f"there is no environment {name!r} to look at; {nearest(name, known)}")
        if isinstance(unknown := known[name], NotConfigured):
            raise unknown
    if names:
        return {name: known[name] for name in dict.fromkeys(names)}
    configured = {name: each for name, each in known.items() if not isinstance(each, NotConfigured)}
    if not configured:
        raise ConfigError(not_configured(*known))
    return configured


def _waiting(names: Mapping[str, object]) -> AbstractContextManager[object]:
    if not sys.stderr.isatty():
        return nullcontext()
    from pytest_gaia.cli.terminal import waiting

    return waiting(f"asking {', '.join(names)} …")


def _show(views: Sequence[EnvironmentView], found: Sequence[Lead]) -> None:
    show_table(("environment", "state", "seen by", "why"), [(v.name, v.state, v.seen_by, v.why) for v in views])
    rows = [(view.name, *_row(app)) for view in views for app in view.apps]
    if rows:
        typer.echo()
        show_table(("environment", "app", "state", "release", "runs", "machines", "why"), rows)
    if found:
        typer.echo()
        for lead in found:
            typer.echo(f"pipeline: {lead}")


def _row(app: AppView) -> tuple[str, ...]:
    runs = ", ".join(digest[:_DIGEST] for digest in app.digests) or (app.version and f"version {app.version}")
    deployed_version = "" if app.deployed_version is None else f"v{app.deployed_version}"
    return app.service, app.state, deployed_version, runs, app.machines, app.why


def _show_json(views: Sequence[EnvironmentView], found: Sequence[Lead]) -> None:
    environments = [{**asdict(view), "as_expected": view.as_expected} for view in views]
    pipeline = [{**asdict(lead), "text": str(lead)} for lead in found]
    echo_json({"environments": environments, "pipeline": pipeline})
