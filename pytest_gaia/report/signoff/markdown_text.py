"""Text in Markdown that says what it says: nothing in it becomes a heading, a link, an image, a mention or HTML."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Sequence

_MEANING = re.compile(r"([\\`*_{}\[\]#!|~<>&$])")
_MENTION = re.compile(r"@(?=\w)")
_BEGINNING = re.compile(r"^(\d*)([.)+=-])(?=\s|$|-|=)")
_ADDRESS = re.compile(r"(https?|ftp)(?=:)|www(?=\.)", re.IGNORECASE)
_JOINER = "\u2060"
"""breaks what would become a link or a mention, and is not seen"""


def escaped(text: str) -> str:
    """Return ``text`` on one line, with everything masked that means something in Markdown."""
    one_line = " ".join(text.split())
    plain = _BEGINNING.sub(r"\1\\\2", _MEANING.sub(r"\\\1", one_line))
    return _ADDRESS.sub(rf"\g<0>{_JOINER}", _MENTION.sub(f"@{_JOINER}", plain))


def code(text: str) -> str:
    """Return ``text`` as code, whatever it holds; in a table as well."""
    one_line = " ".join(text.split())
    if "`" in one_line or "|" in one_line:
        return escaped(one_line)
    return f"`{one_line}`" if one_line else ""


def link(text: str, address: str) -> str:
    """Return a link to ``address``, or the mere text where there is none."""
    return f"[{escaped(text)}](<{quote(address, safe=_SAFE)}>)" if address else escaped(text)


_SAFE = ":/?#[]@!$&'()*+,;=%~"


def table(columns: Sequence[str], rows: Sequence[Sequence[str]], empty: str) -> list[str]:
    """Return the lines of a table; ``empty`` where it has no row. Cells are Markdown already."""
    if not rows:
        return [empty]
    return [_row(columns), _row(["---"] * len(columns)), *map(_row, rows)]


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
