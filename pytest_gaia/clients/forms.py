"""The forms in which one secret turns up: escaped for JSON, URLs, HTML or Python, and as Base64 wherever that begins."""

from __future__ import annotations

import base64
import html
import json
from typing import TYPE_CHECKING
from urllib.parse import quote, quote_plus, unquote

if TYPE_CHECKING:
    from collections.abc import Iterator

SHORTEST = 6
"""Shorter values are words of every text; masking them would hide the text and show which word is the secret."""

_SHORTEST_CODE = 8
_SHORTEST_LINE = 12


def parts_of(value: str) -> Iterator[str]:
    """Yield what of ``value`` must not be shown: all of it, percent-decoded, and each line of a key."""
    yield value
    if "%" in value:
        yield unquote(value)
    lines = value.splitlines()
    if len(lines) > 1:
        # The last line of a key may be short; of other texts such a line is a word.
        shortest = SHORTEST if value.lstrip().startswith("-----BEGIN") else _SHORTEST_LINE
        yield from (line for line in map(str.strip, lines) if len(line) >= shortest and line[:5] != "-----")


def forms_of(value: str) -> set[str]:
    """Return ``value`` in all of its forms, those left out that are too short to be told from other text."""
    quoted = quote(value, safe="")
    literals = set(_literals(value))
    forms = {
        value,
        quoted,
        quote(value),
        quote_plus(value),
        _lower_escapes(quoted),
        html.escape(value),
        html.escape(value, quote=False),
        *literals,
        # JSON that stands in JSON, the picture of a picture.
        *(again for each in literals - {value} for again in _literals(each)),
        *_encoded(value),
    }
    return {form for form in forms if len(form) >= SHORTEST}


def _literals(value: str) -> Iterator[str]:
    """Yield ``value`` as it stands in JSON and in Python, where the quotes around it decide which ones in it are escaped."""
    yield json.dumps(value)[1:-1]
    yield json.dumps(value, ensure_ascii=False)[1:-1]
    yield value.encode("unicode_escape", "surrogatepass").decode()
    for literal in (repr, ascii, lambda text: repr(_bytes(text))[1:]):
        # With quotes of both kinds in it, it stands in single ones.
        escaped = literal(value + "\"'")[1:-4]
        yield escaped
        yield escaped.replace("\\'", "'")


def _encoded(value: str) -> Iterator[str]:
    """Yield the part of ``value`` in Base64 that is the same whatever stands before it and after it."""
    content = _bytes(value)
    for before in range(3):
        code = base64.b64encode(bytes(before) + content).decode()
        # A character holds six bits: those that also hold bits of what is beside are left out.
        first, last = (before * 8 + 5) // 6, (before + len(content)) * 8 // 6
        piece = code[first:last]
        if len(piece) >= _SHORTEST_CODE:
            yield piece
            yield piece.replace("+", "-").replace("/", "_")


def _lower_escapes(quoted: str) -> str:
    """Percent-escapes may be written in lower case."""
    pieces = quoted.split("%")
    return "%".join([pieces[0], *(piece[:2].lower() + piece[2:] for piece in pieces[1:])])


def _bytes(value: str) -> bytes:
    return value.encode(errors="surrogatepass")
