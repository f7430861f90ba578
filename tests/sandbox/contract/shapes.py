"""The table's notation for responses, and its comparison with a response.

A word is a type: ``str int num bool null uuid``, ``time`` (ISO 8601 without a zone), ``zoned`` (with one). ``=text`` is that
very text, ``^text`` a text that begins so; ``{persona_id}`` in them is a value of the replay. An object has exactly
these keys; ``{"*": shape}`` any keys but at least one. ``[]`` is empty; of ``[a, b]`` the first items are like ``a`` and
``b`` and each later one has the types of one of them. ``{"exactly": [...]}`` is that very list.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

_MOMENT = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?"


def _matches(pattern: str) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, str) and re.fullmatch(pattern, value) is not None


TYPES: Mapping[str, Callable[[Any], bool]] = {
    "str": lambda value: isinstance(value, str),
    "int": lambda value: type(value) is int,
    "num": lambda value: type(value) is float,
    "bool": lambda value: isinstance(value, bool),
    "null": lambda value: value is None,
    "uuid": _matches(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"),
    "time": _matches(_MOMENT),
    "zoned": _matches(rf"{_MOMENT}(Z|[+-]\d\d:\d\d)"),
}


def problems(shape: Any, actual: Any, values: Mapping[str, str], place: str = "response") -> list[str]:
    """Return the mismatches of ``actual`` and ``shape``; empty if they match."""
    return list(_compare(shape, actual, values, place))


def _compare(shape: Any, actual: Any, values: Mapping[str, str], place: str) -> Iterator[str]:
    match shape:
        case str():
            yield from _compare_leaf(_filled(shape, values), actual, place)
        case {"exactly": wanted} if actual != wanted:
            yield f"{place}: {actual!r} instead of {wanted!r}"
        case {"exactly": _}:
            return
        case list():
            yield from _compare_list(shape, actual, values, place)
        case _ if not isinstance(actual, dict):
            yield f"{place}: {actual!r} is no object"
        case {"*": _} if not actual:
            yield f"{place}: empty"
        case {"*": each}:
            yield from _compare_object(dict.fromkeys(actual, each), actual, values, place)
        case _:
            yield from _compare_object(shape, actual, values, place)


def _compare_leaf(shape: str, actual: Any, place: str) -> Iterator[str]:
    if shape in TYPES:
        fits = TYPES[shape](actual)
    elif shape.startswith("^"):
        fits = isinstance(actual, str) and actual.startswith(shape[1:])
    else:
        fits = actual == shape[1:]
    if not fits:
        yield f"{place}: {actual!r} is not {shape}"


def _compare_object(shape: Mapping[str, Any], actual: Any, values: Mapping[str, str], place: str) -> Iterator[str]:
    for key in sorted(shape.keys() ^ actual.keys()):
        yield f"{place}.{key}: {'missing' if key in shape else 'not in the contract'}"
    for key in shape.keys() & actual.keys():
        yield from _compare(shape[key], actual[key], values, f"{place}.{key}")


def _compare_list(shape: list[Any], actual: Any, values: Mapping[str, str], place: str) -> Iterator[str]:
    if not isinstance(actual, list):
        yield f"{place}: {actual!r} is no list"
        return
    if len(actual) < len(shape) or (actual and not shape):
        yield f"{place}: {len(actual)} items instead of {len(shape)}"
        return
    for index, item in enumerate(actual):
        here = f"{place}.{index}"
        if index < max(2, len(shape)):
            yield from _compare(shape[min(index, len(shape) - 1)], item, values, here)
        elif all(problems(types_of(one), item, values, here) for one in shape):
            yield f"{here}: {item!r} has the types of no item in the contract"


def types_of(shape: Any) -> Any:
    """Return the shape with every text replaced by any text."""
    match shape:
        case str():
            return "str" if shape[0] in "=^" else shape
        case {"exactly": _}:
            return ["str"]
        case list():
            return [types_of(one) for one in shape]
    return {key: types_of(one) for key, one in shape.items()}


def _filled(shape: str, values: Mapping[str, str]) -> str:
    for name, value in values.items():
        shape = shape.replace(f"{{{name}}}", value)
    return shape
