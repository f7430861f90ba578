"""Encoded forms of a secret (JSON, URLs, HTML, Python, Base64, Base32, hexadecimal), and a fast search for them in a text."""

import base64
import html
import json
import re
from collections import defaultdict
from collections.abc import Iterator
from itertools import pairwise
from urllib.parse import quote, quote_plus, unquote

from pytest_gaia.secrets.shapes import CUT

SHORTEST = 6
"""Minimum length. Shorter values occur in every text; masking them would hide the text and reveal the secret."""

_SHORTEST_CODE = 8
_SHORTEST_LINE = 12


def parts_of(value: str) -> Iterator[str]:
    """Yield the parts of ``value`` to mask: all of it, percent-decoded, and each line of a key."""
    yield value
    if "%" in value:
        yield unquote(value)
    lines = value.splitlines()
    if len(lines) > 1:
        # The last line of a key may be short; in other texts such a line is a word.
        shortest = SHORTEST if value.lstrip().startswith("-----BEGIN") else _SHORTEST_LINE
        yield from (line for line in map(str.strip, lines) if len(line) >= shortest and line[:5] != "-----")


def forms_of(value: str) -> set[str]:
    """Return all forms of ``value`` that are long enough to search for."""
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
        value.upper(),
        value.lower(),
        *literals,
        # JSON inside of JSON.
        *(again for each in literals - {value} for again in _literals(each)),
        *_encoded(value),
    }
    return {form for form in forms if len(form) >= SHORTEST}


def _literals(value: str) -> Iterator[str]:
    """Yield ``value`` as in JSON and in Python, where the surrounding quotes decide which quotes are escaped."""
    yield json.dumps(value)[1:-1]
    yield json.dumps(value, ensure_ascii=False)[1:-1]
    yield value.encode("unicode_escape", "surrogatepass").decode()
    for literal in (repr, ascii, lambda text: repr(_bytes(text))[1:]):
        # A value with both kinds of quotes has single quotes around it.
        escaped = literal(value + "\"'")[1:-4]
        yield escaped
        yield escaped.replace("\\'", "'")


def _encoded(value: str) -> Iterator[str]:
    """Yield ``value`` in hexadecimal, and the parts in Base64 and Base32 that do not depend on adjacent text."""
    content = _bytes(value)
    yield from (content.hex(), content.hex().upper())
    for bits, group, encode in ((6, 3, base64.b64encode), (5, 5, base64.b32encode)):
        for before in range(group):
            code = encode(bytes(before) + content).decode()
            # Without characters that also encode adjacent bytes.
            piece = code[-(-before * 8 // bits) : (before + len(content)) * 8 // bits]
            if len(piece) >= _SHORTEST_CODE:
                yield piece
                yield piece.replace("+", "-").replace("/", "_")


def _lower_escapes(quoted: str) -> str:
    """Return ``quoted`` with its percent-escapes in lower case."""
    pieces = quoted.split("%")
    return "%".join([pieces[0], *(piece[:2].lower() + piece[2:] for piece in pieces[1:])])


def _bytes(value: str) -> bytes:
    return value.encode(errors="surrogatepass")


_BLOCK = 3
_LEAST = 8
"""minimum characters of a truncated secret that are masked"""
_LEAST_AT_END = 12
_WORD_START = re.compile(r"(?<!\w)\w")
_FAR = 400
"""characters next to a cut that are searched; pytest keeps fewer"""


class FormIndex:
    """An index of forms of secrets. The time of a search does not grow with their number.

    For each occurrence of a form of at least five characters, one of the text's blocks of three is at its end.
    """

    def __init__(self) -> None:
        self._blocks: defaultdict[str, list[tuple[str, int]]] = defaultdict(list)
        self._heads: defaultdict[str, list[str]] = defaultdict(list)
        self._tails: defaultdict[str, list[str]] = defaultdict(list)

    def add(self, form: str, *, head: bool = True) -> None:
        """Add ``form`` to the index; search for its truncated beginning only with ``head``."""
        for beyond in range(_BLOCK):
            stop = len(form) - beyond
            self._blocks[form[stop - _BLOCK : stop]].append((form, beyond))
        # The beginning of a URL is not the beginning of a secret.
        if len(form) > _LEAST and "://" not in form:
            if head:
                self._heads[form[:_LEAST]].append(form)
            self._tails[form[-_LEAST:]].append(form)

    def whole(self, text: str) -> Iterator[tuple[int, int, str]]:
        """Yield (start, end, form) of each occurrence in ``text``."""
        blocks = self._blocks
        for place in [at for at in range(0, len(text) - _BLOCK + 1, _BLOCK) if text[at : at + _BLOCK] in blocks]:
            for form, beyond in blocks[text[place : place + _BLOCK]]:
                end = place + _BLOCK + beyond
                start = end - len(form)
                if start >= 0 and text.startswith(form, start):
                    yield start, end, form

    def cut(self, text: str) -> Iterator[tuple[int, int, str]]:
        """Yield beginnings of forms before an ellipsis or the end of ``text``, and ends of forms after an ellipsis."""
        done = 0
        for mark, following in pairwise((*CUT.finditer(text), None)):
            before, after = mark.span() if mark else (0, 0)
            start = max(done, before - _FAR)
            yield from self._beginnings(text, start, before) if before < len(text) else self._at_end(text, start)
            stop = min(following.start() if following else after, after + _FAR)
            for place in range(after, stop - _LEAST + 1):
                end = place + _LEAST
                yield from (
                    (after, end, form)
                    for form in self._tails.get(text[place:end], ())
                    if form.endswith(text[after:end])
                )
            done = after

    def _beginnings(self, text: str, start: int, end: int) -> Iterator[tuple[int, int, str]]:
        for place in range(start, end - _LEAST + 1):
            forms = self._heads.get(text[place : place + _LEAST], ())
            yield from ((place, end, form) for form in forms if form.startswith(text[place:end]))

    def _at_end(self, text: str, start: int) -> Iterator[tuple[int, int, str]]:
        """Yield beginnings at the end of ``text``; they must be longer and contain a digit, because they may be words."""
        for word in _WORD_START.finditer(text, start, max(start, len(text) - _LEAST_AT_END + 1)):
            place = word.start()
            for form in self._heads.get(text[place : place + _LEAST], ()):
                if form.startswith(text[place:]) and any(map(str.isdigit, text[place:])):
                    yield place, len(text), form
