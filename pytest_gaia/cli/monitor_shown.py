"""What ``gaia monitor`` shows: a table that follows on a terminal, lines in a pipe, JSON lines for programs."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

import typer

from pytest_gaia.cli.durations import spoken
from pytest_gaia.cli.output import echo_json, show_table
from pytest_gaia.config.environment import Environment
from pytest_gaia.observation.sampling import MemberTally, Reading, Tally
from pytest_gaia.wording import counted

_COLUMNS = ("member", "state", "now", "mean", "worst", "first", "well", "why")
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
        rows = [(r.member, r.state, _ms(r.latency_ms), r.version or "", r.detail) for r in readings]
        show_table(("member", "state", "answer", "version", "why"), rows)

    def sum_up(self, elapsed: float) -> None:
        """Show each member, what changed, and how long it took."""
        typer.echo(f"{_title(self.environment, self.tally)} in {spoken(elapsed)}")
        if self.tally.members:
            show_table(_COLUMNS, [row(each) for each in self.tally.members.values()])
        for when, change in self.tally.changes:
            typer.echo(f"{when}  {change}")


class Lines(OneLook):
    """A line a look, for pipes and logs."""

    def look(self, readings: Sequence[Reading], changes: Sequence[str], when: str) -> None:
        """Write one line, and one more for each change."""
        parts = (f"{r.member} {r.state} {_ms(r.latency_ms)}".rstrip() for r in readings)
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
        rows = [row(each) for each in self.tally.members.values()]
        self._draw(title, rows, [f"{when}  {change}" for when, change in self.tally.changes[-_RECENT:]])


class JsonLines:
    """A JSON object a look, and one at the end."""

    def __init__(self, environment: Environment, tally: Tally) -> None:
        self.environment = environment
        self.tally = tally

    def look(self, readings: Sequence[Reading], changes: Sequence[str], when: str) -> None:
        """Write the readings."""
        self._write({"line": "look", "when": when, "members": readings, "changes": list(changes)})

    def sum_up(self, elapsed: float) -> None:
        """Write the figures of each member."""
        members = {name: _figures(each) for name, each in self.tally.members.items()}
        known = {"seconds": round(elapsed, 1), "samples": self.tally.samples, "well": self.tally.well}
        self._write({"line": "summary", **known, "members": members})

    def _write(self, line: dict[str, object]) -> None:
        echo_json({"environment": self.environment.name, **line}, indent=None)


def row(tally: MemberTally) -> tuple[str, ...]:
    """Return one member's figures for people, as the columns have them."""
    last = tally.last
    times = (last.latency_ms if last else None, tally.mean_ms, tally.worst_ms, tally.first_ms)
    well = f"{tally.availability:.4g} %"
    return tally.member, last.state if last else "", *map(_ms, times), well, last.detail if last else ""


def _figures(tally: MemberTally) -> dict[str, object]:
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
