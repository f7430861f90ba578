"""Text in Markdown that says what it says: nothing in it becomes a heading, a link, an image, a mention or HTML."""

import re
from collections.abc import Sequence
from urllib.parse import quote

from pytest_gaia.printable import one_line

_MEANING = re.compile(r"([\\`*_{}\[\]#!|~<>&$])")
_REFERENCE = re.compile(r"@(?=\w)|#(?=\d)|:(?=[\w+-]{1,99}:)")
"""what GitHub makes a mention, a link to an issue, or a picture, whether or not it is escaped"""
_BEGINNING = re.compile(r"^(\d*)([.)+=-])(?=\s|$|-|=)")
_ADDRESS = re.compile(r"(https?|ftp)(?=:)|www(?=\.)", re.IGNORECASE)
_SAFE = ":/?#[]@!$&'()*+,;=%~"
"""signs of an address that stay as they are"""
_JOINER = "\u2060"
"""breaks what would become a link, a mention or a picture, and is not seen"""


def escaped(text: str) -> str:
    """Return ``text`` on one line, with everything masked that means something in Markdown."""
    plain = _BEGINNING.sub(r"\1\\\2", _MEANING.sub(r"\\\1", " ".join(one_line(text).split())))
    return _ADDRESS.sub(rf"\g<0>{_JOINER}", _REFERENCE.sub(rf"\g<0>{_JOINER}", plain))


def code(text: str) -> str:
    """Return ``text`` as code, whatever it holds; in a table as well."""
    shown = " ".join(one_line(text).split())
    if "`" in shown or "|" in shown:
        return escaped(shown)
    return f"`{shown}`" if shown else ""


def link(text: str, address: str) -> str:
    """Return a link to ``address``, or the mere text where there is none."""
    return f"[{escaped(text)}](<{quote(address, safe=_SAFE)}>)" if address else escaped(text)


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the lines of a table. Cells are Markdown already."""
    return [f"| {' | '.join(cells)} |" for cells in (columns, ["---"] * len(columns), *rows)]
