"""``gaia monitor``: how an environment is, again and again, until somebody ends it."""

from __future__ import annotations

import datetime
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, Protocol

import typer

from pytest_gaia.cli.asking import seconds, spoken
from pytest_gaia.cli.options import EnvironmentName, options_here
from pytest_gaia.cli.output import echo_json, reader_may_leave, show_table
from pytest_gaia.config.environment import Environment
from pytest_gaia.config.resolve import resolve
from pytest_gaia.errors import ConfigError, EnvironmentUnavailable
from pytest_gaia.observation.asking import targets
from pytest_gaia.observation.sampling import Reading, ServiceTally, Tally, sample
from pytest_gaia.system.signals import Stop, stopped_by_signals
from pytest_gaia.wording import counted

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
    tally = Tally(frozenset(environment.required))
    began = time.monotonic()
    # Without a word where the reader goes (gaia monitor dev | head -3).
    with reader_may_leave(sys.stdout):
        with stopped_by_signals() as stop, shown_for(environment, tally, as_json=as_json, once=once) as shown:
            _watch(environment, tally, shown, stop, every=every, until=began if once else period and began + period)
        if not once:
            shown.sum_up(time.monotonic() - began)
    raise typer.Exit(exit_code(tally))


def exit_code(tally: Tally) -> int:
    """Return what the command ends with, by the last look."""
    if not tally.answered:
        return EnvironmentUnavailable.exit_code
    return 0 if tally.well else _UNWELL


def _watch(
    environment: Environment, tally: Tally, shown: Shown, stop: Stop, *, every: float, until: float | None
) -> None:
    patience = min(environment.timeouts.response, _LONGEST_LOOK)
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
    environment = resolve(options_here(name))
    if environment.sandbox:
        raise ConfigError(
            f"{name}: the sandbox has no address before it runs. Start one (gaia sandbox up), take over the variables "
            "that it prints, and name the environment that they set: gaia monitor local."
        )
    if not any(target.ask is not None for target in targets(environment)):
        raise ConfigError(f"{name}: none of its members has an address; `gaia env show {name}` says what is known.")
    return environment


_COLUMNS = ("service", "state", "now", "mean", "worst", "first", "well", "why")
Rows = Sequence[Sequence[str]]
_RECENT = 5
"""changes that the table on a terminal has below it"""
_COLOURS = {"ready": "green", "degraded": "yellow", "unhealthy": "red", "unreachable": "red"}


class Shown(Protocol):
    """One way to show what is seen."""

    def look(self, readings: Sequence[Reading], changes: Sequence[str], when: str) -> None:
        """Show one look; ``changes`` are what differs from the one before."""

    def sum_up(self, elapsed: float) -> None:
        """Show what it came to after ``elapsed`` seconds."""


@contextmanager
def shown_for(environment: Environment, tally: Tally, *, as_json: bool, once: bool) -> Iterator[Shown]:
    """Give the way to show it that fits where standard output goes."""
    if as_json:
        yield JsonLines(environment, tally)
    elif once:
        yield OneLook(environment, tally)
    elif sys.stdout.isatty():
        from pytest_gaia.cli.terminal import redrawn

        with redrawn(_COLUMNS, _COLOURS) as draw:
            yield OnTerminal(environment, tally, draw)
    else:
        yield Lines(environment, tally)


class OneLook:
    """A table of the one look."""

    def __init__(self, environment: Environment, tally: Tally) -> None:
        self.environment = environment
        self.tally = tally

    def look(self, readings: Sequence[Reading], changes: Sequence[str], when: str) -> None:
        """Show the table."""
        rows = [(r.service, r.state, _ms(r.latency_ms), r.version or "", r.detail) for r in readings]
        show_table(("service", "state", "answer", "version", "why"), rows)

    def sum_up(self, elapsed: float) -> None:
        """Show each member, what changed, and how long it took."""
        typer.echo(f"{_title(self.environment, self.tally)} in {spoken(elapsed)}")
        if self.tally.services:
            show_table(_COLUMNS, [row(each) for each in self.tally.services.values()])
        for when, change in self.tally.changes:
            typer.echo(f"{when}  {change}")


class Lines(OneLook):
    """A line a look, for pipes and logs."""

    def look(self, readings: Sequence[Reading], changes: Sequence[str], when: str) -> None:
        """Write one line, and one more for each change."""
        parts = (f"{r.service} {r.state} {_ms(r.latency_ms)}".rstrip() for r in readings)
        typer.echo(f"{when}  {', '.join(parts)}")
        for change in changes:
            typer.echo(f"{when}  changed: {change}")


class OnTerminal(OneLook):
    """A table that is drawn anew at each look."""

    def __init__(
        self, environment: Environment, tally: Tally, draw: Callable[[str, Rows, Sequence[str]], None]
    ) -> None:
        super().__init__(environment, tally)
        self._draw = draw

    def look(self, readings: Sequence[Reading], changes: Sequence[str], when: str) -> None:
        """Draw the table, and below it what changed last."""
        title = f"{_title(self.environment, self.tally)}, the last {when}; Ctrl-C ends it"
        rows = [row(each) for each in self.tally.services.values()]
        self._draw(title, rows, [f"{when}  {change}" for when, change in self.tally.changes[-_RECENT:]])


class JsonLines:
    """A JSON object a look, and one at the end."""

    def __init__(self, environment: Environment, tally: Tally) -> None:
        self.environment = environment
        self.tally = tally

    def look(self, readings: Sequence[Reading], changes: Sequence[str], when: str) -> None:
        """Write the readings."""
        self._write({"line": "look", "when": when, "services": readings, "changes": list(changes)})

    def sum_up(self, elapsed: float) -> None:
        """Write the figures of each member."""
        services = {name: _figures(each) for name, each in self.tally.services.items()}
        known = {"seconds": round(elapsed, 1), "samples": self.tally.samples, "well": self.tally.well}
        self._write({"line": "summary", **known, "services": services})

    def _write(self, line: dict[str, object]) -> None:
        echo_json({"environment": self.environment.name, **line}, indent=None)


def row(tally: ServiceTally) -> tuple[str, ...]:
    """Return one member's figures for people, as the columns have them."""
    last = tally.last
    times = (last.latency_ms if last else None, tally.mean_ms, tally.worst_ms, tally.first_ms)
    well = f"{tally.availability:.4g} %"
    return tally.service, last.state if last else "", *map(_ms, times), well, last.detail if last else ""


def _figures(tally: ServiceTally) -> dict[str, object]:
    return {
        "state": tally.last.state if tally.last else None,
        "version": tally.last.version if tally.last else None,
        "samples": tally.samples,
        "well": tally.well,
        "availability": round(tally.availability, 3),
        "first_ms": tally.first_ms,
        "mean_ms": None if tally.mean_ms is None else round(tally.mean_ms, 1),
        "worst_ms": tally.worst_ms,
    }


def _title(environment: Environment, tally: Tally) -> str:
    return f"{environment.label}: {counted(tally.samples, 'look')}"


def _ms(value: float | None) -> str:
    return "" if value is None else f"{value:.0f} ms"
