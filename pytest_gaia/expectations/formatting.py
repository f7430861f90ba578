"""Format expectation files: keys in order, one form for each value, current names, comments kept."""

import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from itertools import accumulate
from typing import Any

from pytest_gaia.expectations.schema import OLD_NAMES, ExpectationTable
from pytest_gaia.files.decoding import keys_of
from pytest_gaia.files.toml import statements

WIDTH = 120

KEY_ORDER = keys_of(ExpectationTable)
"""keys of an expectation file, in order"""


def toml(value: object) -> str:
    """Return ``value`` as TOML on one line; it may be a str, number, bool, date, list or dict of these."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        # TOML uses the escapes of JSON, and also escapes DEL.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(toml, value))}]"
    if isinstance(value, dict):
        return f"{{ {', '.join(f'{key} = {toml(each)}' for key, each in value.items())} }}" if value else "{}"
    return str(value)


def setting(key: str, value: object) -> str:
    """Return ``key = value``; a list that does not fit on one line has one value per line."""
    line = f"{key} = {toml(value)}"
    if len(line) <= WIDTH or not isinstance(value, list | tuple):
        return line
    return "\n".join([f"{key} = [", *(f"    {toml(each)}," for each in value), "]"])


def document(values: Mapping[str, object]) -> str:
    """Return an expectation file, its keys in order, without the keys whose value is None."""
    known = ((key, values.get(key)) for key in KEY_ORDER)
    return "".join(f"{setting(key, value)}\n" for key, value in known if value is not None)


@dataclass(slots=True)
class _Entry:
    """One key of the file with its comments."""

    key: str
    above: list[str] = field(default_factory=list)
    """comments above it"""
    written: list[str] = field(default_factory=list)
    """its TOML; several parts for a table with a header, or with dotted keys"""

    @property
    def is_table(self) -> bool:
        return any(each.lstrip().startswith("[") for each in self.written)

    def text(self, value: object) -> list[str]:
        """Return its lines. TOML that contains comments is kept as it is."""
        if any(_has_comment(each) for each in self.written):
            return [line.rstrip() for each in self.written for line in each.strip().split("\n")]
        return setting(self.key, value).split("\n")


def formatted(text: str) -> str:
    """Return the valid TOML ``text`` of an expectation file, formatted. Its meaning does not change."""
    document = _with_new_names(tomllib.loads(text))
    top, entries, bottom = _entries(text.replace("\r\n", "\n"))
    for each in entries:
        if (new := OLD_NAMES.keys.get(each.key)) is not None:
            each.written = [re.sub(rf"^(\s*\[?\s*){each.key}\b", rf"\g<1>{new}", part) for part in each.written]
            each.key = new
        for old, new in _renamed_below(each.key).items():
            each.written = [re.sub(rf"(^|[.{{,\s]){old}(?=\s*=)", rf"\g<1>{new}", part) for part in each.written]
    kept_tables = {each.key for each in entries if each.is_table and any(map(_has_comment, each.written))}
    # A table with a header contains everything below it, so it must come last.
    entries.sort(key=lambda each: (each.key in kept_tables, _order(each.key)))
    lines = [
        line
        for each in entries
        for line in (*([""] if each.key in kept_tables else []), *each.above, *each.text(document[each.key]))
    ]
    result = "".join(f"{line}\n" for line in [*top, *lines, *bottom])
    if _with_new_names(tomllib.loads(result)) != document:
        raise AssertionError(f"formatting would change the meaning:\n{result}")
    return result


def _with_new_names(document: Mapping[str, Any]) -> dict[str, Any]:
    values = {OLD_NAMES.keys.get(key, key): value for key, value in document.items()}
    for key, value in values.items():
        if isinstance(value, dict) and (renamed := _renamed_below(key)):
            values[key] = {renamed.get(name, name): each for name, each in value.items()}
    if isinstance(expect := values.get("expect"), str):
        values["expect"] = OLD_NAMES.values["expect"].get(expect, expect)
    return values


def _renamed_below(table: str) -> dict[str, str]:
    """Return the old and new names of keys in a table of the file."""
    paths = ((old.rpartition("."), new) for old, new in OLD_NAMES.keys.items())
    return {old: new for (above, _, old), new in paths if above == table}


def _entries(text: str) -> tuple[list[str], list[_Entry], list[str]]:
    """Return the comment at the top of the file with the empty line below it, the entries, and the rest."""
    lines = text.split("\n")
    entries: dict[str, _Entry] = {}
    top: list[str] = []
    table, end = "", 0
    for first, statement in statements(text):
        above = lines[end : first - 1]
        end = first - 1 + statement.count("\n") + 1
        if not entries and "" in above:
            gap = len(above) - above[::-1].index("")
            top, above = _comments(above[:gap]), above[gap:]
        name = next(iter(tomllib.loads(statement)))
        if statement.lstrip().startswith("["):
            table = name
        entry = entries.setdefault(table or name, _Entry(table or name))
        entry.written += [*_comments(above), statement] if entry.written else [statement]
        entry.above += _comments(above) if len(entry.written) == 1 else []
    return [*top, ""] if top else [], list(entries.values()), _comments(lines[end:])


def _comments(lines: list[str]) -> list[str]:
    return [line.strip() for line in lines if line.strip()]


def _has_comment(statement: str) -> bool:
    """Return whether ``statement`` contains a comment: a '#' where its line can end without a change of meaning."""
    lines = statement.split("\n")
    starts = accumulate((len(line) + 1 for line in lines), initial=0)
    whole = tomllib.loads(statement)
    for start, line in zip(starts, lines, strict=False):
        for at in (start + index for index, sign in enumerate(line) if sign == "#"):
            if _loads(statement[:at] + statement[start + len(line) :]) == whole:
                return True
    return False


def _loads(text: str) -> object:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return None


def _order(key: str) -> int:
    return KEY_ORDER.index(key) if key in KEY_ORDER else len(KEY_ORDER)
