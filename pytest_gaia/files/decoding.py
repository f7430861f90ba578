"""Decode plain values into typed tables, explain in plain words what is wrong with them, and describe them as JSON Schema."""

import ast
import inspect
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from itertools import pairwise
from typing import Any, Literal, TypeVar, get_args, get_origin

import msgspec
from msgspec import Struct, structs

from pytest_gaia.errors import ConfigError, nearest
from pytest_gaia.files.toml import Key, nearest_line, shown
from pytest_gaia.wording import note_renamed

Table = TypeVar("Table", bound=Struct)

DIALECT = "https://json-schema.org/draft/2020-12/schema"


class TableError(ValueError):
    """An error in a table, in plain words, with the key relative to the table."""

    def __init__(self, key: Key, problem: str) -> None:
        super().__init__(problem)
        self.key = key


def decode(values: Mapping[str, Any], table: type[Table]) -> Table:
    """Return ``values`` as ``table``; raises :class:`TableError` for an unknown key or a value of the wrong type."""
    try:
        # TOML has its own type for dates; a string that looks like a date is an error.
        return msgspec.convert(values, table, builtin_types=(date, datetime))
    except msgspec.ValidationError as error:
        raise _explain(str(error), table) from None


@dataclass(frozen=True, slots=True)
class OldNames:
    """Former names of keys and values in a TOML file. Paths are dotted; ``*`` matches any one part.

    The elements of an array of tables have the path of the array: ``env.*.stage.freeze.why``.
    """

    keys: Mapping[str, str] = field(default_factory=dict)
    """path of the old key → new name of its last part"""
    values: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """path of the key (with new names) → old value → new value"""

    def key(self, path: Key) -> str | None:
        """Return the new name of the key at ``path``; None if it was not renamed."""
        return _matching(self.keys, path)

    def value(self, path: Key, value: str) -> str | None:
        """Return the new name of ``value`` at ``path``; None if it was not renamed."""
        return (_matching(self.values, path) or {}).get(value)


def with_new_names(
    document: Mapping[str, Any], lines: Mapping[Key, int], old: OldNames, file: str
) -> tuple[dict[str, Any], dict[Key, int]]:
    """Return ``document`` and ``lines`` with new names in place of old ones, and print a notice for each old name.

    Raises ``ConfigError`` for a table that has a key under both names.
    """
    renaming = _Renaming(old, dict(lines), file)
    return renaming.table((), document), renaming.lines


@dataclass(frozen=True, slots=True)
class _Renaming:
    old: OldNames
    lines: dict[Key, int]
    """gets the paths of renamed keys, too"""
    file: str

    def table(self, path: Key, values: Mapping[str, Any]) -> dict[str, Any]:
        result = {}
        for key, value in values.items():
            name = self._key(path, key, values)
            result[name] = self._value((*path, name), value)
        return result

    def _key(self, path: Key, key: str, siblings: Mapping[str, Any]) -> str:
        before = (*path, key)
        new = self.old.key(before)
        if new is None:
            return key
        if new in siblings:
            problem = f"this key is now `{new}`, which is also set; remove `{key}`."
            raise ConfigError(f"{self._line(before)}: {shown(before)}: {problem}")
        note_renamed(f"the key `{key}`", f"`{new}`", self._line(before))
        below = {each[len(before) :]: line for each, line in self.lines.items() if each[: len(before)] == before}
        self.lines.update({(*path, new, *rest): line for rest, line in below.items()})
        return new

    def _value(self, path: Key, value: Any) -> Any:
        if isinstance(value, dict):
            return self.table(path, value)
        if isinstance(value, list):
            return [self._value((*path, f"[{number}]"), each) for number, each in enumerate(value)]
        new = self.old.value(path, value) if isinstance(value, str) else None
        if new is None:
            return value
        key = shown(path).rpartition(".")[2]
        note_renamed(f'{key} = "{value}"', f'{key} = "{new}"', self._line(path))
        return new

    def _line(self, path: Key) -> str:
        return f"{self.file}:{nearest_line(self.lines, path)}"


Renamed = TypeVar("Renamed")


def _matching(patterns: Mapping[str, Renamed], path: Key) -> Renamed | None:
    """Return the value of the first pattern that matches ``path``; numbers of array elements do not count."""
    plain = tuple(part for part in path if not part.startswith("["))
    for pattern, found in patterns.items():
        parts = pattern.split(".")
        if len(parts) == len(plain) and all(part in ("*", name) for part, name in zip(parts, plain, strict=True)):
            return found
    return None


def keys_of(table: type[Struct]) -> tuple[str, ...]:
    """Return the keys of ``table``."""
    return table.__struct_encode_fields__


