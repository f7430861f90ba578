"""Fault injection: the faults of a stack's services, and which of them apply to a request.

=================  =======================================  ========================================================
kind               arguments (with their defaults)          effect for the client
=================  =======================================  ========================================================
``slow``           ``delay`` = 0.5 seconds                  the response is late
``hang``                                                    no response until the fault is removed
``status``         ``status`` = 500, ``body`` = None        that status, and ``body`` as JSON (a detail by default)
``reset``                                                   the connection is reset
``drop``           ``field``                                the field is missing: ``summary.total_cost``, ``items.*.id``
``set``            ``field``, ``value``,                    the field has that value; with ``different``, a field that has
                   ``different`` = False                    it already gets another one
``shorten``        ``field``                                the list lacks its last item
``double``         ``field``                                the list has its items twice
``header``         ``name``, ``value``                      the header has that value
``stale``                                                   the response to the first request with that URL
``noop``                                                    a write gets its normal response, and changes nothing
``accept_any_key``                                          every API key is accepted
``sse_truncate``   ``after`` = 3 events                     the event stream ends early
``sse_reorder``    ``move`` = complete, ``before`` = start  the event of one type comes before that of the other
=================  =======================================  ========================================================

Every kind accepts ``route`` (a path template such as ``/api/v0.2/personas/{persona_id}``, or a prefix that ends in
``/*``), ``method`` and ``times`` (the number of requests that it applies to).
"""

import asyncio
import json
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from pytest_gaia.errors import ConfigError, nearest
from pytest_gaia.sandbox._services.app import ASGIApp, Message, Receive, Scope, Send, encode, json_response

REQUIRED = object()

KINDS: Mapping[str, Mapping[str, Any]] = {
    "slow": {"delay": 0.5},
    "hang": {},
    "status": {"status": 500, "body": None},
    "reset": {},
    "drop": {"field": REQUIRED},
    "set": {"field": REQUIRED, "value": REQUIRED, "different": False},
    "shorten": {"field": REQUIRED},
    "double": {"field": REQUIRED},
    "header": {"name": REQUIRED, "value": REQUIRED},
    "stale": {},
    "noop": {},
    "accept_any_key": {},
    "sse_truncate": {"after": 3},
    "sse_reorder": {"move": "complete", "before": "start"},
}
"""kind → its arguments and their defaults"""

COMMON: Mapping[str, Any] = {"route": None, "method": None, "times": None}
"""the arguments of every kind"""

_TYPES: Mapping[str, tuple[type, ...]] = {
    "delay": (int, float),
    "status": (int,),
    "field": (str,),
    "name": (str,),
    "after": (int,),
    "move": (str,),
    "before": (str,),
    "route": (str,),
    "method": (str,),
    "times": (int,),
}

STATELESS = ("gateway", "auth", "web")
"""services that write nothing themselves, so ``noop`` has no effect on them"""

ONLY_REFERENCES = ("noop", "accept_any_key")
"""kinds that a program of a project cannot have, because they change what a service does"""

REWRITES = ("drop", "set", "shorten", "double", "header", "stale", "sse_truncate", "sse_reorder")
_OF_JSON = ("drop", "set", "shorten", "double")
_DATA = b"data: "
_END = b"\n\n"


@dataclass(slots=True)
class Fault:
    """One fault of one service."""

    service: str
    kind: str
    arguments: Mapping[str, Any]
    route: str | None = None
    method: str | None = None
    left: int | None = None
    kept: dict[tuple[str, str, bytes], tuple[Message, bytes]] = field(default_factory=dict)
    """method, path and query → the first response; for ``stale``"""
    removed: asyncio.Event = field(default_factory=asyncio.Event)

    def meets(self, service: str, method: str, path: str) -> bool:
        """Whether the fault applies to this request."""
        return (
            self.service == service
            and self.left != 0
            and (self.method is None or self.method == method)
            and (self.route is None or _covers(self.route, path))
        )


class Faults:
    """The faults of the ``services`` of one stack."""

    def __init__(self, services: Collection[str]) -> None:
        self.services = list(services)
        """the services that can have faults"""
        self._faults: list[Fault] = []

    def add(self, service: str, kind: str, **arguments: object) -> Fault:
        """Inject a fault into ``service``. Raises ``ConfigError`` for an unknown name or a wrong value."""
        _check_service(service, self.services, kind)
        complete = _complete(kind, arguments)
        route, method, times = (complete.pop(name) for name in COMMON)
        fault = Fault(service, kind, complete, route, method.upper() if method else None, times)
        self._faults.append(fault)
        return fault

    def clear(self) -> None:
        """Remove all faults and release hanging requests."""
        for fault in self._faults:
            fault.removed.set()
        self._faults.clear()

    def take(self, service: str, method: str, path: str) -> tuple[Fault, ...]:
        """Return the faults that apply to this request, in the order of addition, and count the request."""
        met = tuple(fault for fault in self._faults if fault.meets(service, method, path))
        for fault in met:
            if fault.left is not None:
                fault.left -= 1
        return met

    def __len__(self) -> int:
        return sum(fault.left != 0 for fault in self._faults)


