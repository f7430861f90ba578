"""Values as TOML, in the one way in which rules are written."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date

WIDTH = 120

KEY_ORDER = (
    "why",
    "issue",
    "owner",
    "added",
    "expires",
    "environments",
    "tests",
    "expect",
    "phase",
    "when",
    "match",
    "max_tests",
    "widened",
)
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
