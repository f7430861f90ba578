"""`gaia status ENV --watch` and `--probe`: query the services of one environment, and show response times and changes."""

from __future__ import annotations

import datetime
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import typer

from pytest_gaia.cli.options import format_duration, options_here
from pytest_gaia.cli.output import echo_json, reader_may_leave, show_table
from pytest_gaia.config.environment import Environment
from pytest_gaia.config.resolve import Options, resolve
from pytest_gaia.errors import ConfigError, EnvironmentUnavailable
from pytest_gaia.observation.overview import probe
from pytest_gaia.observation.sampling import Reading, ServiceTally, Tally
from pytest_gaia.observation.targets import targets
from pytest_gaia.system.signals import Stop, stopped_by_signals
from pytest_gaia.wording import counted

_UNHEALTHY = 1
_LONGEST_PROBE = 30.0
"""Seconds after which a service counts as unreachable."""


def probe_once(env: str, *, as_json: bool) -> int:
    """Query the services of ``env`` once, show the result and return the exit code."""
    options = options_here(env)
    environment = _with_address(options)
    return _run(environment, options.rootdir, as_json=as_json, once=True, every=0.0, period=0.0)


def watch_environment(env: str, every: float, period: float | None, *, as_json: bool) -> int:
    """Query the services of ``env`` every ``every`` seconds, at most for ``period``; return the last exit code."""
    options = options_here(env)
    return _run(_with_address(options), options.rootdir, as_json=as_json, once=False, every=every, period=period)


def _run(
    environment: Environment, rootdir: Path, *, as_json: bool, once: bool, every: float, period: float | None
) -> int:
    tally = Tally()
    began = time.monotonic()
    until = None if period is None else began + period
    # A closed pipe (gaia status dev --watch | head -3) is no error.
    with reader_may_leave(sys.stdout):
        with stopped_by_signals() as stop, shown_for(environment, tally, as_json=as_json, once=once) as shown:
            _watch(environment, rootdir, tally, shown, stop, every=every, until=until)
        if not once:
            shown.sum_up(time.monotonic() - began)
    return exit_code(tally)


def exit_code(tally: Tally) -> int:
    """Return the exit code for the last sample."""
    if not tally.answered:
        return EnvironmentUnavailable.exit_code
    return 0 if tally.well else _UNHEALTHY


def _watch(
    environment: Environment,
    rootdir: Path,
    tally: Tally,
    shown: Shown,
    stop: Stop,
    *,
    every: float,
    until: float | None,
) -> None:
    patience = min(environment.timeouts.response, _LONGEST_PROBE)
    while not stop.asked:
        began = time.monotonic()
        readings = probe(environment, rootdir, deadline=patience, unwanted=lambda: stop.asked)
        if stop.asked:
            # An interrupted sample has no result for the services that had not responded yet.
            break
        when = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        shown.sample(readings, tally.add(readings, when), when)
        now = time.monotonic()
        left = every - (now - began)
        if until is not None and now + left >= until:
            # There is no time left for another sample.
            stop.wait(max(0.0, until - now))
            break
        stop.wait(left)


def _with_address(options: Options) -> Environment:
    environment = resolve(options)
    name = environment.name
    if environment.sandbox:
        raise ConfigError(
            f"{name}: the sandbox has no address until it runs. Start one with `gaia sandbox up`, set the variables that "
            "it prints, and run: gaia status local --watch"
        )
    if not any(target.ask is not None for target in targets(environment)):
        raise ConfigError(f"{name}: no service has an address. Check the values with `gaia env show {name}`.")
    return environment


_COLUMNS = ("service", "state", "last", "mean", "max", "first", "healthy", "reason")
Rows = Sequence[Sequence[str]]
_RECENT = 5
"""Changes below the table on a terminal."""
_COLORS = {"ready": "green", "degraded": "yellow", "unhealthy": "red", "unreachable": "red"}


