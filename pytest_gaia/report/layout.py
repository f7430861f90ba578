"""Text for terminals, without a terminal library: wrapped lines, aligned columns, the terms of an expectation."""

from __future__ import annotations

import textwrap
import unicodedata
from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING

from pytest_gaia.printable import one_line
from pytest_gaia.wording import counted

if TYPE_CHECKING:
    from pytest_gaia.expectations.expectation import Expectation
    from pytest_gaia.verdict.report import ExpectationUse

NARROWEST = 80
"""the smallest width that text is laid out for; a narrower terminal wraps lines itself"""


def columns(text: str) -> int:
    """Return the width of ``text`` in columns: two for wide characters, none for combining ones."""
    return len(text) if text.isascii() else sum(map(_columns, text))


def _columns(sign: str) -> int:
    if unicodedata.combining(sign):
        return 0
    return 2 if unicodedata.east_asian_width(sign) in "WF" else 1


def wrapped(text: str, width: int, *, indent: int = 0, hanging: int | None = None) -> list[str]:
    """Return ``text`` in lines of at most ``width`` columns; only a single word can be wider.

    The first line is indented by ``indent`` spaces, the others by ``hanging`` (default: the same).
    """
    first = " " * indent
    other = " " * (indent if hanging is None else hanging)
    if text.isascii():
        return textwrap.wrap(
            text,
            width,
            initial_indent=first,
            subsequent_indent=other,
            break_long_words=False,
            break_on_hyphens=False,
        )
    lines: list[str] = []
    line, used, empty = first, len(first), True
    for word in text.split():
        needed = columns(word) + (not empty)
        if not empty and used + needed > width:
            lines.append(line)
            line, used, empty, needed = other, len(other), True, columns(word)
        line += word if empty else f" {word}"
        used, empty = used + needed, False
    return lines if empty else [*lines, line]


def listed(head: str, parts: Iterable[str], width: int, *, hanging: int = 2) -> list[str]:
    """Return ``head`` and comma-separated ``parts``, in lines of at most ``width`` columns broken between parts."""
    *others, last = parts
    words = [*(f"{part}," for part in others), last]
    lines = [head]
    for word in words:
        if columns(lines[-1]) + 1 + columns(word) <= width:
            lines[-1] += f" {word}"
        else:
            lines += wrapped(word, width, indent=hanging, hanging=hanging + 2)
    return lines


def cut(text: str, width: int) -> str:
    """Return ``text`` cut to ``width`` columns."""
    return text if columns(text) <= width else f"{_taken(text, width - 1)}…"


def _taken(text: str, width: int) -> str:
    ends = accumulate(map(_columns, text))
    return text[: sum(end <= width for end in ends)]


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return ``rows`` as lines with aligned columns, without trailing spaces."""
    rows = [tuple(map(one_line, row)) for row in rows]
    widths = [max(map(columns, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(map(_filled, row, widths)).rstrip() for row in rows]


def _filled(cell: str, width: int) -> str:
    return cell + " " * (width - columns(cell))


def terms(expectation: Expectation | ExpectationUse) -> str:
    """Return issue, owner and expiry date of an expectation, such as ``GAIA-1, @team, until 2027-01-31``."""
    return f"{expectation.issue}, {expectation.owner}, until {expectation.expires}"


def told(expectation: Expectation | ExpectationUse) -> str:
    """Return the reason and the terms of an expectation."""
    return f"{expectation.reason} ({terms(expectation)})"


def remaining(days: int) -> str:
    """Return the time until something expires in ``days``, such as ``3 days left`` or ``ended 1 day ago``."""
    if days > 0:
        return f"{counted(days, 'day')} left"
    return f"ended {counted(-days, 'day')} ago" if days else "ended today"
