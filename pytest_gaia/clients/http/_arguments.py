"""The arguments of one request, validated and encoded before anything is sent."""

import json
import math
import mimetypes
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import IO, Any, TypeAlias
from urllib.parse import quote, urlencode

from pytest_gaia.clients.exchanges import to_json
from pytest_gaia.clients.http._transport import MIB, encoded_form

Content: TypeAlias = str | bytes | bytearray | memoryview
File: TypeAlias = Content | IO[bytes] | tuple[Any, ...]
"""content or a binary file, or ``(filename, content)``, ``(filename, content, type)``, ``(filename, content, type, headers)``"""
Files: TypeAlias = "Mapping[str, File] | Sequence[tuple[str, File]]"

_CONTENT = "str or bytes"
_FILE = "bytes, str, a file opened in binary mode, or a tuple (filename, content, type, headers)"
_OCTETS = "application/octet-stream"
_MOST_MIB = 4096


@dataclass(frozen=True, slots=True)
class Body:
    """The body of a request. Its repr shows no content, because pytest prints arguments."""

    content: bytes | None = field(default=None, repr=False)
    kind: str | None = None
    """its content type, if the test sets none"""
    shown: str | None = field(default=None, repr=False)
    """text to record instead of ``content``"""


def body_of(json: Any, content: Any, data: Any, files: Any, headers: Mapping[str, str]) -> Body:
    """Return the body: ``json``, ``content``, or a form (``data``, ``files``, or both).

    Raises ``ValueError`` for more than one body, and ``TypeError`` with the name of an invalid argument.
    """
    form = [name for name, value in (("data", data), ("files", files)) if value is not None]
    given = [name for name, value in (("json", json), ("content", content)) if value is not None]
    given += [" and ".join(form)] if form else []
    if len(given) > 1:
        raise ValueError(f"a request has only one body, and got several: {', '.join(given)}")
    if form:
        return _form(data, files, headers.get("content-type"))
    if json is not None:
        return Body(_json(json), "application/json")
    return Body() if content is None else Body(_bytes(content, "content", _CONTENT))


def headers_of(headers: Any) -> dict[str, str]:
    """Return headers by their lower-case names."""
    if headers is None:
        return {}
    if not isinstance(headers, Mapping):
        raise wrong_type("headers", headers, "a mapping of str to str")
    for name, value in headers.items():
        text(name, "headers: a name")
        text(value, f"headers: {name!r}")
    return {name.lower(): value for name, value in headers.items()}


def text(value: Any, argument: str) -> str:
    """Return ``value``; raise ``TypeError`` if it is not text."""
    if not isinstance(value, str):
        raise wrong_type(argument, value, "str")
    return value


def seconds(value: Any, argument: str, default: float) -> float:
    """Return a number of seconds; ``default`` for None."""
    if value is None:
        return default
    return _above_zero(value, argument, "seconds", "a number of seconds for the whole response")


def mebibytes(value: Any, argument: str) -> int | None:
    """Return a number of MiB in bytes; None for None."""
    if value is None:
        return None
    # More does not fit into the memory of a machine that runs tests, and infinity is no number of bytes.
    if (size := _above_zero(value, argument, "MiB", "a number of MiB")) > _MOST_MIB:
        raise ValueError(f"{argument}: {value!r}, expected at most {_MOST_MIB} MiB")
    return math.ceil(size * MIB)


def _above_zero(value: Any, argument: str, unit: str, expected: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise wrong_type(argument, value, expected)
    # Not `<= 0`, which is false for NaN.
    if not value > 0:
        raise ValueError(f"{argument}: {value!r}, expected more than 0 {unit}")
    return float(value)


def wrong_type(argument: str, value: object, expected: str) -> TypeError:
    """Return the error for an argument. It contains the type and never the value, which may be a secret."""
    return TypeError(f"{argument}: {type(value).__name__}, expected {expected}")


def _json(value: Any) -> bytes:
    try:
        return to_json(value)
    except (TypeError, ValueError) as error:
        raise type(error)(f"json: {error}") from None


def _bytes(value: Any, argument: str, expected: str) -> bytes:
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value)
    raise wrong_type(argument, value, expected)


def _form(data: Any, files: Any, kind: str | None) -> Body:
    fields = {} if data is None else _fields(data)
    uploads = [] if files is None else [_upload(name, given) for name, given in _named_files(files)]
    if not fields and not uploads:
        return Body()
    content, kind = encoded_form(fields, uploads, kind)
    return Body(content, kind, _shown(fields, uploads) if uploads else None)


def _fields(data: Any) -> dict[str, Any]:
    if not isinstance(data, Mapping):
        raise wrong_type("data", data, "a mapping of names to values; use content= for another kind of body")
    for name, value in data.items():
        text(name, "data: a name")
        for item in value if isinstance(value, (list, tuple)) else (value,):
            if not isinstance(item, str | int | float | None):
                raise wrong_type(f"data: {name!r}", item, "str, a number, a boolean, None, or a list of them")
    return dict(data)


