"""Positions of the parts of the charts, which a template draws as SVG.

Every chart has a description in words. Color is never the only difference between two kinds of bars: they also differ in
pattern or shape, and the numbers are next to them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from pytest_gaia.report.signoff.page import SHOWN_RUNS, Objective, RunPoint

WIDTH = 320
"""width of every chart, in units of its view box"""
_LEFT, _RIGHT = 4, 316
_ROOM = 1.15
"""size of the drawing, relative to the largest value"""
_LONGEST = 50
"""shown characters of a name"""


@dataclass(frozen=True, slots=True)
class Bar:
    """A rectangle of a chart."""

    kind: str
    """its meaning, which is also its class"""
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class Mark:
    """A word or a line at a position."""

    kind: str
    x: float
    y: float
    text: str = ""
    anchor: str = "start"


@dataclass(frozen=True, slots=True)
class Chart:
    """One drawing, and its description in words."""

    id: str
    title: str
    description: str
    height: float
    bars: tuple[Bar, ...] = ()
    marks: tuple[Mark, ...] = ()
    width: int = WIDTH

    @property
    def patterns(self) -> tuple[str, ...]:
        """The kinds of bars that have a pattern: expected failures are hatched, unexpected results are dotted."""
        return tuple(kind for kind in ("expected", "failed") if any(bar.kind == kind for bar in self.bars))


def latency(objectives: Sequence[Objective]) -> Chart:
    """Draw each objective as a bar up to the measured latency, with lines at its warning threshold and its limit."""
    bars: list[Bar] = []
    marks: list[Mark] = []
    for place, each in enumerate(objectives):
        top = place * 56 + 18
        largest = max(each.measured_ms or 0, each.fail_ms, 1)
        scale = (_RIGHT - _LEFT) / (largest * _ROOM)
        bars.append(Bar("track", _LEFT, top, _RIGHT - _LEFT, 12))
        if each.measured_ms is not None:
            bars.append(Bar(each.status, _LEFT, top, round(max(each.measured_ms * scale, 2), 1), 12))
        marks.append(Mark("name", _LEFT, top - 5, _short(f"{each.environment}: {each.route}")))
        limits = (("fail", each.fail_ms), ("warn", each.warn_ms), ("median", each.median_ms))
        marks += [Mark(kind, round(_LEFT + ms * scale, 1), top) for kind, ms in limits if ms is not None]
        marks.append(Mark("value", _LEFT, top + 26, _measured(each)))
    height = len(objectives) * 56 + 2
    return Chart("latency", "Latency against objectives", _described(objectives), height, tuple(bars), tuple(marks))


def _measured(each: Objective) -> str:
    if each.measured_ms is None:
        return f"not measured; limit {each.fail_ms:g} ms, {each.samples} samples"
    return f"{each.status}: p{each.percentile:g} {each.measured_ms:g} ms, limit {each.fail_ms:g} ms, {each.samples} samples"


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def _described(objectives: Sequence[Objective]) -> str:
    return " ".join(
        f"{each.environment}, {each.route}: {each.status}, {each.reason or 'no details'}; the limit is {each.fail_ms:g} ms."
        for each in objectives
    )


def passes(points: Sequence[RunPoint]) -> tuple[Chart, ...]:
    """Draw the last runs of each environment, one column per run: passed, then expected failures, then unexpected results."""
    return tuple(
        _passes(name, list(found)[-SHOWN_RUNS:]) for name, found in groupby(points, lambda point: point.environment)
    )


def _passes(name: str, points: Sequence[RunPoint]) -> Chart:
    base, room, step = 104.0, 84.0, 39.0
    most = max(map(_tested, points)) or 1
    bars: list[Bar] = []
    marks: list[Mark] = [Mark("axis", _LEFT, base)]
    for place, point in enumerate(points):
        x, y = _LEFT + place * step + 4, base
        for kind, count in (("passed", point.passed), ("expected", point.expected), ("failed", point.failed)):
            height = count / most * room
            y -= height
            if count:
                bars.append(Bar(kind, x, round(y, 1), 30, round(height, 1)))
        middle = x + 15
        marks.append(Mark("count", middle, round(y - 4, 1), str(point.passed), "middle"))
        marks.append(Mark("this" if point.this else "run", middle, base + 13, point.release[:6], "middle"))
        marks.append(Mark("verdict", middle, base + 25, _signs(point), "middle"))
    title = f"{name}: tests"
    return Chart(f"passes-{name}", title, _summary(points), base + 30, tuple(bars), tuple(marks))


def _signs(point: RunPoint) -> str:
    return "✓" if point.verdict == "PROMOTE" else point.verdict.lower()


def _tested(point: RunPoint) -> int:
    return point.passed + point.expected + point.failed


def _summary(points: Sequence[RunPoint]) -> str:
    return " ".join(
        f"{point.when}, {'this release' if point.this else f'release {point.release}'}: {point.verdict}, {point.passed} passed, "
        f"{point.expected} expected failures, {point.failed} unexpected."
        for point in points
    )
