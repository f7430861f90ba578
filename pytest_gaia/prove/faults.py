"""Faults of responses: one line of text each, and those generated from the responses that tests received."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import msgspec

from pytest_gaia.errors import ConfigError, nearest

_FORMS = {
    "status": (1, " STATUS [JSON]"),
    "slow": (1, " SECONDS"),
    "drop": (1, " FIELD"),
    "set": (2, " FIELD JSON"),
    "shorten": (1, " FIELD"),
    "double": (1, " FIELD"),
    "header": (2, " NAME JSON"),
}
"""kind → least number of arguments, and what they are"""
_NUMBER = re.compile(r"\d+(\.\d+)?")
BASIC = ("status", "reset", "slow", "drop", "set")
"""kinds that are generated unless others are chosen"""
FURTHER = ("header", "shorten", "double", "stale", "accept_any_key")
KINDS = (*BASIC, *FURTHER, "noop")
FIELDS = 14
"""fields of a response for which faults are generated, in breadth-first order"""
SLOW = 0.5
"""seconds"""


class Route(msgspec.Struct, frozen=True, order=True):
    """Requests of one method to one path template of a service."""

    service: str
    method: str
    path: str

    def __str__(self) -> str:
        return f"{self.service} {self.method} {self.path}"


class Fault(msgspec.Struct, frozen=True, order=True):
    """One fault of the responses of a route. ``kind`` and arguments are those of the faults of the sandbox."""

    route: Route
    kind: str
    field: str = ""
    """of ``drop``, ``set``, ``shorten`` and ``double``; the name of ``header``"""
    value: str = ""
    """as JSON: the value of ``set`` and ``header``, the seconds of ``slow``, the status of ``status``"""
    body: str = ""
    """of ``status``, as JSON"""

    def __str__(self) -> str:
        return " ".join(filter(None, (str(self.route), self.kind, self.field, self.value, self.body)))

    @property
    def arguments(self) -> dict[str, Any]:
        """The arguments of the fault in the sandbox."""
        common = {"route": self.route.path, "method": self.route.method}
        match self.kind:
            case "status":
                return {**common, "status": json.loads(self.value), "body": json.loads(self.body or "null")}
            case "slow":
                return {**common, "delay": json.loads(self.value)}
            case "header":
                return {**common, "name": self.field, "value": json.loads(self.value)}
            case "drop" | "shorten" | "double":
                return {**common, "field": self.field}
            case "set":
                value = json.loads(self.value)
                # The state of the services may be another one than when the fault was generated.
                return {**common, "field": self.field, "value": value, "different": value is not None}
        return common


def parse(line: str, place: str) -> Fault:
    """Return the fault of ``line``, such as ``gateway GET /health drop version``.

    Raises ``ConfigError`` that begins with ``place``.
    """
    service, method, path, kind, *rest = [*line.split(maxsplit=4), "", "", "", ""][:5]
    if not kind:
        raise ConfigError(f"{place}: expected SERVICE METHOD ROUTE KIND, such as `gateway GET /health reset`: {line!r}")
    if kind not in KINDS:
        raise ConfigError(f"{place}: unknown kind of fault {kind!r}; {nearest(kind, KINDS)}")
    least, form = _FORMS.get(kind, (0, ""))
    with_field = form.startswith((" FIELD", " NAME"))
    words = rest[0].split(maxsplit=1)
    if not least <= len(words) <= len(form.split()):
        raise ConfigError(f"{place}: expected {kind}{form}: {line!r}")
    field, values = (words[0], words[1:]) if with_field else ("", words)
    if kind in ("slow", "status") and not _NUMBER.fullmatch(values[0]):
        raise ConfigError(f"{place}: {values[0]!r} is not a number: {line!r}")
    try:
        texts = [_json(json.loads(each)) for each in values]
    except ValueError:
        raise ConfigError(f"{place}: {values[-1]!r} is not JSON; a text needs quotes: {line!r}") from None
    value, body = (*texts, "", "")[:2]
    return Fault(Route(service, method.upper(), path), kind, field, value, body)


class Seen(msgspec.Struct):
    """What the tests received from one route when nothing was wrong."""

    route: Route
    tests: list[str] = []
    """node IDs, the fastest first"""
    shared: bool = False
    """whether a fixture of a wider scope than function requested it"""
    fields: dict[str, str] = {}
    """path of a field → its value as JSON"""
    denied: bool = False
    """whether there was a response with status 401"""
    changes: bool = False
    """whether a test got different responses to the same GET"""


def faults_of(seen: Seen, kinds: Collection[str] = BASIC) -> list[Fault]:
    """Return the faults of these kinds for one route."""
    found = [
        Fault(seen.route, "status", value="500"),
        Fault(seen.route, "status", value="200", body="{}"),
        Fault(seen.route, "reset"),
        Fault(seen.route, "slow", value=_json(SLOW)),
    ]
    if seen.denied:
        found.append(Fault(seen.route, "accept_any_key"))
    if seen.changes:
        found.append(Fault(seen.route, "stale"))
    if seen.fields:
        found.append(Fault(seen.route, "header", "content-type", _json("text/plain")))
    for field, text in seen.fields.items():
        value = json.loads(text)
        found.append(Fault(seen.route, "drop", field))
        if value is not None:
            found.append(Fault(seen.route, "set", field, "null"))
        found.append(Fault(seen.route, "set", field, _json(another(value))))
        if isinstance(value, list) and value:
            found += [Fault(seen.route, kind, field) for kind in ("shorten", "double")]
    return [fault for fault in found if fault.kind in kinds]


def another(value: Any) -> Any:
    """Return another value of the same type; a text for null."""
    match value:
        case bool():
            return not value
        case int() | float():
            return round(value + 1, 3)
        case str():
            return "another one" if value == "another" else "another"
        case list():
            return [] if value else ["another"]
        case dict():
            return {} if value else {"another": 1}
    return "another"


def fields_of(content: Any) -> dict[str, str]:
    """Return the first fields of a JSON response, breadth-first, each with its value as JSON.

    The items of a list are ``*``, with the fields of the first one. Keys that cannot be part of a path are left out.
    """
    found: dict[str, str] = {}
    level: list[tuple[str, Any]] = [("", content)]
    while level and len(found) < FIELDS:
        level = [each for path, value in level for each in _below(path, value)]
        found |= {path: _json(value) for path, value in level}
    return dict(list(found.items())[:FIELDS])


def _below(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Yield the fields of an object, or of the first item of a list, with their paths."""
    while isinstance(value, list) and value:
        path, value = f"{path}.*" if path else "*", value[0]
    if isinstance(value, Mapping):
        for name, each in value.items():
            if name and not set(name) & set(". \t\n*"):
                yield (f"{path}.{name}" if path else name), each


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
