"""Tables, live lines and live tables on a terminal, drawn with rich."""

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager

from rich.box import SIMPLE
from rich.console import Console, Group
from rich.live import Live
from rich.progress import Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from pytest_gaia.printable import visible

_WIDEST = 90
"""Characters of a tool's line that are shown."""


def console(*, err: bool = False) -> Console:
    """Return rich's console. It passes escape sequences on, so make text from outside ``visible`` first."""
    stream = sys.stderr if err else sys.stdout
    return Console(file=getattr(stream, "stream", stream), highlight=False)


def draw_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Draw a table on standard output. Cells are plain text."""
    table = _table(columns)
    for row in rows:
        table.add_row(*(Text(visible(cell)) for cell in row))
    console().print(table)


def waiting(text: str) -> AbstractContextManager[object]:
    """Show a spinner with ``text`` on standard error."""
    return console(err=True).status(text)


class Lines:
    """A live line per service on standard error: its name, the elapsed time, and the current step."""

    def __init__(self) -> None:
        self.display = Progress(
            SpinnerColumn("line", finished_text=" "),
            TextColumn("{task.fields[service]}", style="none" if _no_color() else "bold", markup=False),
            TimeElapsedColumn(),
            TextColumn("{task.description}", style="none", markup=False),
            console=console(err=True),
        )
        self._tasks: dict[str, TaskID] = {}

    def above(self, text: str) -> None:
        """Write a line above the live lines."""
        self.display.console.print(text, markup=False)

    def add(self, names: Sequence[str], text: str) -> None:
        """Add a line for each of ``names``; their clocks do not run yet."""
        width = max(map(len, names))
        for name in names:
            self._tasks[name] = self.display.add_task(text, total=1, start=False, service=name.ljust(width))

    def update(self, name: str, text: str) -> None:
        """Show ``text`` in the line of ``name``, and start its clock."""
        if (task := self._tasks.get(name)) is not None:
            self.display.start_task(task)
            self.display.update(task, description=_cut(text))

    def end(self, name: str, text: str) -> None:
        """Show ``text``, and stop the clock."""
        if (task := self._tasks.get(name)) is not None:
            self.display.update(task, description=_cut(text), completed=1)
            self.display.stop_task(task)


@contextmanager
def redrawn(
    columns: Sequence[str], colors: Mapping[str, str]
) -> Iterator[Callable[[str, Sequence[Sequence[str]], Sequence[str]], None]]:
    """Yield a function that redraws a table in place, from its title, its rows, and lines below it.

    ``colors`` maps words of the second column to their color.
    """
    with Live(console=console(), auto_refresh=False, transient=True) as live:

        def draw(title: str, rows: Sequence[Sequence[str]], below: Sequence[str]) -> None:
            table = _table(columns)
            for first, second, *rest in rows:
                color = "" if _no_color() else colors.get(second, "")
                table.add_row(Text(first), Text(second, color), *map(Text, rest))
            live.update(Group(Text(title), table, *map(Text, below)), refresh=True)

        yield draw


def _table(columns: Sequence[str]) -> Table:
    return Table(*columns, box=SIMPLE, header_style="" if _no_color() else "bold", pad_edge=False)


def _no_color() -> bool:
    """Return whether NO_COLOR is set. Rich alone would still print bold text."""
    return bool(os.environ.get("NO_COLOR"))


def _cut(text: str) -> str:
    return text if len(text) <= _WIDEST else f"{text[: _WIDEST - 1]}…"
