"""``gaia monitor``: how an environment is, again and again, until somebody ends it."""

from __future__ import annotations

import datetime
import sys
import time
from typing import Annotated

import typer

from pytest_gaia.cli.durations import seconds
from pytest_gaia.cli.monitor_shown import Shown
from pytest_gaia.cli.options import EnvironmentName, options_here
from pytest_gaia.cli.output import reader_may_leave
from pytest_gaia.config.environment import Environment
from pytest_gaia.errors import ConfigError, EnvironmentUnavailable
from pytest_gaia.observation.sampling import Tally
from pytest_gaia.system.signals import Stop, stopped_by_signals

HELP = """\
Ask the members of an environment how they are, every few seconds, until Ctrl-C; then say what it came to.

\b
  gaia monitor staging
  gaia monitor production --interval 30s --for 2h
  gaia monitor staging --once               one look, for scripts
  gaia monitor staging --json >> health.jsonl

A table that follows on a terminal, a line each time in a pipe. A machine that sleeps is woken by being asked.

\b
Exit codes, however it ends: 0 all required members were well at the last look; 1 one was not; 4 a mistake;
12 nobody answered.
"""

app = typer.Typer()

_UNWELL = 1
_LONGEST_LOOK = 30.0
"""seconds after which a member that has not answered is not waited for"""


@app.command("monitor", help=HELP)
def monitor_environment(
    env: EnvironmentName,
    interval: Annotated[str, typer.Option(metavar="DURATION", help="From one look to the next: 5s, 1m.")] = "5s",
    lasting: Annotated[
        str | None, typer.Option("--for", metavar="DURATION", help="End by itself after this: 90s, 10m, 2h.")
    ] = None,
    once: Annotated[bool, typer.Option("--once", help="Look once, and end.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Write a JSON object a look, and one that sums up.")] = False,
) -> None:
    """Look, show, wait; at the end sum up, and exit with what was seen last."""
    if once and lasting is not None:
        raise ConfigError("--once looks once and --for looks for a while; give one of them.")
    every = seconds(interval, "--interval")
    period = seconds(lasting, "--for") if lasting is not None else None
    environment = _watchable(env)
    from pytest_gaia.cli.monitor_shown import shown_for
    from pytest_gaia.observation.sampling import Tally

    tally = Tally(frozenset(environment.required))
    began = time.monotonic()
    # Without a word where the reader goes (gaia monitor dev | head -3).
    with reader_may_leave(sys.stdout):
        with stopped_by_signals() as stop, shown_for(environment, tally, as_json=as_json, once=once) as shown:
            _watch(environment, tally, shown, stop, every=every, until=began if once else period and began + period)
        if not once:
            shown.sum_up(time.monotonic() - began)
    code = exit_code(tally)
    if code:
        raise typer.Exit(code)


def exit_code(tally: Tally) -> int:
    """Return what the command ends with, by the last look."""
    if not tally.answered:
        return EnvironmentUnavailable.exit_code
    return 0 if tally.well else _UNWELL


def _watch(
    environment: Environment, tally: Tally, shown: Shown, stop: Stop, *, every: float, until: float | None
) -> None:
    from pytest_gaia.observation.sampling import sample

    patience = min(environment.timeouts.answer, _LONGEST_LOOK)
    while not stop.asked:
        began = time.monotonic()
        readings = sample(environment, deadline=patience, unwanted=lambda: stop.asked)
        if stop.asked:
            # A look that was broken off says nothing of those that had not answered yet.
            break
        when = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        shown.look(readings, tally.add(readings, when), when)
        now = time.monotonic()
        left = every - (now - began)
        if until is not None and now + left >= until:
            # The rest of the time brings no look any more.
            stop.wait(max(0.0, until - now))
            break
        stop.wait(left)


def _watchable(name: str) -> Environment:
    from pytest_gaia.config.resolve import resolve
    from pytest_gaia.observation.asking import targets

    environment = resolve(options_here(name))
    if environment.sandbox:
        raise ConfigError(
            f"{name}: the sandbox has no address before it runs. Start one (gaia sandbox up), take over the variables "
            "that it prints, and name the environment that they set: gaia monitor local."
        )
    if not any(target.ask is not None for target in targets(environment)):
        raise ConfigError(f"{name}: none of its members has an address; `gaia env show {name}` says what is known.")
    return environment
