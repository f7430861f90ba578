"""Where the parts of the charts are: numbers that a template draws as SVG. Pure.

Every chart says in words what it shows, and no part is told from another by its colour alone: bars of one kind have a
pattern or a form of their own, and the numbers stand beside them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from pytest_gaia.report.signoff.page import SHOWN_RUNS, ExpectationAge, Objective, RunPoint
from pytest_gaia.wording import counted

WIDTH = 320
"""of every chart, in units of its view box: a phone shows it at its own size"""
_LEFT, _RIGHT = 4, 316
_ROOM = 1.15
"""of the largest value, so that nothing touches the edge"""
_ROWS = 6
"""rules in one drawing"""
_LONGEST = 50
"""signs of a name that there is room for"""


@dataclass(frozen=True, slots=True)
class Bar:
    """A rectangle of a chart."""

    kind: str
    """what it means, which is also its class"""
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class Mark:
    """A word or a line at a place."""

    kind: str
    x: float
    y: float
    text: str = ""
    anchor: str = "start"


@dataclass(frozen=True, slots=True)
class Chart:
    """One drawing, and what it says in words."""

    id: str
    title: str
    description: str
    height: float
    bars: tuple[Bar, ...] = ()
    marks: tuple[Mark, ...] = ()
    width: int = WIDTH

    @property
    def patterns(self) -> tuple[str, ...]:
        """The kinds of bars that are told by a pattern: what was excused is hatched, what is bad is dotted."""
        return tuple(kind for kind in ("excused", "failed") if any(bar.kind == kind for bar in self.bars))


def latency(objectives: Sequence[Objective]) -> Chart:
    """Draw each objective as a bar from nothing to what was measured, and lines where it warns and fails."""
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
    return Chart("latency", "Latency against objectives", _said_of(objectives), height, tuple(bars), tuple(marks))


def _measured(each: Objective) -> str:
    if each.measured_ms is None:
        return f"not measured; at most {each.fail_ms:g} ms, {each.samples} samples"
    return f"{each.status}: p{each.percentile:g} {each.measured_ms:g} ms of at most {each.fail_ms:g} ms, {each.samples} samples"


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def _said_of(objectives: Sequence[Objective]) -> str:
    return " ".join(
        f"{each.environment}, {each.route}: {each.status}, {each.why or 'no more is known'}; the limit is {each.fail_ms:g} ms."
        for each in objectives
    )


def passes(points: Sequence[RunPoint]) -> tuple[Chart, ...]:
    """Draw the last runs of each environment, one column a run: what passed below, then what was excused, then what failed."""
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
        for kind, count in (("passed", point.passed), ("excused", point.accepted), ("failed", point.failed)):
            height = count / most * room
            y -= height
            if count:
                bars.append(Bar(kind, x, round(y, 1), 30, round(height, 1)))
        middle = x + 15
        marks.append(Mark("count", middle, round(y - 4, 1), str(point.passed), "middle"))
        marks.append(Mark("this" if point.this else "run", middle, base + 13, point.release[:6], "middle"))
        marks.append(Mark("verdict", middle, base + 25, _signs(point), "middle"))
    title = f"{name}: tests that ran"
    return Chart(f"passes-{name}", title, _told(points), base + 30, tuple(bars), tuple(marks))


def _signs(point: RunPoint) -> str:
    return "✓" if point.verdict == "PROMOTE" else point.verdict.lower()


def _tested(point: RunPoint) -> int:
    return point.passed + point.accepted + point.failed


def _told(points: Sequence[RunPoint]) -> str:
    return " ".join(
        f"{point.when}, {'this release' if point.this else f'bundle {point.release}'}: {point.verdict}, {point.passed} passed, "
        f"{point.accepted} excused, {point.failed} unexpected."
        for point in points
    )


def ages(expectations: Sequence[ExpectationAge]) -> tuple[Chart, ...]:
    """Draw each rule as a bar of the days since it was added, and an outlined one of the days that it has left.

    All drawings have one scale; one has as many rules as are read at a glance.
    """
    longest = max((each.age_days + max(each.days_left, 0) for each in expectations), default=0) or 1
    scale = (_RIGHT - _LEFT) / longest
    return tuple(
        _ages(expectations[first : first + _ROWS], scale, first // _ROWS + 1)
        for first in range(0, len(expectations), _ROWS)
    )


def _ages(expectations: Sequence[ExpectationAge], scale: float, number: int) -> Chart:
    bars: list[Bar] = []
    marks: list[Mark] = []
    for place, each in enumerate(expectations):
        top = place * 46 + 16
        old, left = max(each.age_days * scale, 2), max(each.days_left, 0) * scale
        bars += [Bar("age", _LEFT, top, round(old, 1), 10), Bar("left", round(_LEFT + old, 1), top, round(left, 1), 10)]
        marks.append(Mark("name", _LEFT, top - 4, _short(each.expectation)))
        marks.append(Mark("value", _LEFT, top + 23, _days(each)))
    said = " ".join(f"{each.expectation}: {_days(each)}." for each in expectations)
    title = "How old rules are, and how long they hold"
    return Chart(f"ages-{number}", title, said, len(expectations) * 46 + 2, tuple(bars), tuple(marks))


def _days(each: ExpectationAge) -> str:
    return f"{counted(each.age_days, 'day')} old, {each.left}"
