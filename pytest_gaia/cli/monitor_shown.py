"""What ``gaia monitor`` shows: a table that follows on a terminal, lines in a pipe, JSON lines for programs."""

from __future__ import annotations

import json
import os
import sys
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Protocol

import typer

from pytest_gaia.cli.durations import spoken
from pytest_gaia.cli.tables import console, show_table
from pytest_gaia.wording import counted

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.console import RenderableType
    from rich.live import Live

    from pytest_gaia.config.environment import Environment
    from pytest_gaia.observation.sampling import MemberTally, Reading, Tally

_COLUMNS = ("member", "state", "now", "mean", "worst", "first", "well", "why")
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
        from rich.live import Live

        with Live(console=console(), auto_refresh=False, transient=True) as live:
            yield OnTerminal(environment, tally, live)
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

    def __init__(self, environment: Environment, tally: Tally, live: Live) -> None:
        super().__init__(environment, tally)
        self._live = live

    def look(self, readings: Sequence[Reading], changes: Sequence[str], when: str) -> None:
        """Draw the table, and below it what changed last."""
        self._live.update(self._drawn(when), refresh=True)

    def _drawn(self, when: str) -> RenderableType:
        from rich.box import SIMPLE
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        plain = bool(os.environ.get("NO_COLOR"))
        title = Text(f"{_title(self.environment, self.tally)}, the last {when}; Ctrl-C ends it")
        table = Table(*_COLUMNS, box=SIMPLE, header_style="" if plain else "bold", pad_edge=False)
        for each in self.tally.members.values():
            member, state, *rest = row(each)
            table.add_row(Text(member), Text(state, "" if plain else _COLOURS.get(state, "")), *map(Text, rest))
        recent = (Text(f"{when}  {change}") for when, change in self.tally.changes[-_RECENT:])
        return Group(title, table, *recent)


class JsonLines:
    """A JSON object a look, and one at the end."""

    def __init__(self, environment: Environment, tally: Tally) -> None:
        self.environment = environment
        self.tally = tally

    def look(self, readings: Sequence[Reading], changes: Sequence[str], when: str) -> None:
        """Write the readings."""
        members = [asdict(reading) for reading in readings]
        self._write({"line": "look", "when": when, "members": members, "changes": list(changes)})

    def sum_up(self, elapsed: float) -> None:
        """Write the figures of each member."""
        members = {name: _figures(each) for name, each in self.tally.members.items()}
        known = {"seconds": round(elapsed, 1), "samples": self.tally.samples, "well": self.tally.well}
        self._write({"line": "summary", **known, "members": members})

    def _write(self, line: dict[str, object]) -> None:
        typer.echo(json.dumps({"environment": self.environment.name, **line}, ensure_ascii=False))


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