_LOCATION = re.compile(r"(?P<problem>.*?)(?: - at `\$\.?(?P<path>.*)`)?", re.DOTALL)
_UNKNOWN = re.compile(r"Object contains unknown field `(?P<key>.*)`", re.DOTALL)
_MISSING = re.compile(r"Object missing required field `(?P<key>.*)`", re.DOTALL)
_CHOICE = re.compile(r"Invalid enum value '(?P<value>.*)'", re.DOTALL)
_TYPES = re.compile(r"`([a-z_]+(?: \| [a-z_]+)*)`")
_WORDS = {
    "str": "a string",
    "bool": "true or false",
    "float": "a number",
    "int": "a number",
    "whole_number": "a whole number",
    "array": "a list",
    "object": "a table",
    "date": "a date, such as 2030-01-31",
    "datetime": "a date with a time",
}


def _explain(message: str, table: type[Struct]) -> TableError:
    location = _LOCATION.fullmatch(message)
    problem, place = (location["problem"], location["path"]) if location else (message, None)
    numbered = _parts_of(place)
    # In an array of values, only the array has a line; in an array of tables, each table has one.
    key = numbered[:-1] if numbered and numbered[-1].startswith("[") else numbered
    if unknown := _UNKNOWN.fullmatch(problem):
        name = unknown["key"]
        return TableError((*numbered, name), f"unknown key; {nearest(name, keys_of(_table_at(table, key)))}")
    if missing := _MISSING.fullmatch(problem):
        return TableError(numbered, f"the key `{missing['key']}` is missing.")
    if choice := _CHOICE.fullmatch(problem):
        known = _choices_at(table, key)
        return TableError(key, f"unknown value {choice['value']!r}; {nearest(choice['value'], known)}")
    return TableError(key, _in_words(problem))


def _parts_of(place: str | None) -> Key:
    """Split a path of msgspec, such as ``slo[1].route``; the index is a part."""
    numbered = re.sub(r"\[(\d+)\]", r".[\1]", place or "")
    return tuple(part for part in re.sub(r"\[\D.*?\]", "", numbered).split(".") if part)


def _in_words(problem: str) -> str:
    """Return the message of msgspec with the type names of TOML."""
    expected, got, found = problem.replace(" | null`", "`").partition(", got ")
    expected = expected.replace("`int", "`whole_number").replace("| int", "| whole_number")
    words = _TYPES.sub(
        lambda match: " or ".join(_WORDS.get(each, each) for each in match[1].split(" | ")), f"{expected}{got}{found}"
    )
    return words[:1].lower() + words[1:]


def _table_at(table: type[Struct], key: Key) -> type[Struct]:
    """Return the table below ``table`` at ``key``."""
    for name in key:
        if name.startswith("["):
            continue
        field = next(each for each in structs.fields(table) if each.encode_name == name)
        table = next(part for part in _parts(field.type) if isinstance(part, type) and issubclass(part, Struct))
    return table


def _choices_at(table: type[Struct], key: Key) -> tuple[str, ...]:
    """Return the valid values of ``key``."""
    field = next(each for each in structs.fields(_table_at(table, key[:-1])) if each.encode_name == key[-1])
    words = (word for part in _parts(field.type) if get_origin(part) is Literal for word in get_args(part))
    return tuple(dict.fromkeys(words))


def _parts(kind: Any) -> Iterator[Any]:
    """Yield ``kind`` and the types in it."""
    yield kind
    if get_origin(kind) is not Literal:
        for part in get_args(kind):
            yield from _parts(part)


def json_schema(table: type[Struct], title: str, meanings: Mapping[type, Sequence[type]]) -> dict[str, Any]:
    """Return the JSON Schema of a document of type ``table``.

    The description of a key is the docstring below its attribute: in its own class, or else in the classes that
    ``meanings`` lists for it.
    """
    (schema,), components = msgspec.json.schema_components([table], ref_template="#/$defs/{name}")
    for each in _tables(table):
        definition = components[each.__name__]
        definition["description"] = _text(inspect.getdoc(each) or "")
        texts = _meanings((each, *meanings.get(each, ())))
        for column in structs.fields(each):
            if column.name in texts:
                definition["properties"][column.encode_name]["description"] = texts[column.name]
    return {"$schema": DIALECT, "title": title, **schema, "$defs": components}


def _tables(kind: Any) -> Iterator[type[Struct]]:
    """Yield the tables that ``kind`` consists of, itself included."""
    if isinstance(kind, type) and issubclass(kind, Struct):
        yield kind
        for column in structs.fields(kind):
            yield from _tables(column.type)
    else:
        for part in get_args(kind):
            yield from _tables(part)


def _meanings(kinds: Iterable[type]) -> dict[str, str]:
    """Return attribute → docstring below it; the first of ``kinds`` that has one takes precedence."""
    found: dict[str, str] = {}
    for kind in kinds:
        (definition,) = ast.parse(inspect.getsource(kind)).body
        assert isinstance(definition, ast.ClassDef)
        for statement, below in pairwise(definition.body):
            if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
                match below:
                    case ast.Expr(ast.Constant(str(text))):
                        found.setdefault(statement.target.id, _text(text))
    return found


def _text(docstring: str) -> str:
    """Return ``docstring`` as one line of plain text."""
    plain = re.sub(r":\w+:`~?([^`]*)`", r"`\1`", docstring).replace("``", "`")
    text = " ".join(plain.split())
    return text[:1].upper() + text[1:]