_Upload: TypeAlias = tuple[str, tuple[Any, ...]]
"""name of the field, and filename, content, type and headers"""


def _named_files(files: Any) -> Iterator[tuple[str, Any]]:
    pairs = files.items() if isinstance(files, Mapping) else files
    if not isinstance(files, (Mapping, list, tuple)):
        raise wrong_type("files", files, "a mapping of names to files, or a list of pairs")
    for pair in pairs:
        if not isinstance(pair, tuple) or len(pair) != 2:
            raise wrong_type("files: an item", pair, "a pair of a name and a file")
        yield text(pair[0], "files: a name"), pair[1]


def _upload(name: str, given: Any) -> _Upload:
    if isinstance(given, tuple):
        if not 2 <= len(given) <= 4:
            raise ValueError(f"files: {name!r}: {len(given)} items, expected (filename, content, type, headers)")
        filename, content, kind, headers = (*given, None, None)[:4]
        return name, _checked(name, filename, content, kind, headers)
    return name, _checked(name, PurePath(str(getattr(given, "name", "upload"))).name, given, None, None)


def _checked(name: str, filename: Any, content: Any, kind: Any, headers: Any) -> tuple[Any, ...]:
    argument = f"files: {name!r}"
    if filename is not None:
        text(filename, f"{argument}: filename")
        kind = kind or mimetypes.guess_type(filename)[0] or _OCTETS
    if kind is not None:
        text(kind, f"{argument}: type")
    # Read now, so that a retry sends the same content.
    content = content.read() if hasattr(content, "read") else content
    return filename, _bytes(content, argument, _FILE), kind, headers_of(headers)


def _shown(fields: Mapping[str, Any], uploads: list[_Upload]) -> str:
    """Return the record of a form with files: names, sizes and types of the files, never their content."""
    shown: dict[str, list[Any]] = {
        name: list(value) if isinstance(value, (list, tuple)) else [value] for name, value in fields.items()
    }
    for name, (filename, content, kind, _) in uploads:
        shown.setdefault(name, []).append({"filename": filename, "type": kind, "bytes": len(content)})
    one_or_more = {name: values[0] if len(values) == 1 else values for name, values in shown.items()}
    return json.dumps(one_or_more, ensure_ascii=False)


Params: TypeAlias = "Mapping[str, Any] | Sequence[tuple[str, Any]]"

_PARAMETER = re.compile(r"\{(\w+)\}")
_DOTS = (".", "..")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
# Characters that a request line cannot contain, in a path and in a query. Percent signs that escape something stay.
_UNSAFE = re.compile(r"%(?![0-9A-Fa-f]{2})|[^!-~]|[\"<>`{}]")
_UNSAFE_IN_QUERY = re.compile(r"%(?![0-9A-Fa-f]{2})|[^!-~]|[\"<>]")
_CONTAINERS = (bytes, bytearray, memoryview, Mapping, list, tuple, set, frozenset)


def fill(template: str, values: Mapping[str, object] | None) -> str:
    """Return ``template`` with each ``{name}`` replaced by the quoted value. Raises ``ValueError`` for a mismatch."""
    if not template.startswith("/"):
        raise ValueError(f"a path must start with a slash: {template!r}")
    if "#" in template:
        raise ValueError(f"a fragment is never sent: {template!r}; write a '#' in a path or a query as %23")
    if _CONTROL.search(template):
        raise ValueError(f"a path must not contain a line break or another control character: {template!r}")
    quoted = dict(_quoted(values))
    names = set(_PARAMETER.findall(template))
    if names != set(quoted):
        raise ValueError(f"{template!r} needs path_params for {sorted(names)}, got {sorted(quoted)}")
    filled = _PARAMETER.sub(lambda match: quoted[match[1]], template)
    _check_dots(template, filled)
    return filled


def url_of(base_url: str, path: str, params: Any) -> str:
    """Return the URL to request: ``path`` below ``base_url``, with ``params`` added to its query.

    The part after the host is sent byte for byte: dots in it are not resolved.
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
    """Reject a parameter that turns a segment into ``.`` or ``..``: servers and proxies resolve it to another path."""
    segments = (each.partition("?")[0].split("/") for each in (template, filled))
    for written, segment in zip(*segments, strict=True):
        if segment in _DOTS and written != segment:
            raise ValueError(
                f"path_params: {written!r} becomes {segment!r}, which is another path. Write it in the path if you mean it."
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
        raise wrong_type("params", params, "a mapping or a list of pairs; put a query that is text into the path")
    for pair in params:
        if not isinstance(pair, (list, tuple)) or len(pair) != 2:
            raise wrong_type("params: an item", pair, "a pair of a name and a value")
    return params


def _escaped(found: re.Match[str]) -> str:
    return quote(found[0], safe="")
