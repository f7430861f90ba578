"""From a path template and its parameters to the URL that is asked for: what goes out is what is recorded."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import quote, urlencode

from pytest_gaia.clients.arguments import text, wrong_type

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

Params: TypeAlias = "Mapping[str, Any] | Sequence[tuple[str, Any]]"

_PARAMETER = re.compile(r"\{(\w+)\}")
_DOTS = (".", "..")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
# What a request line cannot hold, in a path and in a query. Percent signs that escape something stay.
_UNSAFE = re.compile(r"%(?![0-9A-Fa-f]{2})|[^!-~]|[\"<>`{}]")
_UNSAFE_IN_QUERY = re.compile(r"%(?![0-9A-Fa-f]{2})|[^!-~]|[\"<>]")
_CONTAINERS = (bytes, bytearray, memoryview, Mapping, list, tuple, set, frozenset)


def fill(template: str, values: Mapping[str, object] | None) -> str:
    """Return ``template`` with each ``{name}`` replaced by the quoted value. Raises ``ValueError`` for a mismatch."""
    if not template.startswith("/"):
        raise ValueError(f"a path starts with a slash: {template!r}")
    if "#" in template:
        raise ValueError(f"a fragment is never sent: {template!r}; a '#' in a path or a query is written %23")
    if _CONTROL.search(template):
        raise ValueError(f"a path holds no line break or control character: {template!r}")
    quoted = dict(_quoted(values))
    names = set(_PARAMETER.findall(template))
    if names != set(quoted):
        raise ValueError(f"{template!r} needs path_params for {sorted(names)}, given were {sorted(quoted)}")
    filled = _PARAMETER.sub(lambda match: quoted[match[1]], template)
    _check_dots(template, filled)
    return filled


def url_of(base_url: str, path: str, params: Any) -> str:
    """Return the URL to ask for: ``path`` below ``base_url``, with ``params`` in addition to the query that it has.

    The part behind the host is the request line's, byte for byte: dots in it are not resolved.
    """
    scheme, _, rest = base_url.partition("://")
    host, slash, prefix = rest.partition("/")
    place, mark, query = f"{slash}{prefix}{path}".partition("?")
    added = urlencode(list(_pairs(params)))
    between = "&" if query and added and not query.endswith("&") else ""
    mark = mark or ("?" if added else "")
    return f"{scheme}://{host}{_UNSAFE.sub(_escaped, place)}{mark}{_UNSAFE_IN_QUERY.sub(_escaped, query + between + added)}"


def _quoted(values: Any) -> Iterator[tuple[str, str]]:
    if not isinstance(values, Mapping | None):
        raise wrong_type("path_params", values, "a mapping of names to values")
    for name, value in (values or {}).items():
        if value is None or isinstance(value, _CONTAINERS):
            raise wrong_type(f"path_params: {name!r}", value, "str or a number")
        yield text(name, "path_params: a name"), quote(str(value), safe="")


def _check_dots(template: str, filled: str) -> None:
    """Refuse a parameter that makes ``.`` or ``..`` of a segment: servers and proxies take it for another path."""
    segments = (each.partition("?")[0].split("/") for each in (template, filled))
    for written, segment in zip(*segments, strict=True):
        if segment in _DOTS and written != segment:
            raise ValueError(
                f"path_params: {written!r} becomes {segment!r}, which leads to another path. To ask for it, write it in the path."
            )


def _pairs(params: Any) -> Iterator[tuple[str, str]]:
    """Yield the parameters that are not None; lists repeat, booleans are lower case."""
    for name, value in _items(params):
        for item in value if isinstance(value, (list, tuple)) else (value,):
            if isinstance(item, _CONTAINERS):
                raise wrong_type(f"params: {name!r}", item, "str, a number, a boolean, None, or a list of them")
            if item is not None:
                yield text(name, "params: a name"), str(item).lower() if isinstance(item, bool) else str(item)


def _items(params: Any) -> Iterable[tuple[Any, Any]]:
    if params is None:
        return ()
    if isinstance(params, Mapping):
        return params.items()
    if not isinstance(params, (list, tuple)):
        raise wrong_type("params", params, "a mapping or a list of pairs; a query that is text belongs in the path")
    for pair in params:
        if not isinstance(pair, (list, tuple)) or len(pair) != 2:
            raise wrong_type("params: an item", pair, "a pair of a name and a value")
    return params


def _escaped(found: re.Match[str]) -> str:
    return quote(found[0], safe="")
