"""The sign-off page as Markdown, for the summary of a CI job: the same facts, as many of them as there is room for."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pytest_gaia.report.markdown_text import escaped
from pytest_gaia.report.signoff.markdown_tables import (
    blocking,
    changes,
    checklist,
    criteria,
    environments,
    facts,
    idle,
    images,
    known,
    objectives,
    rule_ages,
    runs,
    untested,
    waivers,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_gaia.report.signoff.page import SignOffPage

LIMIT = 1024 * 1024
"""bytes that a summary of GitHub may have"""
_NOTE = 2048
"""bytes that are kept for saying what was left out"""
_SIGNS = {"GO": "🟢", "GO WITH WAIVERS": "🟡", "NO GO": "🔴"}


def markdown(page: SignOffPage, limit: int = LIMIT) -> str:
    """Return the page, in at most ``limit`` bytes. What there is no room for is named at its end; it is never only missing."""
    text = "\n".join(_answer(page)) + "\n"
    left_out: list[str] = []
    room = limit - _NOTE
    for title, lines in _sections(page):
        section = f"\n## {title}\n\n"
        kept = _fitting(lines, room - _size(text) - _size(section))
        if kept:
            text += section + "\n".join(kept) + "\n"
        if len(kept) < len(lines):
            left_out.append(f"{title} ({len(lines) - len(kept)} lines)")
    if left_out:
        text += f"\n**Left out here, for want of room:** {', '.join(left_out)}. The HTML page has all of it.\n"
    return text


def _answer(page: SignOffPage) -> Iterator[str]:
    yield f"# {_SIGNS[page.answer]} {page.answer}: {escaped(page.release)} → {escaped(page.target)}"
    yield ""
    yield f"**{escaped(page.question)}**"
    yield ""
    yield from (f"- {escaped(reason)}" for reason in page.reasons)
    yield ""
    yield " · ".join(f"{escaped(value)} {escaped(label)}" for label, value in page.glance)
    yield ""
    yield f"As of {escaped(page.as_of)}, by the gate alone; pytest-gaia {escaped(page.version)}."
    if page.gaps:
        yield "\n**What this page does not know:**\n"
        yield from (f"- {escaped(gap)}" for gap in page.gaps)


def _sections(page: SignOffPage) -> Iterator[tuple[str, list[str]]]:
    """Yield title and lines of each section; of a table, a line a row. What has to be known comes first."""
    yield "Waivers", waivers(page)
    yield "What stands in the way", blocking(page)
    yield "Environments, in tests", environments(page)
    yield "Known failures", known(page)
    yield "The release, and what runs where", [*facts(page), *images(page)]
    yield f"The gate of {escaped(page.target)}, item by item", criteria(page)
    yield "Checklist and signatures", checklist(page)
    yield "What changed since the last sign-off", changes(page)
    yield "Latency against objectives", objectives(page)
    yield "Runs in the ledger", runs(page)
    yield "Rules that matched nothing", idle(page)
    yield "How old rules are", rule_ages(page)
    yield "What was not tested", untested(page)


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
