"""``gaia status``: the health of environments, once or repeatedly."""

import datetime
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from pytest_gaia.cli.app import CHOSEN
from pytest_gaia.cli.operate.watch import probe_once, watch_environment
from pytest_gaia.cli.options import INTERRUPTED, complete_name, options_here, seconds
from pytest_gaia.cli.output import echo_json, reader_may_leave, show_table
from pytest_gaia.config.environment import Environment, not_configured
from pytest_gaia.config.resolve import Options, resolve_each
from pytest_gaia.deploy.process import ending
from pytest_gaia.errors import ConfigError, EnvironmentUnavailable, NotConfigured, nearest
from pytest_gaia.observation.overview import AppView, EnvironmentView, Lead, leads, observe_all
from pytest_gaia.rollout.journal import histories
from pytest_gaia.system.signals import like_interrupts, stopped_by_signals

HELP = """\
Show the health of environments and which versions they run.

\b
  gaia status
  gaia status staging production
  gaia status staging --watch                query its services every 5 s
  gaia status production --watch 30s --for 2h
  gaia status staging --probe                query its services once
  gaia status --json | jq '.environments[] | {name, state}'

The deploy tool reports what runs; services that are awake are also queried for their health. Services without a deploy
tool are queried directly, which may start a machine that sleeps. Nothing is changed. Lines with "drift" show how containers
differ from the compose files.

With one environment, --watch and --probe query each service: response times, availability and changes. They observe the
containers on this machine, but skip other deploy tools. With several environments, --watch repeats the overview.

\b
Exit codes, by the last observation:
    0  all environments are in an acceptable state
    1  an environment or a service is not healthy
    4  usage error
   12  nothing is reachable
  130  interrupted
"""

app = typer.Typer()

_DEGRADED = 1
Environments: TypeAlias = Mapping[str, Environment | Exception]
_DIGEST = len("sha256:") + 12
"""characters of a digest in tables"""


@app.command("status", help=HELP)
def show_status(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="ENV", help="Only these environments", autocompletion=complete_name)
    ] = None,
    watch: Annotated[
        str | None, typer.Option("--watch", "-w", metavar="[DURATION]", help="Repeat until Ctrl-C; default: every 5s")
    ] = None,
    period: Annotated[
        str | None, typer.Option("--for", metavar="DURATION", help="Stop --watch after 90s, 10m, 2h")
    ] = None,
    probe: Annotated[bool, typer.Option("--probe", help="Query each service once")] = False,
    timeout: Annotated[str, typer.Option(metavar="DURATION", help="Time limit for one environment")] = "60s",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON; with --watch one object per line")] = False,
) -> None:
    """Observe and show environments; the exit code follows the last observation."""
    if period is not None and watch is None:
        raise ConfigError("--for needs --watch.")
    if probe and (watch is not None or len(names or ()) != 1):
        raise ConfigError("--probe takes one environment, and no --watch: gaia status ENV --probe.")
    limit = seconds(timeout, "--timeout", least=1)
    every = None if watch is None else seconds(watch, "--watch")
    lasting = None if period is None else seconds(period, "--for")
    if names and len(names) == 1 and (probe or every is not None):
        raise typer.Exit(
            probe_once(names[0], as_json=as_json)
            if every is None
            else watch_environment(names[0], every, lasting, as_json=as_json)
        )
    options = options_here()
    known, rootdir = _known(options), options.rootdir
    environments = _chosen(names or (), known)
    show = partial(_show_views, known=known, rootdir=rootdir, as_json=as_json)
    if every is not None:
        raise typer.Exit(_watch_all(environments, names or (), rootdir, limit, every, lasting, show))
    try:
        with like_interrupts(), _waiting(environments):
            views = observe_all(environments, rootdir, deadline=limit)
    except KeyboardInterrupt:
        # Ends the tools that other threads wait for.
        ending.set()
        raise typer.Exit(INTERRUPTED) from None
    show(views)
    raise typer.Exit(exit_code(_deciding(views, environments, names or ())))


def _deciding(
    views: Sequence[EnvironmentView], environments: Environments, names: Sequence[str]
) -> Sequence[EnvironmentView]:
    """Return the views that decide the exit code: in an overview, this machine need not run the services."""
    if names:
        return views
    here = {name for name, each in environments.items() if isinstance(each, Environment) and each.role == "local"}
    return [view for view in views if view.name not in here or view.state != "unknown"] or views


def exit_code(views: Sequence[EnvironmentView]) -> int:
    """Return the exit code for what was observed."""
    if all(view.as_expected for view in views):
        return 0
    known = (app for view in views for app in view.apps if app.state not in ("unknown", "absent"))
    return _DEGRADED if any(known) else EnvironmentUnavailable.exit_code


