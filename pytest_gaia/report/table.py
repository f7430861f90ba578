"""Plain aligned text, for places where no terminal library is loaded."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_gaia.printable import one_line
from pytest_gaia.report.layout import columns


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return ``rows`` as lines whose columns begin at the same place; no spaces at the ends of lines."""
    rows = [tuple(map(one_line, row)) for row in rows]
    widths = [max(map(columns, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(map(_filled, row, widths)).rstrip() for row in rows]


def _filled(cell: str, width: int) -> str:
    return cell + " " * (width - columns(cell))