def _covers(route: str, path: str) -> bool:
    path = path.rstrip("/")
    if route.endswith("/*"):
        prefix = route.removesuffix("/*")
        return path == prefix or path.startswith(f"{prefix}/")
    wanted, given = route.rstrip("/").split("/"), path.split("/")
    return len(wanted) == len(given) and all(
        bool(got) if want.startswith("{") else want == got for want, got in zip(wanted, given, strict=True)
    )


def _check_service(service: str, services: Collection[str], kind: str) -> None:
    if service not in services:
        raise ConfigError(f"A fault is for one of the services, not {service!r}: {nearest(service, services)}")
    if kind not in KINDS:
        raise ConfigError(f"Unknown kind of fault {kind!r}: {nearest(kind, KINDS)}")
    if kind == "noop" and service in STATELESS:
        raise ConfigError(f"Fault noop: {service} writes nothing itself; inject the fault into chat or asset.")


def _complete(kind: str, arguments: Mapping[str, object]) -> dict[str, Any]:
    """Return the validated arguments with defaults."""
    known = {**KINDS[kind], **COMMON}
    given = {name: value for name, value in arguments.items() if name not in COMMON or value is not None}
    for name, value in given.items():
        if name not in known:
            raise ConfigError(f"Fault {kind} has no argument {name!r}: {nearest(name, known)}")
        wanted = _TYPES.get(name)
        if wanted and (not isinstance(value, wanted) or isinstance(value, bool)):
            raise ConfigError(f"Fault {kind}: {name} must be {wanted[-1].__name__}, not {value!r}.")
    missing = [name for name, default in known.items() if default is REQUIRED and name not in given]
    if missing:
        raise ConfigError(f"Fault {kind} needs {' and '.join(missing)}.")
    complete = {**known, **given}
    if complete["times"] is not None and complete["times"] < 1:
        raise ConfigError(f"Fault {kind}: times must be at least 1, not {complete['times']}.")
    return complete


class Rewriter:
    """A replacement for ``send`` that buffers the response and applies faults to it."""

    def __init__(self, scope: Scope, send: Send, faults: Sequence[Fault]) -> None:
        self._request = (scope["method"], scope["path"], scope["query_string"])
        self._send = send
        self._faults = faults
        self._start: Message = {}
        self._body: list[bytes] = []

    async def __call__(self, message: Message) -> None:
        """Handle one message of the application."""
        if message["type"] == "http.response.start":
            self._start = message
            return
        self._body.append(message.get("body", b""))
        if not message.get("more_body", False):
            await self._finish(b"".join(self._body))

    async def _finish(self, body: bytes) -> None:
        for fault in self._faults:
            if fault.kind == "stale":
                self._start, body = fault.kept.setdefault(self._request, (self._start, body))
        headers = {name.lower(): value for name, value in self._start["headers"]}
        streams = headers.get(b"content-type", b"").startswith(b"text/event-stream")
        for fault in self._faults:
            body = _rewrite_events(body, fault) if streams else _rewrite_json(body, fault)
        for fault in self._faults:
            if fault.kind == "header":
                headers[fault.arguments["name"].lower().encode()] = str(fault.arguments["value"]).encode()
        if b"content-length" in headers:
            headers[b"content-length"] = str(len(body)).encode()
        await self._send({**self._start, "headers": list(headers.items())})
        await self._send({"type": "http.response.body", "body": body, "more_body": False})


def drop_field(content: Any, path: Sequence[str]) -> None:
    """Remove the field at ``path``, if it exists; ``*`` matches every key or item."""
    *parents, name = path
    for parent in _descend(content, parents):
        for key in _keys(parent, name):
            del parent[key]


def set_field(content: Any, path: Sequence[str], value: object, *, different: bool = False) -> None:
    """Set or add the field at ``path``; ``*`` matches every key or item.

    ``different``: a field that has the value already gets another one of the same type.
    """
    *parents, name = path
    for parent in _descend(content, parents):
        keys = _keys(parent, name)
        for key in keys or ([name] if isinstance(parent, dict) and name != "*" else []):
            has_it = different and keys and parent[key] == value
            parent[key] = _other(value) if has_it else value


