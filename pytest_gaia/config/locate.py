"""Where in a TOML text a key stands. ``tomllib`` gives no positions, and a message without a line is half a message."""

from __future__ import annotations

import re
import tomllib
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

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
