"""Reading a TOML file, with the line of every key; whatever is wrong with it becomes a message with file and line."""

from __future__ import annotations

import codecs
import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from pytest_gaia.config.deployfiles.model import Place
from pytest_gaia.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


def read_text(path: Path, name: str, read: Callable[[Path], bytes] = Path.read_bytes) -> str:
    """Return the text of the file at ``path``; ``name`` is how a message shows it."""
    try:
        # Not path.read_text: its decoder for a text that may begin with a mark takes longer than to parse what it reads.
        text = read(path).removeprefix(codecs.BOM_UTF8).decode()
    except UnicodeDecodeError as error:
        raise ConfigError(f"{name}: not UTF-8 (byte {error.start}); save the file as UTF-8.") from None
    except OSError as error:
        raise ConfigError(f"{name}: cannot be read: {error.strerror}.") from None
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text


def parse(text: str, name: str) -> dict[str, Any]:
    """Return the document that ``text`` is."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        problem = re.sub(r" \(at .*\)$", "", str(error))
        raise ConfigError(f"{name}:{broken_line(text, error)}: not valid TOML: {problem}.") from None
    except RecursionError:
        raise ConfigError(f"{name}: its values are nested too deep to be read.") from None


Key: TypeAlias = tuple[str, ...]
"""A key, part by part: ``("env", "staging", "urls", "gateway")``; ``"[1]"`` is the second table of an array of them."""

_REPORTED = re.compile(r"\(at line (\d+), column \d+\)")


def key_lines(text: str) -> dict[Key, int]:
    """Return the line (from 1) on which each key of the valid TOML ``text`` starts, tables included.

    What is in an array of tables is found under its number, and the first of its name without one too.
    """
    lines: dict[Key, int] = {}
    newest: dict[Key, int] = {}
    table: Key = ()
    for number, statement in statements(text):
        found = tomllib.loads(statement)
        if statement.lstrip().startswith("["):
            table = _deepest(found)
            if statement.lstrip().startswith("[["):
                array = (*_numbered(table[:-1], newest), table[-1])
                newest[array] = newest.get(array, -1) + 1
            paths: list[Key] = [table[:length] for length in range(1, len(table) + 1)]
        else:
            paths = [(*table, *path) for path in _walk(found)]
        for path in paths:
            lines.setdefault(path, number)
            lines.setdefault(_numbered(path, newest), number)
    return lines


def shown(path: Key) -> str:
    """Return ``path`` as messages show it; the number of an array's table is left to the line."""
    return ".".join(part for part in path if not part.startswith("["))


def nearest_line(lines: Mapping[Key, int], path: Key) -> int:
    """Return the line of ``path``, or of the closest table around it; 1 where nothing of it is known."""
    for length in range(len(path), 0, -1):
        if path[:length] in lines:
            return lines[path[:length]]
    return 1


def broken_line(text: str, error: tomllib.TOMLDecodeError) -> int:
    """Return the line on which the malformed ``text`` breaks, or on which its unfinished last statement starts."""
    reported = _REPORTED.search(str(error))
    if reported:
        return int(reported[1])
    unfinished = [number for number, statement in statements(text) if not _parses(statement)]
    return unfinished[0] if unfinished else text.count("\n") + 1


def statements(text: str) -> Iterator[tuple[int, str]]:
    """Yield (first line, text) of each header and each key with its whole value.

    A statement that goes over several lines holds an open bracket or quote until its last line, so that no shorter
    piece of it parses: the parser itself says where it ends.
    """
    held: list[str] = []
    start = 1
    for number, line in enumerate(text.replace("\r\n", "\n").split("\n"), start=1):
        if not held:
            start = number
        held.append(line)
        statement = "\n".join(held)
        if _parses(statement):
            held = []
            if statement.strip() and not statement.lstrip().startswith("#"):
                yield start, statement
    if held:
        yield start, "\n".join(held)


def _parses(statement: str) -> bool:
    try:
        tomllib.loads(statement)
    except tomllib.TOMLDecodeError:
        return False
    return True


def _deepest(header: Mapping[str, Any]) -> Key:
    path: Key = ()
    node: Any = header
    while isinstance(node, dict) and node:
        key = next(iter(node))
        path = (*path, key)
        node = node[key][-1] if isinstance(node[key], list) else node[key]
    return path


def _numbered(path: Key, newest: Mapping[Key, int]) -> Key:
    """Return ``path`` with the number of the table that each array on its way has come to."""
    found: Key = ()
    for part in path:
        found = (*found, part)
        if found in newest:
            found = (*found, f"[{newest[found]}]")
    return found


def _walk(values: Mapping[str, Any]) -> Iterator[Key]:
    for key, value in values.items():
        yield (key,)
        if isinstance(value, dict):
            for rest in _walk(value):
                yield (key, *rest)


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
