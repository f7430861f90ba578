"""GitHub's expressions, evaluated where only some values are known: what is not known may be anything.

A value is the set of what it can be (``frozenset``), a list of such values, or ``UNKNOWN``. What is known is given by its path,
such as ``needs.staging.result``, or by a function's name, such as ``success()``; a part of a path may be ``*``.
"""

import itertools
import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TypeAlias

Scalar: TypeAlias = "str | float | bool | None"
Value: TypeAlias = "frozenset[Scalar] | list[Value] | None"
Known: TypeAlias = "Mapping[str, Value]"

UNKNOWN = None
YES: Value = frozenset({True})
NO: Value = frozenset({False})
EITHER: Value = frozenset({True, False})

_DEEPEST = 50
"""GitHub refuses an expression that is nested deeper"""
_MOST_VALUES = 256

_TOKEN = re.compile(
    r"\s*(?:(?P<string>'(?:[^']|'')*')|(?P<number>[-+]?\d+(?:\.\d+)?)|(?P<name>[A-Za-z_][\w-]*)"
    r"|(?P<sign>&&|\|\||[=!<>]=|[<>!().,\[\]*]))"
)
_MARKED = re.compile(r"\$\{\{(?P<text>(?:'(?:[^']|'')*'|[^'}]|\}(?!\}))*)\}\}")
_STATUS = re.compile(r"\b(?:success|failure|always|cancelled)\s*\(", re.IGNORECASE)


class _SyntaxError(Exception):
    """A text that is no expression."""


def outcomes(condition: str, known: Known) -> frozenset[bool]:
    """Return what an ``if:`` can come to: without a function that asks for the status, ``success()`` is required as well.

    Text around ``${{ }}`` makes the whole a string, which is true whatever stands inside.
    """
    marked = _MARKED.fullmatch(condition)
    if marked:
        found = truth(evaluate(marked["text"], known))
    elif "${{" in condition:
        found = frozenset({True})
    else:
        found = truth(evaluate(condition, known)) if condition.strip() else frozenset({True})
    if _STATUS.search(condition):
        return found
    success = truth(evaluate("success()", known))
    return frozenset(one and other for one in success for other in found)


def is_always_true_text(condition: str) -> bool:
    """Whether text stands around ``${{ }}``, so that GitHub takes the condition for a string, which is always true."""
    return "${{" in condition and not _MARKED.fullmatch(condition)


def evaluate(text: str, known: Known) -> Value:
    """Return the value of an expression; ``UNKNOWN`` as well for a text that is none."""
    try:
        return _Reader(text, known).value()
    except _SyntaxError:
        return UNKNOWN


def truth(value: Value) -> frozenset[bool]:
    """Return what ``value`` can be as a condition."""
    if value is UNKNOWN:
        return frozenset({True, False})
    return frozenset({True}) if isinstance(value, list) else frozenset(map(bool, value))


def filled(text: str, known: Known) -> str:
    """Return ``text`` with each ``${{ }}`` whose value is known replaced by it."""

    def value(found: re.Match[str]) -> str:
        result = evaluate(found["text"], known)
        single = next(iter(result)) if isinstance(result, frozenset) and len(result) == 1 else None
        return found[0] if single is None else _text(single)

    return _MARKED.sub(value, text)


class _Reader:
    """One expression, evaluated while it is read."""

    def __init__(self, text: str, known: Known) -> None:
        self._tokens = [*_tokens(text), ("end", "")]
        self._place = 0
        self._depth = 0
        self._known = known

    def value(self) -> Value:
        result = self._or()
        if self._kind() != "end":
            raise _SyntaxError
        return result

    def _kind(self) -> str:
        return self._tokens[self._place][0]

    def _next(self) -> str:
        self._place += 1
        return self._tokens[self._place - 1][1]

    def _takes(self, *signs: str) -> str | None:
        kind, text = self._tokens[self._place]
        return self._next() if kind == "sign" and text in signs else None

    def _expects(self, sign: str) -> None:
        if not self._takes(sign):
            raise _SyntaxError

    def _or(self) -> Value:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise _SyntaxError
        result = self._and()
        while self._takes("||"):
            result = _joined(result, self._and(), goes_on=False)
        self._depth -= 1
        return result

    def _and(self) -> Value:
        result = self._comparison()
        while self._takes("&&"):
            result = _joined(result, self._comparison(), goes_on=True)
        return result

    def _comparison(self) -> Value:
        result = self._unary()
        while sign := self._takes("==", "!=", "<", ">", "<=", ">="):
            result = _compared(sign, result, self._unary())
        return result

    def _unary(self) -> Value:
        negations = 0
        while self._takes("!"):
            negations += 1
        result = self._postfix()
        for _ in range(min(negations, 2 + negations % 2)):
            result = frozenset(not each for each in truth(result))
        return result

    def _postfix(self) -> Value:
        if self._takes("("):
            result = self._or()
            self._expects(")")
            return result
        kind, text = self._kind(), self._next()
        if kind == "string":
            return frozenset({text[1:-1].replace("''", "'")})
        if kind == "number":
            return frozenset({float(text)})
        if kind != "name":
            raise _SyntaxError
        return self._function(text.lower()) if self._takes("(") else self._path(text.lower())

    def _function(self, name: str) -> Value:
        given: list[Value] = []
        while not self._takes(")"):
            if given:
                self._expects(",")
            given.append(self._or())
        if not given:
            return YES if name == "always" else self._known.get(f"{name}()", UNKNOWN)
        function = _FUNCTIONS.get(name)
        return function(given) if function else UNKNOWN

    def _path(self, first: str) -> Value:
        if first in ("true", "false", "null"):
            return frozenset({{"true": True, "false": False}.get(first)})
        parts = [first]
        while sign := self._takes(".", "["):
            parts.append(self._key() if sign == "[" else self._next().lower())
        return _at(tuple(parts), self._known)

    def _key(self) -> str:
        key = self._or() if not self._takes("*") else frozenset({"*"})
        self._expects("]")
        single = next(iter(key)) if isinstance(key, frozenset) and len(key) == 1 else None
        return str(single).lower() if single is not None else "?"


