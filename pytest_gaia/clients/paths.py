"""From a path template and its parameters to the path and query that go out."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

if TYPE_CHECKING:
    from collections.abc import Mapping

_PARAMETER = re.compile(r"\{(\w+)\}")


def fill(template: str, values: Mapping[str, object] | None) -> str:
    """Return ``template`` with each ``{name}`` replaced by the quoted value. Raises ``ValueError`` for a mismatch."""
    if not template.startswith("/"):
        raise ValueError(f"a path starts with a slash: {template!r}")
    values = values or {}
    names = set(_PARAMETER.findall(template))
    if names != set(values):
        raise ValueError(f"{template!r} needs path_params for {sorted(names)}, given were {sorted(values)}")
    return _PARAMETER.sub(lambda match: quote(str(values[match[1]]), safe=""), template)


def query(params: Mapping[str, Any] | None) -> str:
    """Return ``?a=1&b=2`` for the parameters that are not None, or nothing; lists repeat, booleans are lower case."""
    pairs = [(name, _plain(item)) for name, value in (params or {}).items() for item in _items(value)]
    return f"?{urlencode(pairs)}" if pairs else ""


def _items(value: Any) -> list[Any]:
    if value is None:
        return []
    return list(value) if isinstance(value, (list, tuple)) else [value]


def _plain(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
