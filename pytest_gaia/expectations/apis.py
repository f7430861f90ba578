"""Which operations the services offer, by their OpenAPI documents: in this release, and in the baseline before it."""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from email.utils import parsedate_to_datetime
from functools import cache
from types import MappingProxyType
from typing import Any
from urllib.parse import unquote, urlsplit

import msgspec

METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
"""keys of a path in an OpenAPI document that are methods"""

_KNOWN = re.compile(r"3\.[01](\.|$)")

MISSING_ROUTE = (404, 405)
"""status codes of a server for an operation that it does not have"""


FETCHED = "fetched"
""":attr:`Api.source` of a document that the service itself published"""


class Api(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """The operations of one service, as its OpenAPI document lists them."""

    document: str
    """SHA-256 of the document, ``sha256:…``"""
    operations: tuple[str, ...]
    """sorted, such as ``GET /orders/{id}``"""
    prefix: str = ""
    """path of the server in the document, with which all paths begin"""
    sunsets: dict[str, date] = {}
    """deprecated operation → the last day on which clients may use it"""
    source: str = FETCHED
    """where the document comes from"""


class Baseline(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """The operations of an earlier release."""

    name: str
    """such as ``release 3f9a1c in staging``"""
    apis: dict[str, Api] = {}
    """service → its operations"""
    recorded: dict[str, Api] = {}
    """service → its operations in the tested release, as the run of an earlier stage recorded them"""


def operations_of(document: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the operations of an OpenAPI document, such as ``GET /orders/{id}``, sorted.

    Raises ``ValueError`` as :func:`path_items`.
    """
    items = path_items(document).items()
    return tuple(sorted(f"{method.upper()} {path}" for path, item in items for method in item if method in METHODS))


def path_items(document: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return path → methods and other parts of an OpenAPI document, with references followed.

    Raises ``ValueError`` unless the version is 3.0 or 3.1, and for a reference to another document. Later versions have
    more methods, which must not be missed.
    """
    version, paths = str(document.get("openapi", "")), document.get("paths")
    if swagger := document.get("swagger"):
        raise ValueError(f"is Swagger {swagger}; only OpenAPI 3.0 and 3.1 are supported")
    if version and not _KNOWN.match(version):
        raise ValueError(f"is OpenAPI {version}; only 3.0 and 3.1 are supported, because others may have more methods")
    if not version or not isinstance(paths, dict):
        raise ValueError("is not an OpenAPI document: it has no `openapi: 3.…` or no `paths`")
    return {path: _item(document, path, item) for path, item in paths.items() if path.startswith("/")}


def _item(document: Mapping[str, Any], path: str, item: Any) -> dict[str, Any]:
    seen: list[str] = []
    while isinstance(item, dict) and "$ref" in item:
        reference = str(item["$ref"])
        item = None if reference in seen or not reference.startswith("#/") else document
        for name in unquote(reference[2:]).split("/"):
            item = item.get(name.replace("~1", "/").replace("~0", "~")) if isinstance(item, dict) else None
        seen.append(reference)
    if isinstance(item, dict):
        return item
    raise ValueError(f"is invalid: {path} is not an object" + (f", at the end of {', '.join(seen)}" if seen else ""))


def has_sunset(operation: Mapping[str, Any]) -> bool:
    """Whether an operation in a document is deprecated with the day of its sunset."""
    return operation.get("deprecated") is True and "x-sunset" in operation


def sunset_of(operation: Mapping[str, Any]) -> date | None:
    """Return the day in UTC of ``x-sunset`` of an operation: an ISO date, with or without a time, or an HTTP date.

    None for any other text, and without it.
    """
    text = str(operation.get("x-sunset", ""))
    for read in (datetime.fromisoformat, parsedate_to_datetime):
        try:
            moment = read(text)
            return (moment.astimezone(UTC) if moment.tzinfo else moment).date()
        except (ValueError, OverflowError):
            continue
    return None


def api_of(document: Mapping[str, Any], digest: str) -> Api:
    """Return the operations of an OpenAPI document with this SHA-256. Raises ``ValueError`` as :func:`path_items`."""
    sunsets = {
        f"{method.upper()} {path}": sunset
        for path, item in path_items(document).items()
        for method, operation in item.items()
        if method in METHODS and isinstance(operation, dict) and has_sunset(operation)
        if (sunset := sunset_of(operation)) is not None
    }
    return Api(f"sha256:{digest}", operations_of(document), prefix_of(document), sunsets)


def prefix_of(document: Mapping[str, Any]) -> str:
    """Return the path of the first server of an OpenAPI document; empty without one."""
    servers = document.get("servers")
    first = servers[0] if isinstance(servers, list) and servers else None
    url = first.get("url") if isinstance(first, dict) else None
    return urlsplit(url).path.rstrip("/") if isinstance(url, str) and "{" not in url else ""


@dataclass(frozen=True, slots=True)
class NamedOperation:
    """An operation of a service in a file or a marker: ``orders: GET /orders/{id}``."""

    service: str
    method: str
    """``*`` for every method, in patterns"""
    path: str
    """ends with ``*`` for every path with this beginning, in patterns"""

    @classmethod
    def of(cls, text: str, entry: str | None, *, pattern: bool = False) -> "NamedOperation":
        """Return the operation in ``text``; without a service it is one of ``entry``. Raises ``ValueError``."""
        before, colon, after = text.partition(": ")
        service, operation = (before.strip(), after.strip()) if colon else (entry or "", text.strip())
        method, _, path = operation.partition(" ")
        known = (*(each.upper() for each in METHODS), *(("*",) if pattern else ()))
        if not service:
            raise ValueError(f"{text!r} has no service; write it as 'orders: GET /orders'")
        if method not in known or not path.startswith("/") or not path.isprintable() or set(path) & set(" ?#"):
            raise ValueError(f"{text!r} is not an operation, such as 'GET /orders/{{id}}' or 'orders: GET /orders'")
        if "*" in (path.removesuffix("*") if pattern else path):
            raise ValueError(
                f"{text!r} contains '*'{', which is allowed at its end only' if pattern else '; name one operation'}"
            )
        return cls(service, method, path)

    @classmethod
    def written(cls, text: str) -> "NamedOperation":
        """Return the operation that ``str`` wrote as ``text``."""
        service, _, operation = text.partition(": ")
        method, _, path = operation.partition(" ")
        return cls(service, method, path)

    @property
    def meaning(self) -> str:
        """Text that is equal for equal operations: it does not contain the names of path parameters."""
        return f"{self.service}: {self.method} {_unnamed(self.path)}"

    def covers(self, operation: str) -> bool:
        """Whether ``operation``, written as ``str`` of another one, is this one or matches this pattern.

        If ``operation`` is a pattern too, whether this one covers all that it covers.
        """
        service, _, rest = operation.partition(": ")
        method, _, path = rest.partition(" ")
        if service != self.service or self.method not in ("*", method):
            return False
        if self.path.endswith("*"):
            return _unnamed(path).startswith(_unnamed(self.path[:-1]))
        return _unnamed(path) == _unnamed(self.path)

    def __str__(self) -> str:
        return f"{self.service}: {self.method} {self.path}"


@dataclass(frozen=True, slots=True)
class Apis:
    """The operations of all services with a known document: in this release, and in the baseline."""

    now: Mapping[str, Api] = field(default_factory=lambda: MappingProxyType({}))
    baseline: Baseline | None = None
    _found: dict[tuple[str, str, str], str] = field(default_factory=dict, repr=False, compare=False)

    def __hash__(self) -> int:
        return hash((frozenset(self.now), self.baseline and self.baseline.name))

    def lacks(self, operation: NamedOperation) -> bool:
        """Whether the document of the service is known, and does not have ``operation``."""
        api = self.now.get(operation.service)
        return api is not None and not _offers(api, operation.method, operation.path)

    def offers(self, operation: NamedOperation) -> bool | None:
        """Whether the release offers ``operation``; None if the document of the service is not known."""
        return None if operation.service not in self.now else not self.lacks(operation)

    def missing(self, service: str, method: str, path: str, status: int | None) -> str:
        """Return the operation of a request that failed because the release lacks it, such as ``orders: GET /orders``.

        Both must agree: the document of ``service`` has no such operation, and the response is 404 or 405.
        Otherwise the result is empty.
        """
        if status not in MISSING_ROUTE or service not in self.now:
            return ""
        key = (service, method, path)
        if key not in self._found:
            operation = NamedOperation(service, method, path)
            self._found[key] = self.named(operation) if self.lacks(operation) else ""
        return self._found[key]

    def in_baseline(self, operation: str, day: date) -> bool | None:
        """Whether the baseline offers an operation to clients on ``day``, after which its sunset may be; None if unknown.

        ``operation`` is a result of :meth:`missing`.
        """
        service, _, rest = operation.partition(": ")
        method, _, path = rest.partition(" ")
        api = self.baseline.apis.get(service) if self.baseline else None
        if api is None:
            return None
        found = _spelling(api, method, path)
        return found is not None and not (found in api.sunsets and api.sunsets[found] < day)

    def spelled(self, operation: NamedOperation) -> str:
        """Return an operation as the document of this release, or that of the baseline, spells it; otherwise as it is."""
        api = self.now.get(operation.service)
        found = _spelling(api, operation.method, operation.path) if api else None
        return f"{operation.service}: {found}" if found else self.named(operation)

    def named(self, operation: NamedOperation) -> str:
        """Return the operation as the baseline spells it, so that different requests of one operation count as one."""
        api = self.baseline.apis.get(operation.service) if self.baseline else None
        found = _spelling(api, operation.method, operation.path) if api else None
        return f"{operation.service}: {found}" if found else str(operation)


NO_APIS = Apis()
"""nothing is known, so every failure counts"""


def lacking_reason(operations: Iterable[str]) -> str | None:
    """Return why a test that needs ``operations``, which the release lacks, does not apply; None without any."""
    by_service: defaultdict[str, list[str]] = defaultdict(list)
    for each in operations:
        service, _, operation = each.partition(": ")
        by_service[service].append(operation)
    found = (f"{service} does not offer {', '.join(them)} in this release" for service, them in by_service.items())
    return "; ".join(found) or None


def removed_without_tests(apis: Apis, tested: Iterable[str], day: date) -> list[str]:
    """Return the operations that this release lacks and the baseline has on ``day``, but that are not in ``tested``."""
    known = set(tested)
    return [each for each in _gone(apis) if each not in known and apis.in_baseline(each, day)]


def _gone(apis: Apis) -> Iterator[str]:
    for service, api in sorted((apis.baseline.apis if apis.baseline else {}).items()):
        if service in apis.now:
            named = (NamedOperation(service, *operation.split(" ", 1)) for operation in api.operations)
            yield from (str(each) for each in named if apis.lacks(each))


def _offers(api: Api, method: str, path: str) -> bool:
    return _spelling(api, method, path) is not None


def _spelling(api: Api, method: str, path: str) -> str | None:
    """Return the operation of ``api`` that a request is; None if there is none. ``path`` may be a template."""
    literal, templates = _index(api.operations)
    paths = [path]
    if api.prefix and path.startswith(f"{api.prefix}/"):
        paths.append(path.removeprefix(api.prefix))
    for each in paths:
        asked = f"{method} {_unnamed(unquote(each))}"
        if asked in literal:
            return literal[asked]
        for pattern, operation in templates:
            if pattern.fullmatch(asked):
                return operation
    return None


@cache
def _index(operations: tuple[str, ...]) -> tuple[dict[str, str], tuple[tuple[re.Pattern[str], str], ...]]:
    """Return the operations by their text, and patterns of those with path parameters. Static paths take precedence."""
    literal = {_unnamed(operation): operation for operation in operations}
    templates = (
        (re.compile("[^/]+".join(map(re.escape, text.split("{}")))), operation)
        for text, operation in sorted(literal.items(), key=lambda item: item[0].count("{}"))
        if "{}" in text
    )
    return literal, tuple(templates)


_PARAMETER = re.compile(r"{[^}/]*}")


def _unnamed(path: str) -> str:
    """Return a path without the names of its parameters, which do not matter to clients."""
    return _PARAMETER.sub("{}", path)
