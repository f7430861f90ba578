"""The release report as one static HTML document, and as Markdown for the summary of a CI job.

The HTML has no scripts and loads nothing; its content security policy enforces that. The first part of the document, up
to the signatures, fits on the first printed page.

Templates draw the charts as SVG. Every chart has a description in words. Color is never the only difference between two
kinds of bars: they also differ in pattern or shape, and the numbers are next to them.
"""

import base64
import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from pytest_gaia.report.github import code, escaped, link
from pytest_gaia.report.layout import remaining
from pytest_gaia.report.signoff.page import (
    SHOWN_BLOCKING,
    SHOWN_RUNS,
    SHOWN_TESTS,
    SHOWN_UNTESTED,
    Objective,
    RunPoint,
    SignOffPage,
)
from pytest_gaia.wording import counted

LIMIT = 1024 * 1024
"""maximum size of a GitHub job summary, in bytes"""
_NOTE = 2048
"""bytes reserved for the list of omitted sections"""
_TEMPLATES = Path(__file__).with_name("templates")
_SHORT = 12
"""shown digits of a digest"""
_FIRST_PAGE = {
    "first_rows": 5,
    "first_known": 5,
    "first_waivers": 3,
    "first_suites": 8,
    "first_commits": 3,
    "first_environments": 5,
    "first_images": 5,
    "first_signatures": 3,
}
"""rows of each part of the first printed page; tests/browser/test_signoff_printed.py prints pages of every size"""

WIDTH = 320
"""width of every chart, in units of its view box"""
_LEFT, _RIGHT = 4, 316
_ROOM = 1.15
"""size of the drawing, relative to the largest value"""
_LONGEST = 50
"""shown characters of a name"""


def html(page: SignOffPage) -> str:
    """Return the complete document. Equal pages produce equal documents."""
    style = (_TEMPLATES / "page.css").read_text(encoding="utf-8") + _page_footer(page)
    document = (
        _environment(_html_text)
        .get_template("page.html")
        .render(
            page=page,
            # The style sheet is the only text that is not escaped. Of the page it contains only letters and digits.
            style=Markup(style),  # noqa: S704
            style_hash=_hash(style),
            latency=latency(page.objectives),
            passes=passes(page.history),
        )
    )
    return document + "\n"


def markdown(page: SignOffPage, limit: int = LIMIT) -> str:
    """Return the page in at most ``limit`` bytes. Its end lists every section that is omitted or cut.

    The template orders the sections by importance.
    """
    text, *sections = _environment(_markdown_text).get_template("page.md").render(page=page).split("\n## ")
    left_out: list[str] = []
    space = limit - _NOTE
    for section in sections:
        title, _, lines = section.removesuffix("\n").partition("\n\n")
        head = f"\n## {title}\n\n"
        kept = _fitting(lines.split("\n"), space - _size(text) - _size(head))
        if kept:
            text += head + "\n".join(kept) + "\n"
        if left := lines.count("\n") + 1 - len(kept):
            left_out.append(f"{title} ({left} lines)")
    if left_out:
        text += f"\n**Omitted because of the size limit:** {', '.join(left_out)}. The HTML page is complete.\n"
    return text


def _environment(text: Callable[[str], Markup]) -> Environment:
    """Return a template environment that passes every text of the page through ``text``, which escapes it."""
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=lambda value: text(value) if isinstance(value, str) and not isinstance(value, Markup) else value,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "clip": clip,
        "counted": counted,
        "digits": _digits,
        "remaining": lambda days: "" if days is None else remaining(days),
        "id": lambda release: release.rpartition(" ")[2],
        "test_name": _test_name,
        "code": lambda name: Markup(code(name)),  # noqa: S704  # the function escapes
        "link": lambda name, address: Markup(link(name, address)),  # noqa: S704  # the function escapes
    }
    environment.globals |= {
        "shown_tests": SHOWN_TESTS,
        "shown_untested": SHOWN_UNTESTED,
        "shown_blocking": SHOWN_BLOCKING,
        **_FIRST_PAGE,
    }
    return environment


def clip(text: str, length: int) -> str:
    """Return ``text`` on one line and in at most ``length`` characters.

    >>> clip("a long  sentence", 8)
    'a long …'
    """
    line = "; ".join(" ".join(each.split()) for each in text.splitlines() if each.strip())
    return line if len(line) <= length else f"{line[: length - 1]}…"


def _digits(digest: str) -> str:
    """Return the beginning of a digest, without the name of its algorithm."""
    return digest.rpartition(":")[2][:_SHORT]


def _test_name(node: str) -> str:
    """Return a node id without the folders of its file."""
    path, separator, rest = node.partition("::")
    return f"{path.rpartition('/')[2]}{separator}{rest}"


def _html_text(text: str) -> Markup:
    """Return escaped text. No line of the document can act as a workflow command in the log of a CI job."""
    return escape(text).replace("\n", Markup("&#10;")).replace("[", Markup("&#91;"))


def _markdown_text(text: str) -> Markup:
    return Markup(escaped(text))  # noqa: S704  # the function escapes


def _page_footer(page: SignOffPage) -> str:
    """Return the style of the footer of every printed sheet, which names the release."""
    text = re.sub(r"[^\w :.-]", "", clip(f"{page.decision} - {page.release} - as of {page.as_of}", 110))
    return f'@page {{ @bottom-left {{ content: "{text}" }} }}\n'


def _hash(style: str) -> str:
    """Return the source expression by which a content security policy allows ``style`` and no other."""
    return "sha256-" + base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()


def _fitting(lines: list[str], space: int) -> list[str]:
    """Return the lines that fit into ``space`` bytes. The head of a table without a row is dropped."""
    kept: list[str] = []
    for line in lines:
        space -= _size(line) + 1
        if space < 0:
            break
        kept.append(line)
    return [] if kept and re.fullmatch(r"\|[-:| ]+\|", kept[-1]) and len(kept) < len(lines) else kept


def _size(text: str) -> int:
    return len(text.encode("utf-8"))


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
