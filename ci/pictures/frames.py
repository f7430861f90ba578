"""Frames of a terminal: the values between its emulation and its drawing."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

LONGEST_IDLE = 2.0
LONGEST = 15.0
SHORTEST_FRAME = 0.1
"""seconds"""


@dataclass(frozen=True, slots=True)
class Style:
    """The style of characters. A color is ``#rrggbb``; None is the default of the terminal."""

    colour: str | None = None
    background: str | None = None
    bold: bool = False
    italic: bool = False
    underlined: bool = False


@dataclass(frozen=True, slots=True)
class Span:
    """Adjacent characters of one style."""

    column: int
    cells: int
    """number of columns; a wide character takes two"""
    text: str
    style: Style = Style()


Row = tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class Frame:
    """The screen from ``at`` seconds on."""

    at: float
    rows: tuple[Row, ...]


def text_of(frame: Frame) -> list[str]:
    """Return the frame's lines as plain text, without colors and trailing spaces."""
    lines = []
    for row in frame.rows:
        line, end = "", 0
        for span in row:
            line += " " * (span.column - end) + span.text
            end = span.column + span.cells
        lines.append(line.rstrip())
    return lines


def condensed(frames: Sequence[Frame]) -> list[Frame]:
    """Return the frames without the shortest ones, with short idle times, in at most 15 seconds."""
    kept: list[Frame] = []
    for frame in frames:
        if kept and frame.at - kept[-1].at < SHORTEST_FRAME:
            kept[-1] = replace(frame, at=kept[-1].at)
        elif not kept or frame.rows != kept[-1].rows:
            kept.append(frame)
    return _within(_without_idling(kept))


def _without_idling(frames: Sequence[Frame]) -> list[Frame]:
    if not frames:
        return []
    shown = [replace(frames[0], at=0.0)]
    for before, after in pairwise(frames):
        shown.append(replace(after, at=shown[-1].at + min(after.at - before.at, LONGEST_IDLE)))
    return shown


def _within(frames: Iterable[Frame]) -> list[Frame]:
    every = list(frames)
    whole = every[-1].at if every else 0.0
    faster = LONGEST / whole if whole > LONGEST else 1.0
    return [replace(frame, at=frame.at * faster) for frame in every]
