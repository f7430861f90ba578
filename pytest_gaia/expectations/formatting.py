"""The one way in which a rule is written: keys in order, one form for each value, comments kept."""

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from itertools import accumulate

from pytest_gaia.expectations._schema import ExpectationTable
from pytest_gaia.files.decoding import keys_of
from pytest_gaia.files.toml import statements

WIDTH = 120

KEY_ORDER = keys_of(ExpectationTable)
"""the keys of a rule, in the order in which they are written"""


def toml(value: object) -> str:
    """Return ``value`` on one line. It is text, number, bool, date, list or table of such."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        # What JSON escapes, TOML escapes alike; JSON leaves DEL alone.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(toml, value))}]"
    if isinstance(value, dict):
        return f"{{ {', '.join(f'{key} = {toml(each)}' for key, each in value.items())} }}" if value else "{}"
    return str(value)


def setting(key: str, value: object) -> str:
    """Return ``key = value``; a list that is too long for one line has one value a line."""
    line = f"{key} = {toml(value)}"
    if len(line) <= WIDTH or not isinstance(value, list | tuple):
        return line
    return "\n".join([f"{key} = [", *(f"    {toml(each)}," for each in value), "]"])


def document(values: Mapping[str, object]) -> str:
    """Return a whole rule, its keys in their order; a key without a value (None) is left out."""
    known = ((key, values.get(key)) for key in KEY_ORDER)
    return "".join(f"{setting(key, value)}\n" for key, value in known if value is not None)


@dataclass(slots=True)
class _Entry:
    """One key of the file with all that belongs to it."""

    key: str
    above: list[str] = field(default_factory=list)
    """the comments over it"""
    written: list[str] = field(default_factory=list)
    """how it is written; several pieces for a table with a header of its own, or with dotted keys"""

    @property
    def is_table(self) -> bool:
        return any(each.lstrip().startswith("[") for each in self.written)

    def text(self, value: object) -> list[str]:
        """Return its lines. A text with comments inside is left as it is, all others are written afresh."""
        if any(_has_comment(each) for each in self.written):
            return [line.rstrip() for each in self.written for line in each.strip().split("\n")]
        return setting(self.key, value).split("\n")


def formatted(text: str) -> str:
    """Return the valid TOML ``text`` of a rule as it should be written. It says what it said before."""
    document = tomllib.loads(text)
    top, entries, bottom = _entries(text.replace("\r\n", "\n"))
    kept_tables = {each.key for each in entries if each.is_table and any(map(_has_comment, each.written))}
    # A table with a header takes all that follows it, so it has to come last.
    entries.sort(key=lambda each: (each.key in kept_tables, _order(each.key)))
    lines = [
        line
        for each in entries
        for line in (*([""] if each.key in kept_tables else []), *each.above, *each.text(document[each.key]))
    ]
    result = "".join(f"{line}\n" for line in [*top, *lines, *bottom])
    if tomllib.loads(result) != document:
        raise AssertionError(f"formatting would change what the rule says:\n{result}")
    return result


def _entries(text: str) -> tuple[list[str], list[_Entry], list[str]]:
    """Return the comment at the top of the file (with the empty line below it), its entries, and what follows them."""
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
    """Whether there is a comment in ``statement``: a '#' at which its line can end and nothing changes."""
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
