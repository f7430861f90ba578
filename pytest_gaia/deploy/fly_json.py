"""JSON in what flyctl prints, which may print other things around it."""

from __future__ import annotations

import json
import re
from typing import Any, TypeVar, get_origin

import msgspec

T = TypeVar("T")

_START_OF_JSON = re.compile(r"^[\[{]|^(?:null|true|false)\s*$", re.MULTILINE)


class NotJson(ValueError):
    """There is no JSON of the expected shape in what a tool printed; the text says why."""


def find_json(text: str) -> Any:
    """Return the longest JSON value of ``text`` that starts a line: a tool may print other lines around it.

    Raises :class:`NotJson`.
    """
    decoder = msgspec.json.Decoder()
    try:
        return decoder.decode(text)
    except (msgspec.DecodeError, RecursionError):
        found = list(_values(text))
    if not found:
        raise NotJson("it printed no JSON")
    return max(found, key=lambda value: value[0])[1]


def _values(text: str) -> list[tuple[int, Any]]:
    """Length and value of every JSON value that starts a line, except for those inside of another."""
    decoder, found, end = json.JSONDecoder(), [], 0
    for start in (match.start() for match in _START_OF_JSON.finditer(text)):
        if start < end:
            continue
        try:
            value, end = decoder.raw_decode(text, start)
        except (ValueError, RecursionError):
            continue
        found.append((end - start, value))
    return found


def convert(value: Any, kind: type[T]) -> T:
    """Return ``value`` as ``kind``; null counts as an empty list. Raises :class:`NotJson`."""
    empty = value is None and get_origin(kind) is list
    try:
        return msgspec.convert([] if empty else value, kind)
    except msgspec.ValidationError as problem:
        raise NotJson(f"its JSON is not of the expected shape: {problem}") from None
