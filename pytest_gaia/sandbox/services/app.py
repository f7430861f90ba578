"""What every service is made of: a request, answers and errors, and a table of routes."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, MutableMapping
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, quote


def naive_now() -> str:
    """Return the present time in UTC without its zone, in ISO 8601."""
    return naive(datetime.now(UTC))


def naive(moment: datetime) -> str:
    """Return ``moment`` in UTC without its zone, in ISO 8601."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat()


def today() -> date:
    """Return the present day in UTC."""
    return datetime.now(UTC).date()


Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]

JSON_TYPE = "application/json"
SSE_TYPE = "text/event-stream; charset=utf-8"


class HttpError(Exception):
    """Answer ``status`` with ``{"detail": detail}``."""

    def __init__(self, status: int, detail: object) -> None:
        super().__init__(status, detail)
        self.status = status
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Identity:
    """Who asks: ``kind`` is ``jwt`` or ``api_key``, ``credentials`` the header to present to the next service."""

    user_id: str
    kind: str
    credentials: tuple[str, str] = field(repr=False)


@dataclass(slots=True)
class Request:
    """One request with its whole body. ``params`` are the values of the path template."""

    scope: Scope
    body: bytes
    params: Mapping[str, str]
    identity: Identity | None = None

    @property
    def method(self) -> str:
        """The HTTP method, in capitals."""
        return str(self.scope["method"])

    @property
    def path(self) -> str:
        """The path, decoded, without the query."""
        return str(self.scope["path"])

    @property
    def query(self) -> dict[str, str]:
        """The query; of a repeated name the last value."""
        return dict(parse_qsl(self.scope["query_string"].decode(), keep_blank_values=True))

    @property
    def headers(self) -> dict[str, str]:
        """Headers by their lower-case name."""
        return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in self.scope["headers"]}

    @property
    def client(self) -> str:
        """Address of the peer."""
        return str((self.scope.get("client") or ("unknown", 0))[0])

    @property
    def user_id(self) -> str:
        """The id of the user on a route that wants one."""
        if self.identity is None:
            msg = f"{self.method} {self.path} is served without a user"
            raise LookupError(msg)
        return self.identity.user_id

    @property
    def dry(self) -> bool:
        """Whether a fault asks that this request change nothing while answering as if it had."""
        return bool(self.scope.get("gaia.dry"))

    @property
    def any_key(self) -> bool:
        """Whether a fault asks that any key be accepted."""
        return bool(self.scope.get("gaia.any_key"))


@dataclass(frozen=True, slots=True)
class Answer:
    """A complete answer. A ``content_type`` of None sends no such header, as a redirect does."""

    body: bytes
    status: int = 200
    content_type: str | None = JSON_TYPE
    headers: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(cls, content: object, status: int = 200) -> Answer:
        """Encode ``content`` as compact JSON."""
        return cls(encode(content), status)

    async def send(self, send: Send) -> None:
        """Write the answer to the peer."""
        typed = [("content-type", self.content_type)] if self.content_type else []
        headers = [*typed, ("content-length", str(len(self.body))), *self.headers]
        await send(_start(self.status, headers))
        await send({"type": "http.response.body", "body": self.body, "more_body": False})


@dataclass(frozen=True, slots=True)
class Stream:
    """An answer that is written as it comes."""

    chunks: AsyncGenerator[bytes, None]
    status: int = 200
    content_type: str = SSE_TYPE

    async def send(self, send: Send) -> None:
        """Write chunk after chunk to the peer."""
        headers = [("content-type", self.content_type), ("cache-control", "no-cache")]
        await send(_start(self.status, headers))
        async with aclosing(self.chunks) as chunks:
            async for chunk in chunks:
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


def encode(content: object) -> bytes:
    """Return ``content`` as the services write JSON: compact, UTF-8."""
    return json.dumps(content, separators=(",", ":"), ensure_ascii=False).encode()


async def read_body(receive: Receive) -> bytes:
    """Read the whole body; a peer that leaves ends it."""
    parts = []
    more = True
    while more:
        message = await receive()
        parts.append(message.get("body", b""))
        more = message.get("more_body", False)
    return b"".join(parts)