def _watch_all(
    environments: Environments,
    names: Sequence[str],
    rootdir: Path,
    limit: float,
    every: float,
    lasting: float | None,
    show: Callable[..., None],
) -> int:
    """Show the overview every ``every`` seconds until a signal or the end of ``lasting``; return the exit code."""
    began, code = time.monotonic(), EnvironmentUnavailable.exit_code
    with reader_may_leave(sys.stdout), stopped_by_signals() as stop:
        while not stop.asked:
            views = observe_all(environments, rootdir, deadline=limit)
            code = exit_code(_deciding(views, environments, names))
            show(views, repeated=True)
            if lasting is not None and time.monotonic() - began + every >= lasting:
                break
            stop.wait(every)
    return code


def _show_views(
    views: Sequence[EnvironmentView], *, known: Environments, rootdir: Path, as_json: bool, repeated: bool = False
) -> None:
    """Show the overview, and which of ``views`` is newer; ``repeated``: as one of several."""
    found = leads(views, histories([view.name for view in views], rootdir), _previous(known))
    if as_json:
        echo_json(_document(views, found), indent=None if repeated else 2)
        return
    if repeated:
        typer.echo(datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"))
    _show(views, found)
    if repeated:
        typer.echo()


def _previous(known: Environments) -> dict[str, str | None]:
    """Return environment → the one from which releases are promoted to it, without those of the role local."""
    remote = {name: each for name, each in known.items() if isinstance(each, Environment) and each.role != "local"}
    return {name: each.stage.previous if each.stage.previous in remote else None for name, each in remote.items()}


def _known(options: Options) -> Environments:
    """Return all environments but the sandbox."""
    found = resolve_each(replace(options, addressed=False), apart=True)
    return {name: each for name, each in found.items() if isinstance(each, Exception) or not each.sandbox}


def _chosen(names: Sequence[str], known: Environments) -> Environments:
    """Return the environments to observe: ``names``, or all that are configured.

    Raises ``ConfigError`` for a name that is unknown or not configured, and if no environment is configured.
    """
    for name in names:
        if name not in known:
            raise ConfigError(f"cannot observe the environment {name!r}; {nearest(name, known)}")
        if isinstance(unknown := known[name], NotConfigured):
            raise unknown
    if names:
        return {name: known[name] for name in dict.fromkeys(names)}
    configured = {name: each for name, each in known.items() if not isinstance(each, NotConfigured)}
    if not configured:
        raise ConfigError(not_configured(*known))
    return configured


def _waiting(names: Mapping[str, object]) -> AbstractContextManager[object]:
    if CHOSEN.quiet or not sys.stderr.isatty():
        return nullcontext()
    from pytest_gaia.cli.terminal import waiting

    return waiting(f"querying {', '.join(names)} …")


def _show(views: Sequence[EnvironmentView], found: Sequence[Lead]) -> None:
    show_table(
        ("environment", "state", "source", "reason"),
        [(view.name, view.state, view.source, view.reason) for view in views],
        drop_empty=True,
    )
    rows = [(view.name, *_row(app, view)) for view in views for app in view.apps if app.state != "absent"]
    if rows:
        typer.echo()
        columns = ("environment", "service", "state", "version", "runs", "machines", "reason")
        show_table(columns, rows, drop_empty=True)
    if drift := [line for view in views for line in _drift(view)]:
        typer.echo()
        for line in drift:
            typer.echo(f"drift: {line}")
    if found:
        typer.echo()
        for lead in found:
            typer.echo(f"pipeline: {lead}")


def _drift(view: EnvironmentView) -> Iterator[str]:
    """Yield how what runs in an environment differs from its deploy files."""
    for app in view.apps:
        yield from (f"{view.name}: {app.service}: {each}" for each in app.differences)
    yield from (f"{view.name}: orphan: {each}" for each in view.orphans)
    if any(app.differences for app in view.apps):
        tools = f"`gaia deploy {view.name}`" + (" or `docker compose up`" if view.source == "compose" else "")
        yield f"{view.name}: the next {tools} replaces what differs"


def _row(app: AppView, view: EnvironmentView) -> tuple[str, ...]:
    runs = ", ".join(digest[:_DIGEST] for digest in app.digests) or (app.version and f"version {app.version}")
    deployed_version = "" if app.deployed_version is None else f"v{app.deployed_version}"
    # The environment's own reason includes those of its first services.
    known = {each.cause for each in view.apps if each.reason in view.reason}
    return app.service, app.state, deployed_version, runs, app.machines, "" if app.cause in known else app.reason


def _document(views: Sequence[EnvironmentView], found: Sequence[Lead]) -> dict[str, object]:
    environments = [{**asdict(view), "as_expected": view.as_expected} for view in views]
    pipeline = [{**asdict(lead), "text": str(lead)} for lead in found]
    return {"environments": environments, "pipeline": pipeline}