def _other(value: Any) -> object:
    match value:
        case bool():
            return not value
        case int() | float():
            return value + 1
        case str():
            return f"{value} one"
        case list():
            return [*value, "another"]
        case dict():
            return {**value, "another": 1}
    return "another"


def _descend(content: Any, path: Sequence[str]) -> list[Any]:
    found = [content]
    for name in path:
        found = [parent[key] for parent in found for key in _keys(parent, name)]
    return found


def _keys(parent: Any, name: str) -> list[Any]:
    """Return the keys or indexes of ``parent`` that match ``name``, last first so that they can be removed."""
    if isinstance(parent, dict):
        return list(parent) if name == "*" else [name] * (name in parent)
    if isinstance(parent, list):
        return [index for index in range(len(parent) - 1, -1, -1) if name in ("*", str(index))]
    return []


def _rewrite_json(body: bytes, fault: Fault) -> bytes:
    if fault.kind not in _OF_JSON:
        return body
    try:
        content = json.loads(body)
    except ValueError:
        return body
    path = fault.arguments["field"].split(".")
    match fault.kind:
        case "drop":
            drop_field(content, path)
        case "set":
            set_field(content, path, fault.arguments["value"], different=fault.arguments["different"])
        case _:
            for found in _descend(content, path if path != [""] else []):
                if isinstance(found, list):
                    found[:] = found[:-1] if fault.kind == "shorten" else found * 2
    return encode(content)


def _rewrite_events(body: bytes, fault: Fault) -> bytes:
    events = [event for event in body.split(_END) if event]
    match fault.kind:
        case "sse_truncate":
            events = events[: fault.arguments["after"]]
        case "sse_reorder":
            events = _reordered(events, fault.arguments["move"], fault.arguments["before"])
        case _:
            events = [_DATA + _rewrite_json(event.removeprefix(_DATA), fault) for event in events]
    return b"".join(event + _END for event in events)


def _reordered(events: list[bytes], move: str, before: str) -> list[bytes]:
    kinds = [_kind(event) for event in events]
    if move not in kinds or before not in kinds:
        return events
    moved = events[kinds.index(move)]
    rest = [event for event in events if event is not moved]
    place = [_kind(event) for event in rest].index(before)
    return [*rest[:place], moved, *rest[place:]]


def _kind(event: bytes) -> str | None:
    try:
        content = json.loads(event.removeprefix(_DATA))
    except ValueError:
        return None
    return str(content["type"]) if isinstance(content, dict) and "type" in content else None


class Faulty:
    """The application of a service, with fault injection."""

    def __init__(self, app: ASGIApp, service: str, faults: Faults) -> None:
        self._app = app
        self._service = service
        self._faults = faults

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request with the faults that apply to it."""
        if scope["type"] != "http":
            return
        met = self._faults.take(self._service, scope["method"], scope["path"])
        if not met:
            await self._app(scope, receive, send)
            return
        for fault in met:
            if await _met(fault, scope, receive, send):
                return
        rewrites = [fault for fault in met if fault.kind in REWRITES]
        await self._app(scope, receive, Rewriter(scope, send, rewrites) if rewrites else send)


async def _met(fault: Fault, scope: Scope, receive: Receive, send: Send) -> bool:
    """Apply a fault before the application runs; return whether that completed the response."""
    match fault.kind:
        case "slow":
            await _until_removed(fault, fault.arguments["delay"])
        case "hang":
            await _until_removed(fault, None)
        case "status":
            body = fault.arguments["body"]
            status = fault.arguments["status"]
            detail = {"detail": f"Fault: status {status}"} if body is None else body
            await json_response(detail, status)(scope, receive, send)
            return True
        case "reset":
            await _reset(scope, receive)
            return True
        case "noop":
            scope["gaia.dry"] = True
        case "accept_any_key":
            scope["gaia.any_key"] = True
    return False


async def _until_removed(fault: Fault, timeout: float | None) -> None:
    """Wait until the timeout or until the fault is removed."""
    with suppress(TimeoutError):
        await asyncio.wait_for(fault.removed.wait(), timeout)


async def _reset(scope: Scope, receive: Receive) -> None:
    """Reset the connection with the server's function in ``scope["state"]``, because ASGI has no such message."""
    scope["state"]["reset"]()
    while (await receive())["type"] != "http.disconnect":
        pass
