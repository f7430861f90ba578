"""The sign-off page as one static HTML document, and as Markdown for the summary of a CI job: the same facts.

The HTML has no scripts and nothing from elsewhere, and a policy that says so. The Markdown has as many of the facts as
there is room for.
"""

import base64
import hashlib
import re
from collections.abc import Callable
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from pytest_gaia.report import _markdown_text as markdown_text
from pytest_gaia.report.signoff import _charts as charts
from pytest_gaia.report.signoff.page import SHOWN_BLOCKING, SHOWN_TESTS, SHOWN_UNTESTED, SignOffPage
from pytest_gaia.wording import counted

LIMIT = 1024 * 1024
"""bytes that a summary of GitHub may have"""
_NOTE = 2048
"""bytes that are kept for saying what was left out"""
_TEMPLATES = Path(__file__).with_name("templates")


def html(page: SignOffPage) -> str:
    """Return the whole document. Equal pages give equal documents."""
    style = (_TEMPLATES / "page.css").read_text(encoding="utf-8") + _running_foot(page)
    document = (
        _environment(_html_text)
        .get_template("page.html")
        .render(
            page=page,
            # The project's own file, and the only text that is not escaped; of the page's it holds letters and digits alone.
            style=Markup(style),  # noqa: S704
            style_hash=_hash(style),
            latency=charts.latency(page.objectives),
            passes=charts.passes(page.history),
            ages=charts.ages(page.ages),
        )
    )
    return document + "\n"


def markdown(page: SignOffPage, limit: int = LIMIT) -> str:
    """Return the page, in at most ``limit`` bytes. What there is no room for is named at its end; it is never only missing.

    The template has the sections in their order: what has to be known comes first.
    """
    text, *sections = _environment(_markdown_text).get_template("page.md").render(page=page).split("\n## ")
    left_out: list[str] = []
    room = limit - _NOTE
    for section in sections:
        title, _, lines = section.removesuffix("\n").partition("\n\n")
        head = f"\n## {title}\n\n"
        kept = _fitting(lines.split("\n"), room - _size(text) - _size(head))
        if kept:
            text += head + "\n".join(kept) + "\n"
        if left := lines.count("\n") + 1 - len(kept):
            left_out.append(f"{title} ({left} lines)")
    if left_out:
        text += f"\n**Left out here, for want of room:** {', '.join(left_out)}. The HTML page has all of it.\n"
    return text


def _environment(text: Callable[[str], Markup]) -> Environment:
    """Return the environment of a template in which every text of the page goes through ``text``, which masks it."""
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=lambda value: text(value) if isinstance(value, str) and not isinstance(value, Markup) else value,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "counted": counted,
        "code": lambda name: Markup(markdown_text.code(name)),  # noqa: S704  # masked by the function
        "link": lambda name, address: Markup(markdown_text.link(name, address)),  # noqa: S704  # as above
    }
    environment.globals |= {
        "shown_tests": SHOWN_TESTS,
        "shown_untested": SHOWN_UNTESTED,
        "shown_blocking": SHOWN_BLOCKING,
    }
    return environment


def _html_text(text: str) -> Markup:
    """Return text such that no line of the document is a command, where it is printed in the log of a job."""
    return escape(text).replace("\n", Markup("&#10;")).replace("[", Markup("&#91;"))


def _markdown_text(text: str) -> Markup:
    return Markup(markdown_text.escaped(text))  # noqa: S704  # masked by the function


def _running_foot(page: SignOffPage) -> str:
    """Return the style of the foot of every printed page: which release a loose sheet belongs to."""
    text = re.sub(r"[^\w :.-]", "", f"{page.answer} - {page.release} - as of {page.as_of}")
    return f'@page {{ @bottom-left {{ content: "{text}" }} }}\n'


def _hash(style: str) -> str:
    """Return what a content security policy allows this style by, and no other."""
    return "sha256-" + base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()


def _fitting(lines: list[str], room: int) -> list[str]:
    """Return as many lines as there is room for; the head of a table alone is no line worth having."""
    kept: list[str] = []
    for line in lines:
        room -= _size(line) + 1
        if room < 0:
            break
        kept.append(line)
    return [] if kept and re.fullmatch(r"\|[-:| ]+\|", kept[-1]) and len(kept) < len(lines) else kept


def _size(text: str) -> int:
    return len(text.encode("utf-8"))