def _start(status: int, headers: list[tuple[str, str]]) -> Message:
    pairs = [(name.encode(), value.encode("latin-1")) for name, value in headers]
    return {"type": "http.response.start", "status": status, "headers": pairs}


Handler = Callable[[Request], Awaitable[object]]
Authenticate = Callable[[Request], Awaitable[Identity]]

_log = logging.getLogger(__name__)


def match(template: str, path: str) -> dict[str, str] | None:
    """Return the values of the template's names, or None where the path does not fit.

    >>> match("/personas/{persona_id}", "/personas/7")
    {'persona_id': '7'}
    """
    wanted, given = template.split("/"), path.split("/")
    if len(wanted) != len(given):
        return None
    values = {}
    for want, got in zip(wanted, given, strict=True):
        if want.startswith("{") and got:
            values[want.strip("{}")] = got
        elif want != got:
            return None
    return values


class Route(NamedTuple):
    """One method on one path template. ``open`` routes want no credentials, ``hidden`` ones are in no document."""

    method: str
    template: str
    handler: Handler
    open: bool = False
    hidden: bool = False


class Router:
    """The ASGI application of one service.

    A handler returns an ``Answer``, a ``Stream``, or anything else as the content of a 200 in JSON; it raises
    ``HttpError`` for an error of its own. What it did not expect is logged and answered with ``crash``.
    """

    def __init__(self, title: str, authenticate: Authenticate, *, crash: Answer | None = None) -> None:
        self.title = title
        self.routes: list[Route] = []
        self._authenticate = authenticate
        self._crash = crash or Answer(b"Internal Server Error", 500, "text/plain; charset=utf-8")
        self.add("GET /openapi.json", self._document, open_=True, hidden=True)

    def add(self, rule: str, handler: Handler, *, open_: bool = False, hidden: bool = False) -> None:
        """Append a route, such as ``"GET /health"``; earlier routes win."""
        method, template = rule.split(" ")
        self.routes.append(Route(method, template, handler, open_, hidden))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one HTTP request."""
        request = Request(scope, await read_body(receive), {})
        try:
            answer = await self._answer(request)
        except HttpError as error:
            answer = Answer.of({"detail": error.detail}, error.status)
        # A service answers 500 to what it did not expect, whatever that is; the log has it all.
        except Exception:  # noqa: BLE001
            _log.exception("%s: %s %s", self.title, request.method, request.path)
            answer = self._crash
        await answer.send(send)

    async def _answer(self, request: Request) -> Answer | Stream:
        fitting = [
            (route, values) for route in self.routes if (values := match(route.template, request.path)) is not None
        ]
        for route, values in fitting:
            if route.method == request.method:
                return await self._run(route, values, request)
        if fitting:
            raise HttpError(405, "Method Not Allowed")
        return self._elsewhere(request)

    async def _run(self, route: Route, values: dict[str, str], request: Request) -> Answer | Stream:
        request.params = values
        if not route.open:
            request.identity = await self._authenticate(request)
        result = await route.handler(request)
        return result if isinstance(result, Answer | Stream) else Answer.of(result)

    def _elsewhere(self, request: Request) -> Answer:
        """Redirect to the same path with or without a slash at the end where that is served, else 404."""
        other = request.path.rstrip("/") if request.path.endswith("/") else f"{request.path}/"
        if not other or all(match(route.template, other) is None for route in self.routes):
            raise HttpError(404, "Not Found")
        query = request.scope["query_string"].decode()
        host = request.headers.get("host", "localhost")
        location = f"http://{host}{quote(other)}{f'?{query}' if query else ''}"
        return Answer(b"", 307, None, (("location", location),))

    async def _document(self, request: Request) -> object:
        paths: dict[str, dict[str, object]] = {}
        for route in self.routes:
            if not route.hidden:
                operation: dict[str, object] = {"responses": {"200": {"description": "Successful Response"}}}
                if not route.open:
                    operation["security"] = [{"HTTPBearer": []}, {"APIKeyHeader": []}]
                paths.setdefault(route.template, {})[route.method.lower()] = operation
        return {"openapi": "3.1.0", "info": {"title": self.title, "version": "0.2"}, "paths": paths}
