"""The sign-off page as one static HTML document: no scripts, nothing from elsewhere, and a policy that says so."""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path
from typing import TYPE_CHECKING

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from pytest_gaia.report.signoff import charts
from pytest_gaia.report.signoff.page import SHOWN_BLOCKING, SHOWN_TESTS, SHOWN_UNTESTED
from pytest_gaia.wording import counted

if TYPE_CHECKING:
    from pytest_gaia.report.signoff.page import SignOffPage

_TEMPLATES = Path(__file__).with_name("templates")


def html(page: SignOffPage) -> str:
    """Return the whole document. Equal pages give equal documents."""
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["counted"] = counted
    style = (_TEMPLATES / "page.css").read_text(encoding="utf-8") + _running_foot(page)
    document = environment.get_template("page.html").render(
        page=page,
        # The project's own file, and the only text that is not escaped; of the page's it holds letters and digits alone.
        style=Markup(style),  # noqa: S704
        style_hash=_hash(style),
        latency=charts.latency(page.objectives),
        passes=charts.passes(page.history),
        ages=charts.ages(page.ages),
        shown_tests=SHOWN_TESTS,
        shown_untested=SHOWN_UNTESTED,
        shown_blocking=SHOWN_BLOCKING,
    )
    return document + "\n"


def _shown(value: object) -> object:
    """Return text such that no line of the document is a command, where it is printed in the log of a job."""
    if not isinstance(value, str) or isinstance(value, Markup):
        return value
    return escape(value).replace("\n", Markup("&#10;")).replace("[", Markup("&#91;"))


def _running_foot(page: SignOffPage) -> str:
    """Return the style of the foot of every printed page: which release a loose sheet belongs to."""
    text = re.sub(r"[^\w :.-]", "", f"{page.answer} - {page.release} - as of {page.as_of}")
    return f'@page {{ @bottom-left {{ content: "{text}" }} }}\n'


def _hash(style: str) -> str:
    """Return what a content security policy allows this style by, and no other."""
    return "sha256-" + base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
