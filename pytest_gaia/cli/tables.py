"""A table: drawn on a terminal, plain aligned lines everywhere else."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import typer

from pytest_gaia.printable import visible
from pytest_gaia.report.layout import aligned

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console


def show_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Write a table to standard output. Cells are plain text."""
    if not sys.stdout.isatty():
        for line in aligned([columns, *rows]):
            typer.echo(line)
        return
    from rich.box import SIMPLE
    from rich.table import Table
    from rich.text import Text

    # NO_COLOR asks for no escape sequences at all; rich alone would leave the bold ones.
    style = "" if os.environ.get("NO_COLOR") else "bold"
    table = Table(*columns, box=SIMPLE, header_style=style, pad_edge=False)
    for row in rows:
        table.add_row(*(Text(visible(cell)) for cell in row))
    console().print(table)


def console(*, err: bool = False) -> Console:
    """Return rich's console, which moves the cursor of a terminal: what it prints from outside must be visible before."""
    from rich.console import Console

    stream = sys.stderr if err else sys.stdout
    return Console(file=getattr(stream, "stream", stream), highlight=False)
