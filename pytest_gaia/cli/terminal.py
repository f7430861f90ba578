"""What a terminal is shown: tables, and lines and tables that follow what happens. Loaded with rich, for terminals alone."""

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
"""characters of a line of a tool that are shown"""


def console(*, err: bool = False) -> Console:
    """Return rich's console, which moves the cursor of a terminal: what it prints from outside must be visible before."""
    stream = sys.stderr if err else sys.stdout
    return Console(file=getattr(stream, "stream", stream), highlight=False)


def draw_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Draw a table on standard output. Cells are plain text."""
    table = _table(columns)
    for row in rows:
        table.add_row(*(Text(visible(cell)) for cell in row))
    console().print(table)


def waiting(text: str) -> AbstractContextManager[object]:
    """Show on standard error that ``text`` goes on."""
    return console(err=True).status(text)


class Lines:
    """A line for each of several things, on standard error: its name, for how long it is at work, and what it does."""

    def __init__(self) -> None:
        self.display = Progress(
            SpinnerColumn("line", finished_text=" "),
            TextColumn("{task.fields[service]}", style="none" if _colourless() else "bold", markup=False),
            TimeElapsedColumn(),
            TextColumn("{task.description}", style="none", markup=False),
            console=console(err=True),
        )
        self._tasks: dict[str, TaskID] = {}

    def above(self, text: str) -> None:
        """Write a line above them."""
        self.display.console.print(text, markup=False)

    def add(self, names: Sequence[str], text: str) -> None:
        """Add a line for each of ``names``, whose clock does not run yet."""
        width = max(map(len, names))
        for name in names:
            self._tasks[name] = self.display.add_task(text, total=1, start=False, service=name.ljust(width))

    def update(self, name: str, text: str) -> None:
        """Show ``text`` in the line of ``name``, and let its clock run."""
        if (task := self._tasks.get(name)) is not None:
            self.display.start_task(task)
            self.display.update(task, description=_cut(text))

    def end(self, name: str, text: str) -> None:
        """Show ``text`` for good, and stop the clock."""
        if (task := self._tasks.get(name)) is not None:
            self.display.update(task, description=_cut(text), completed=1)
            self.display.stop_task(task)


@contextmanager
def redrawn(
    columns: Sequence[str], colours: Mapping[str, str]
) -> Iterator[Callable[[str, Sequence[Sequence[str]], Sequence[str]], None]]:
    """Give what draws a table anew in the same place, by its title, its rows, and lines below it.

    ``colours`` are those of the words in its second column.
    """
    with Live(console=console(), auto_refresh=False, transient=True) as live:

        def draw(title: str, rows: Sequence[Sequence[str]], below: Sequence[str]) -> None:
            table = _table(columns)
            for first, second, *rest in rows:
                colour = "" if _colourless() else colours.get(second, "")
                table.add_row(Text(first), Text(second, colour), *map(Text, rest))
            live.update(Group(Text(title), table, *map(Text, below)), refresh=True)

        yield draw


def _table(columns: Sequence[str]) -> Table:
    return Table(*columns, box=SIMPLE, header_style="" if _colourless() else "bold", pad_edge=False)


def _colourless() -> bool:
    """NO_COLOR asks for no escape sequences at all; rich alone would leave bold ones."""
    return bool(os.environ.get("NO_COLOR"))


def _cut(text: str) -> str:
    return text if len(text) <= _WIDEST else f"{text[: _WIDEST - 1]}…"