class Shown(Protocol):
    """A way to show samples."""

    def sample(self, readings: Sequence[Reading], changes: Sequence[str], when: str) -> None:
        """Show one sample; ``changes`` are the differences from the one before."""

    def sum_up(self, elapsed: float) -> None:
        """Show the summary after ``elapsed`` seconds."""


@contextmanager
def shown_for(environment: Environment, tally: Tally, *, as_json: bool, once: bool) -> Iterator[Shown]:
    """Return the display for the target of standard output: JSON, a table, a live table, or lines."""
    if as_json:
        yield JsonLines(environment, tally)
    elif once:
        yield OneSample(environment, tally)
    elif sys.stdout.isatty():
        from pytest_gaia.cli.terminal import redrawn

        with redrawn(_COLUMNS, _COLORS) as draw:
            yield OnTerminal(environment, tally, draw)
    else:
        yield Lines(environment, tally)


class OneSample:
    """A table of one sample."""

    def __init__(self, environment: Environment, tally: Tally) -> None:
        self.environment = environment
        self.tally = tally

    def sample(self, readings: Sequence[Reading], changes: Sequence[str], when: str) -> None:
        """Show the table."""
        rows = [(r.service, r.state, _ms(r.latency_ms), r.version or "", r.detail) for r in readings]
        show_table(("service", "state", "time", "version", "reason"), rows)

    def sum_up(self, elapsed: float) -> None:
        """Show each service, the changes, and the elapsed time."""
        typer.echo(f"{_title(self.environment, self.tally)} in {format_duration(elapsed)}")
        if self.tally.services:
            show_table(_COLUMNS, [row(each) for each in self.tally.services.values()])
        for when, change in self.tally.changes:
            typer.echo(f"{when}  {change}")


class Lines(OneSample):
    """One line per sample, for pipes and logs."""

    def sample(self, readings: Sequence[Reading], changes: Sequence[str], when: str) -> None:
        """Write one line, and one for each change."""
        parts = (f"{r.service} {r.state} {_ms(r.latency_ms)}".rstrip() for r in readings)
        typer.echo(f"{when}  {', '.join(parts)}")
        for change in changes:
            typer.echo(f"{when}  changed: {change}")


class OnTerminal(OneSample):
    """A table that is redrawn for each sample."""

    def __init__(
        self, environment: Environment, tally: Tally, draw: Callable[[str, Rows, Sequence[str]], None]
    ) -> None:
        super().__init__(environment, tally)
        self._draw = draw

    def sample(self, readings: Sequence[Reading], changes: Sequence[str], when: str) -> None:
        """Draw the table and the latest changes."""
        title = f"{_title(self.environment, self.tally)}, last sample {when}; stop with Ctrl-C"
        rows = [row(each) for each in self.tally.services.values()]
        self._draw(title, rows, [f"{when}  {change}" for when, change in self.tally.changes[-_RECENT:]])


class JsonLines:
    """A JSON object per sample, and a summary at the end."""

    def __init__(self, environment: Environment, tally: Tally) -> None:
        self.environment = environment
        self.tally = tally

    def sample(self, readings: Sequence[Reading], changes: Sequence[str], when: str) -> None:
        """Write the readings."""
        self._write({"line": "sample", "when": when, "services": readings, "changes": list(changes)})

    def sum_up(self, elapsed: float) -> None:
        """Write the figures of each service."""
        services = {name: _figures(each) for name, each in self.tally.services.items()}
        known = {"seconds": round(elapsed, 1), "samples": self.tally.samples, "well": self.tally.well}
        self._write({"line": "summary", **known, "services": services})

    def _write(self, line: dict[str, object]) -> None:
        echo_json({"environment": self.environment.name, **line}, indent=None)


def row(tally: ServiceTally) -> tuple[str, ...]:
    """Return the cells of one service."""
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
    return f"{environment.label}: {counted(tally.samples, 'sample')}"


def _ms(value: float | None) -> str:
    return "" if value is None else f"{value:.0f} ms"
