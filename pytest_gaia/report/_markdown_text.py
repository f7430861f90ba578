"""Escape text for Markdown, so that it cannot become a heading, a link, an image, a mention or HTML."""

import re
from collections.abc import Sequence
from urllib.parse import quote

from pytest_gaia.printable import one_line

_MEANING = re.compile(r"([\\`*_{}\[\]#!|~<>&$])")
_REFERENCE = re.compile(r"@(?=\w)|#(?=\d)|:(?=[\w+-]{1,99}:)")
"""text that GitHub turns into a mention, a link to an issue, or an emoji, even if it is escaped"""
_BEGINNING = re.compile(r"^(\d*)([.)+=-])(?=\s|$|-|=)")
_ADDRESS = re.compile(r"(https?|ftp)(?=:)|www(?=\.)", re.IGNORECASE)
_SAFE = ":/?#[]@!$&'()*+,;=%~"
"""characters of an address that are not escaped"""
_JOINER = "\u2060"
"""an invisible character that prevents links, mentions and emoji"""


def escaped(text: str) -> str:
    """Return ``text`` on one line, with all Markdown syntax escaped."""
    plain = _BEGINNING.sub(r"\1\\\2", _MEANING.sub(r"\\\1", " ".join(one_line(text).split())))
    return _ADDRESS.sub(rf"\g<0>{_JOINER}", _REFERENCE.sub(rf"\g<0>{_JOINER}", plain))


def code(text: str) -> str:
    """Return ``text`` as code, also within a table."""
    shown = " ".join(one_line(text).split())
    if "`" in shown or "|" in shown:
        return escaped(shown)
    return f"`{shown}`" if shown else ""


def link(text: str, address: str) -> str:
    """Return a link to ``address``; without an address, only the text."""
    return f"[{escaped(text)}](<{quote(address, safe=_SAFE)}>)" if address else escaped(text)


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the lines of a table. The cells are Markdown already."""
    return [f"| {' | '.join(cells)} |" for cells in (columns, ["---"] * len(columns), *rows)]
