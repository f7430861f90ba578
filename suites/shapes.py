"""The schema of a response: its fields, and the kind of each value.

A shape is a rule (``TEXT``, ``COUNT``, ``each(...)`` …) or a mapping of field names to shapes. Additional fields are
allowed, because a release may add some. A missing field or a value of another kind is an error.

>>> list(mismatches({"total": "2", "items": [{"id": ""}]}, {"total": COUNT, "items": each({"id": TEXT})}))
["total: expected a count, got '2'", "items.0.id: expected text, got ''"]
"""

from __future__ import annotations

import json
import re
import uuid
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from pytest_gaia.clients.http.responses import Response


@dataclass(frozen=True, slots=True)
class Rule:
    """A kind of value: its name in messages, and a function from a value and its path to problems."""

    name: str
    problems: Callable[[Any, str], Iterator[str]]


Fields: TypeAlias = "Mapping[str, Shape]"
Shape: TypeAlias = "Rule | Fields"


def shaped(response: Response, shape: Shape) -> Any:
    """Return the JSON of a response of this shape; raise ``UnexpectedResponse`` with all mismatches."""
    content = response.json()
    problems = list(mismatches(content, shape))
    if problems:
        raise response.unexpected("returned unexpected fields: " + "; ".join(problems))
    return content


def mismatches(value: Any, shape: Shape, at: str = "") -> Iterator[str]:
    """Yield one line for each mismatch of ``value`` and ``shape``."""
    if isinstance(shape, Rule):
        yield from shape.problems(value, at)
    elif not isinstance(value, dict):
        yield _problem(at, "an object", value)
    else:
        for name, inner in shape.items():
            if name in value:
                yield from mismatches(value[name], inner, _join(at, name))
            else:
                yield f"{_join(at, name)}: missing"


def _join(at: str, name: str | int) -> str:
    return f"{at}.{name}" if at else str(name)


def _problem(at: str, expected: str, value: Any) -> str:
    shown = json.dumps(value) if isinstance(value, bool | None) else repr(value)
    return f"{at or 'the response'}: expected {expected}, got {shown if len(shown) <= 80 else shown[:79] + '…'}"


def _kind(name: str, fits: Callable[[Any], bool]) -> Rule:
    def problems(value: Any, at: str) -> Iterator[str]:
        if not fits(value):
            yield _problem(at, name, value)

    return Rule(name, problems)


def _is_number(value: Any) -> bool:
    # In Python a bool is an int; in JSON it is not a number.
    return isinstance(value, int | float) and not isinstance(value, bool)


def _parses(parse: Callable[[str], object], *, length: range) -> Callable[[Any], bool]:
    def fits(value: Any) -> bool:
        if not isinstance(value, str) or len(value) not in length:
            return False
        try:
            parse(value)
        except ValueError:
            return False
        return True

    return fits


TEXT = _kind("text", lambda value: isinstance(value, str) and bool(value.strip()))
STRING = _kind("a string", lambda value: isinstance(value, str))
FLAG = _kind("true or false", lambda value: isinstance(value, bool))
COUNT = _kind("a count", lambda value: isinstance(value, int) and not isinstance(value, bool) and value >= 0)
AMOUNT = _kind("a number of at least 0", lambda value: _is_number(value) and value >= 0)
PERCENT = _kind("a percentage", lambda value: _is_number(value) and 0 <= value <= 100)
SHARE = _kind("a share of 1", lambda value: _is_number(value) and 0 <= value <= 1)
MOMENT = _kind("a moment in ISO 8601", _parses(datetime.fromisoformat, length=range(16, 40)))
DAY = _kind("a day, as YYYY-MM-DD", _parses(date.fromisoformat, length=range(10, 11)))
UUID = _kind("a UUID", _parses(uuid.UUID, length=range(36, 37)))
VERSION = _kind("a version", lambda value: isinstance(value, str) and bool(re.fullmatch(r"v?\d+(\.\d+)*", value)))
PATH = _kind("a path", lambda value: isinstance(value, str) and value.startswith("/"))
NOTHING = _kind("null", lambda value: value is None)
OBJECT = _kind("an object", lambda value: isinstance(value, dict))


def equal(expected: object) -> Rule:
    """A value that equals ``expected``."""
    return _kind(json.dumps(expected), lambda value: bool(value == expected) and type(value) is type(expected))


def one_of(*words: str) -> Rule:
    """One of these words."""
    return _kind("one of " + ", ".join(words), lambda value: isinstance(value, str) and value in words)


def like(pattern: str) -> Rule:
    """Text that matches the whole pattern."""
    return _kind(f"text like {pattern}", lambda value: isinstance(value, str) and bool(re.fullmatch(pattern, value)))


def holding(*words: str) -> Rule:
    """Text that contains one of ``words``, in any case."""

    def fits(value: Any) -> bool:
        return isinstance(value, str) and any(word.lower() in value.lower() for word in words)

    return _kind("text with " + " or ".join(map(repr, words)), fits)


def maybe(shape: Shape) -> Rule:
    """Null, or a value of this shape."""

    def problems(value: Any, at: str) -> Iterator[str]:
        if value is not None:
            yield from mismatches(value, shape, at)

    return Rule("something or null", problems)


REFUSED: Shape = {"detail": holding("authenticat", "credentials", "API key")}
"""the response to a request without a valid key or token"""
NOT_FOUND: Shape = {"detail": holding("not found")}


def each(shape: Shape, *, least: int = 0) -> Rule:
    """A list of values of this shape, at least ``least`` of them."""

    def problems(value: Any, at: str) -> Iterator[str]:
        if not isinstance(value, list):
            yield _problem(at, "a list", value)
            return
        if len(value) < least:
            yield _problem(at, f"a list of at least {least}", value)
        for index, item in enumerate(value):
            yield from mismatches(item, shape, _join(at, index))

    return Rule("a list", problems)


def some(shape: Shape) -> Rule:
    """A list of values of this shape that is not empty."""
    return each(shape, least=1)


def named(shape: Shape, *, least: int = 0) -> Rule:
    """An object with a value of this shape for each name, at least ``least`` of them."""

    def problems(value: Any, at: str) -> Iterator[str]:
        if not isinstance(value, dict):
            yield _problem(at, "an object", value)
            return
        if len(value) < least:
            yield _problem(at, f"an object of at least {least} names", value)
        for name, item in value.items():
            yield from mismatches(item, shape, _join(at, name))

    return Rule("an object", problems)
