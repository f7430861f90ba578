"""Output of commands: tables, lines and JSON."""

import json
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

import typer

from pytest_gaia.errors import ConfigError
from pytest_gaia.files.writing import write_file
from pytest_gaia.report.layout import aligned


def show_table(columns: Sequence[str], rows: Sequence[Sequence[str]], *, drop_empty: bool = False) -> None:
    """Write a table: drawn on a terminal, plain aligned lines elsewhere. Cells are plain text.

    ``drop_empty`` leaves out columns without any value.
    """
    if drop_empty:
        kept = [at for at in range(len(columns)) if any(row[at] for row in rows)]
        columns, rows = [columns[at] for at in kept], [[row[at] for at in kept] for row in rows]
    if sys.stdout.isatty() or os.environ.get("FORCE_COLOR"):
        from pytest_gaia.cli.terminal import draw_table

        draw_table(columns, rows)
    else:
        echo_lines(aligned([columns, *rows]))


def echo_lines(lines: Iterable[str]) -> None:
    """Write lines."""
    for line in lines:
        typer.echo(line)


def echo_error(line: str) -> None:
    """Write a line to standard error."""
    typer.echo(line, err=True)


def echo_json(value: object, *, indent: int | None = 2) -> None:
    """Write one JSON document, on one line if ``indent`` is None. Structs become objects of their fields."""
    typer.echo(_json(value, indent))


def write_json(value: object, output: Path | None) -> None:
    """Write one JSON document to the file of ``--output``; print it without one. Raises ``ConfigError``."""
    if output is None:
        echo_json(value)
        return
    try:
        write_file(output, f"{_json(value, 2)}\n")
    except OSError as error:
        raise ConfigError(f"--output {output}: cannot be written: {error.strerror}.") from None


def _json(value: object, indent: int | None) -> str:
    return json.dumps(value, indent=indent, ensure_ascii=False, default=_fields)


def _fields(value: object) -> Any:
    import msgspec

    return msgspec.to_builtins(value)


@contextmanager
def reader_may_leave(stream: TextIO) -> Iterator[None]:
    """Discard output once the reader of ``stream`` has gone, so that the command completes without an error."""
    try:
        yield
    except BrokenPipeError:
        leave(stream)


def leave(stream: TextIO) -> None:
    """Discard everything that is written to ``stream`` from now on."""
    devnull = os.open(os.devnull, os.O_WRONLY)
    os.dup2(devnull, stream.fileno())
    os.close(devnull)
