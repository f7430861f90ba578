"""Where each key of a TOML text stands, arrays of tables included, and which comment is on which line."""

from __future__ import annotations

import re
import tomllib
from typing import TYPE_CHECKING, Any, TypeAlias

from pytest_gaia.config.deployfiles.model import Place
from pytest_gaia.config.locate import statements
from pytest_gaia.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Step: TypeAlias = tuple[str, ...]
"""A key part by part; an element of an array of tables carries its number: ``("services[0]", "internal_port")``."""

_NUMBER = re.compile(r"\[\d+\]$")


def toml_places(text: str, file: str) -> dict[str, Place]:
    """Return dotted key → place for the valid TOML ``text``.

    Elements of an array of tables are numbered from 0 (``services[1].internal_port``); the key without numbers stands
    for the first of them. Raises ``ConfigError`` for tables that are nested too deep to be walked through.
    """
    try:
        return _places(text, file)
    except RecursionError:
        raise ConfigError(f"{file}: its values are nested too deep to be read.") from None


def _places(text: str, file: str) -> dict[str, Place]:
    places: dict[str, Place] = {}
    last: dict[Step, int] = {}
    table: Step = ()
    for number, statement in statements(text):
        found = tomllib.loads(statement)
        if statement.lstrip().startswith("["):
            table = _header(_keys(found), last, is_array=statement.lstrip().startswith("[["))
            steps = [table[:length] for length in range(1, len(table) + 1)]
        else:
            steps = [(*table, *step) for step in walk(found)]
        for step in steps:
            add_place(places, step, file, number)
    return places


def add_place(places: dict[str, Place], step: Step, file: str, line: int) -> None:
    """Note that ``step`` stands on ``line``, unless it is known to stand elsewhere already."""
    plain = ".".join(_NUMBER.sub("", part) for part in step)
    place = Place(file, line, plain)
    places.setdefault(".".join(step), place)
    places.setdefault(plain, place)


def walk(values: Mapping[str, Any]) -> Iterator[Step]:
    """Yield every key below ``values``, those in lists of tables with their numbers."""
    for key, value in values.items():
        yield (key,)
        if isinstance(value, dict):
            yield from ((key, *rest) for rest in walk(value))
        elif isinstance(value, list):
            tables = [(number, each) for number, each in enumerate(value) if isinstance(each, dict)]
            for number, each in tables:
                yield (f"{key}[{number}]",)
                yield from ((f"{key}[{number}]", *rest) for rest in walk(each))


def toml_comments(text: str) -> dict[int, str]:
    """Return line → comment on it, for the valid TOML ``text``."""
    comments: dict[int, str] = {}
    line = 1
    for found in _TOKENS.finditer(text):
        if found["comment"] is not None:
            comments[line] = found["comment"].strip()
        line += found[0].count("\n")
    return comments


_TOKENS = re.compile(
    r"""
    \"{3} (?: \\. | [^\\] )*? \"{3,5}    # strings first: a sign in them starts no comment
    | '{3} .*? '{3,5}
    | " (?: \\. | [^"\\\n] )* "
    | ' [^'\n]* '
    | \# (?P<comment> [^\n]* )
    | \n
    | .
    """,
    re.DOTALL | re.VERBOSE,
)


def _keys(header: Mapping[str, Any]) -> Step:
    keys: list[str] = []
    node: Any = header
    while isinstance(node, dict) and node:
        key = next(iter(node))
        keys.append(key)
        node = node[key][-1] if isinstance(node[key], list) else node[key]
    return tuple(keys)


def _header(keys: Step, last: dict[Step, int], *, is_array: bool) -> Step:
    """Return ``keys`` with the numbers of the elements that they are in; ``last`` counts the elements seen."""
    step: Step = ()
    for position, key in enumerate(keys, start=1):
        array = (*step, key)
        if is_array and position == len(keys):
            last[array] = last.get(array, -1) + 1
        step = (*step, f"{key}[{last[array]}]") if array in last else array
    return step