def _tokens(text: str) -> Iterator[tuple[str, str]]:
    place, end = 0, len(text.rstrip())
    while place < end:
        found = _TOKEN.match(text, place, end)
        if found is None:
            raise _SyntaxError
        yield str(found.lastgroup), found[str(found.lastgroup)]
        place = found.end()


def _at(parts: tuple[str, ...], known: Known) -> Value:
    """Return what stands at a path: by its own name, or by one with a ``*`` in it; a list where the path itself has one."""
    if "*" in parts:
        fits = re.compile(r"\.".join(r"[^.*]+" if part == "*" else re.escape(part) for part in parts))
        each = [value for path, value in known.items() if fits.fullmatch(path)]
        return each or known.get(".".join(parts), UNKNOWN)
    for path in (".".join(parts), ".".join((*parts[:1], "*", *parts[2:]))):
        if path in known:
            return known[path]
    return UNKNOWN


def _joined(one: Value, other: Value, *, goes_on: bool) -> Value:
    """Return ``one && other`` (``goes_on`` where ``one`` is true), or ``one || other``."""
    possible = truth(one)
    if goes_on not in possible:
        return one
    if (not goes_on) not in possible:
        return other
    rest = frozenset(each for each in one if bool(each) != goes_on) if isinstance(one, frozenset) else None
    if not isinstance(other, frozenset):
        return UNKNOWN
    return other | (frozenset({not goes_on}) if rest is None else rest)


def _compared(sign: str, one: Value, other: Value) -> Value:
    if not isinstance(one, frozenset) or not isinstance(other, frozenset):
        return UNKNOWN
    return frozenset(_compare(sign, left, right) for left, right in itertools.product(one, other))


def _compare(sign: str, left: Scalar, right: Scalar) -> bool:
    if isinstance(left, str) and isinstance(right, str):
        low, high = left.lower(), right.lower()
        order = (low > high) - (low < high)
    else:
        first, second = _number(left), _number(right)
        if math.isnan(first) or math.isnan(second):
            return sign == "!="
        order = (first > second) - (first < second)
    return {"==": order == 0, "!=": order != 0, "<": order < 0, ">": order > 0, "<=": order <= 0, ">=": order >= 0}[
        sign
    ]


def _number(value: Scalar) -> float:
    try:
        return float(value or 0)
    except ValueError:
        return float("nan")


def _text(value: Scalar) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value or "")


def _on_texts(decide: Callable[[str, str], bool]) -> Callable[[list[Value]], Value]:
    """Make a function of two texts one of two values."""

    def function(given: list[Value]) -> Value:
        sets = [each for each in given if isinstance(each, frozenset)]
        if len(given) != 2 or len(sets) != 2:
            return UNKNOWN
        return frozenset(decide(_text(a).lower(), _text(b).lower()) for a, b in itertools.product(*sets))

    return function


def _contains(given: list[Value]) -> Value:
    if len(given) != 2 or not isinstance(given[0], list):
        return _on_texts(lambda text, part: part in text)(given)
    each = [truth(_compared("==", element, given[1])) for element in given[0]]
    if frozenset({True}) in each:
        return YES
    return EITHER if any(True in found for found in each) else NO


def _join(given: list[Value]) -> Value:
    elements = given[0] if isinstance(given[0], list) else []
    sets = [each for each in elements if isinstance(each, frozenset)]
    between = given[1] if len(given) > 1 else frozenset({","})
    if (
        not sets
        or len(sets) < len(elements)
        or not isinstance(between, frozenset)
        or _size([*sets, between]) > _MOST_VALUES
    ):
        return UNKNOWN
    return frozenset(_text(sign).join(map(_text, row)) for sign in between for row in itertools.product(*sets))


def _size(sets: Iterable[frozenset[Scalar]]) -> int:
    size = 1
    for each in sets:
        size = min(size * len(each), _MOST_VALUES + 1)
    return size


def _from_json(given: list[Value]) -> Value:
    text = next(iter(given[0])) if isinstance(given[0], frozenset) and len(given[0]) == 1 else None
    try:
        found = json.loads(str(text))
    except (ValueError, RecursionError):
        return UNKNOWN
    if isinstance(found, list):
        return [frozenset({each}) if isinstance(each, str | int | float | bool) else UNKNOWN for each in found]
    return frozenset({found}) if isinstance(found, str | int | float | bool) else UNKNOWN


_FUNCTIONS: dict[str, Callable[[list[Value]], Value]] = {
    "contains": _contains,
    "startswith": _on_texts(str.startswith),
    "endswith": _on_texts(str.endswith),
    "join": _join,
    "fromjson": _from_json,
}
