"""Read TOML with the line of every key; error messages have file and line."""

import codecs
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from pytest_gaia.errors import ConfigError


def read_text(path: Path, name: str, read: Callable[[Path], bytes] = Path.read_bytes) -> str:
    """Return the text of the file at ``path``; messages call it ``name``."""
    try:
        # Not path.read_text, because its decoder for utf-8-sig is slower than parsing.
        text = read(path).removeprefix(codecs.BOM_UTF8).decode()
    except UnicodeDecodeError as error:
        raise ConfigError(f"{name}: not UTF-8 (byte {error.start}); save the file as UTF-8.") from None
    except OSError as error:
        raise ConfigError(f"{name}: cannot be read: {error.strerror}.") from None
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text


def parse(text: str, name: str) -> dict[str, Any]:
    """Parse ``text``."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        problem = re.sub(r" \(at .*\)$", "", str(error))
        raise ConfigError(f"{name}:{broken_line(text, error)}: not valid TOML: {problem}.") from None
    except RecursionError:
        raise ConfigError(f"{name}: its values are nested too deep to be read.") from None


Key: TypeAlias = tuple[str, ...]
"""The parts of a key: ``("env", "staging", "urls", "gateway")``; ``"[1]"`` is the second table of an array."""

_REPORTED = re.compile(r"\(at line (\d+), column \d+\)")
_NUMBER = re.compile(r"\[\d+\](?=\.|$)")


@dataclass(frozen=True, slots=True)
class Place:
    """The position of a value."""

    file: str
    """path relative to the project"""
    line: int
    """starts at 1"""
    key: str = ""
    """dotted, such as ``http_service.min_machines_running``"""

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.key}" if self.key else f"{self.file}:{self.line}"


def toml_places(text: str, file: str) -> dict[str, Place]:
    """Return dotted key → place for the valid TOML ``text``; elements of arrays are numbered (``services[1].port``).

    The key without numbers stands for the first of them. Raises ``ConfigError`` as :func:`key_lines` does.
    """
    places: dict[str, Place] = {}
    for key, line in key_lines(text, file).items():
        add_place(places, key, file, line)
    return places


def add_place(places: dict[str, Place], key: Key, file: str, line: int) -> None:
    """Add ``key`` on ``line`` to ``places``, unless it is already there."""
    name = ".".join(key).replace(".[", "[")
    plain = _NUMBER.sub("", name)
    place = Place(file, line, plain)
    places.setdefault(name, place)
    places.setdefault(plain, place)


def nearest_place(places: Mapping[str, Place], key: Key) -> Place | None:
    """Return the place of ``key``, or of the closest table around it; None if neither is known."""
    around = (".".join(key[:length]) for length in range(len(key), 0, -1))
    return next((places[each] for each in around if each in places), None)


def key_lines(text: str, file: str) -> dict[Key, int]:
    """Return the line (from 1) on which each key of the valid TOML ``text`` starts, tables included.

    Keys in an array of tables have their index (from 0); the first one is also available without. Raises ``ConfigError`` for
    tables in ``file`` that are nested too deeply.
    """
    lines: dict[Key, int] = {}
    newest: dict[Key, int] = {}
    table: Key = ()
    try:
        for number, statement in statements(text):
            found = tomllib.loads(statement)
            if statement.lstrip().startswith("["):
                table = _header(found, newest, is_array=statement.lstrip().startswith("[["))
                keys = [table[:length] for length in range(1, len(table) + 1)]
            else:
                keys = [(*table, *key) for key in _keys(found)]
            for key in keys:
                lines.setdefault(key, number)
                lines.setdefault(tuple(part for part in key if not part.startswith("[")), number)
    except RecursionError:
        raise ConfigError(f"{file}: its values are nested too deep to be read.") from None
    return lines


def _header(values: Any, newest: dict[Key, int], *, is_array: bool) -> Key:
    """Return the key of a table from its header, with indices of arrays; ``newest`` has the latest index of each array."""
    key: Key = ()
    while isinstance(values, dict) and values:
        name = next(iter(values))
        key, values = (*key, name), values[name][-1] if isinstance(values[name], list) else values[name]
        if is_array and not values:
            newest[key] = newest.get(key, -1) + 1
        if key in newest:
            key = (*key, f"[{newest[key]}]")
    return key


def _keys(values: Mapping[str, Any]) -> Iterator[Key]:
    """Yield every key below ``values``, with indices in lists of tables."""
    for name, value in values.items():
        yield (name,)
        if isinstance(value, dict):
            yield from ((name, *rest) for rest in _keys(value))
        elif isinstance(value, list):
            for number, table in enumerate(value):
                if isinstance(table, dict):
                    yield (name, f"[{number}]")
                    yield from ((name, f"[{number}]", *rest) for rest in _keys(table))


def shown(path: Key) -> str:
    """Return ``path`` for messages, without indices."""
    return ".".join(part for part in path if not part.startswith("["))


def nearest_line(lines: Mapping[Key, int], path: Key) -> int:
    """Return the line of ``path``, or of the closest table around it; 1 if neither is known."""
    around = (path[:length] for length in range(len(path), 0, -1))
    return next((lines[each] for each in around if each in lines), 1)


def broken_line(text: str, error: tomllib.TOMLDecodeError) -> int:
    """Return the line of the syntax error in ``text``, or the first line of its unfinished last statement."""
    reported = _REPORTED.search(str(error))
    if reported:
        return int(reported[1])
    unfinished = [number for number, statement in statements(text) if not _parses(statement)]
    return unfinished[0] if unfinished else text.count("\n") + 1


def statements(text: str) -> Iterator[tuple[int, str]]:
    """Yield (first line, text) of each header and each key with its whole value.

    A statement over several lines has an open bracket or quote until its last line, so no shorter piece of it can be
    parsed.
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
