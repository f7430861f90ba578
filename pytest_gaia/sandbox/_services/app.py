"""The common parts of the services, based on Starlette: requests, responses, errors, a table of routes, and the log.

Figures and fixed responses of the services are in ``figures.json``. In a response, a text such as ``"{samples}"`` is replaced
with the value of that name, and ``"{now}"`` with the time.
"""

import json
import logging
import os
import time
import traceback
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Literal

from starlette import requests, routing, types
from starlette.exceptions import HTTPException
from starlette.responses import Response

ASGIApp = types.ASGIApp
Message = types.Message
Receive = types.Receive
Scope = types.Scope
Send = types.Send

JSON_TYPE = "application/json"
SSE_TYPE = "text/event-stream; charset=utf-8"

FIGURES: Mapping[str, Any] = json.loads(Path(__file__).with_name("figures.json").read_text("utf-8"))
RESPONSES: Mapping[str, Mapping[str, Any]] = FIGURES["answers"]
"""service → route → response"""

_log = logging.getLogger(__name__)


class HttpError(Exception):
    """An error response with ``status_code`` and ``{"detail": detail}``."""

    def __init__(self, status_code: int, detail: object) -> None:
        super().__init__(status_code, detail)
        self.status_code = status_code
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Identity:
    """The user of a request. ``kind`` is ``jwt`` or ``api_key``, ``credentials`` the header for the next service."""

    user_id: str
    kind: str
    credentials: tuple[str, str] = field(repr=False)


class Request(requests.Request):
    """One request with its whole body."""

    content: bytes = b""
    identity: Identity | None = None

    @property
    def user_id(self) -> str:
        """The id of the user, on a route with authentication."""
        if self.identity is None:
            msg = f"{self.method} {self.url.path} is served without a user"
            raise LookupError(msg)
        return self.identity.user_id

    @property
    def dry(self) -> bool:
        """Whether a fault makes this request change nothing, with a normal response."""
        return bool(self.scope.get("gaia.dry"))

    @property
    def any_key(self) -> bool:
        """Whether a fault makes any API key valid."""
        return bool(self.scope.get("gaia.any_key"))


@dataclass(frozen=True, slots=True)
class Stream:
    """Server-sent events. Like the platform, it continues to the end after the client has left."""

    chunks: AsyncGenerator[bytes, None]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send one event after the other."""
        headers = [(b"content-type", SSE_TYPE.encode()), (b"cache-control", b"no-cache")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        async with aclosing(self.chunks) as chunks:
            async for chunk in chunks:
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


Handler = Callable[[Request], Awaitable[object]]


class Service:
    """The ASGI application of one service; the first matching route handles a request.

    A handler returns a ``Response``, a ``Stream``, or the content of a JSON response with status 200. It raises
    ``HttpError`` for an error response. Other exceptions are logged, and the response is that of ``crash``.
    """

    def __init__(
        self,
        title: str,
        authenticate: Callable[[Request], Awaitable[Identity]],
        *,
        crash: Callable[[], Response] | None = None,
        document: Mapping[str, Any] | Literal[False] | None = None,
    ) -> None:
        """``document`` is the OpenAPI document; by default it lists the routes that are added, and False is none."""
        self._title = title
        self._authenticate = authenticate
        self._crash = crash or _crash
        self._router = routing.Router()
        self._paths: dict[str, dict[str, object]] = {}
        self._published = document or {
            "openapi": "3.1.0",
            "info": {"title": title, "version": "0.2"},
            "paths": self._paths,
        }
        if document is not False:
            self._add("GET /openapi.json", self._document, open_=True)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one HTTP request."""
        try:
            # Inside an application Starlette raises an error for an unknown route instead of sending text.
            await self._router({**scope, "app": self}, receive, send)
        except HTTPException as error:
            await json_response({"detail": error.detail}, error.status_code)(scope, receive, send)

    def add(self, rule: str, handler: Handler, *, open_: bool = False) -> None:
        """Append a route such as ``"GET /health"``, and list it in ``/openapi.json``."""
        self._add(rule, handler, open_=open_)
        method, template = rule.split(" ")
        operation: dict[str, object] = {"responses": {"200": {"description": "Successful Response"}}}
        if not open_:
            operation["security"] = [{"HTTPBearer": []}, {"APIKeyHeader": []}]
        self._paths.setdefault(template, {})[method.lower()] = operation

    def _add(self, rule: str, handler: Handler, *, open_: bool) -> None:
        async def serve(plain: requests.Request) -> Response | Stream:
            request = Request(plain.scope, plain.receive)
            try:
                request.content = await request.body()
                if not open_:
                    request.identity = await self._authenticate(request)
                result = await handler(request)
                return result if isinstance(result, Response | Stream) else json_response(result)
            except HttpError as error:
                return json_response({"detail": error.detail}, error.status_code)
            # A service returns 500 for any unexpected error, and logs it.
            except Exception:  # noqa: BLE001
                _log.exception("%s: %s %s", self._title, request.method, request.url.path)
                request.scope.get("gaia.errors", []).append(traceback.format_exc())
                return self._crash()

        method, template = rule.split(" ")
        route = routing.Route(template, serve, methods=[method])
        # Starlette adds HEAD to every GET; the platform does not.
        route.methods = {method}
        self._router.routes.append(route)

    async def _document(self, request: Request) -> object:
        return self._published


TRACE_HEADERS = ("x-request-id", "traceparent")
"""headers by which logs name a request; the gateway passes them on"""


class ServiceLog:
    """The log of one service: a file that only this user can read, with at most two parts of ``LIMIT`` bytes."""

    LIMIT = 4 * 1024 * 1024

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: int | None = None
        self._size = 0

    def write(self, text: str) -> None:
        """Append lines. A log that cannot be written is no reason to fail."""
        with suppress(OSError):
            if self._size > self.LIMIT:
                self.close()
                self._path.replace(self._path.with_name(f"{self._path.name}.1"))
            if self._file is None:
                self._file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
                self._size = os.fstat(self._file).st_size
            self._size += os.write(self._file, f"{text}\n".encode(errors="backslashreplace"))

    def close(self) -> None:
        """Close the file; :meth:`write` opens it again."""
        file, self._file = self._file, None
        if file is not None:
            os.close(file)


class Logged:
    """The application of a service, with a line in its log for each request, and the traceback of an error."""

    def __init__(self, app: ASGIApp, log: ServiceLog) -> None:
        self._app = app
        self._log = log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status, started, errors = 0, time.perf_counter(), scope.setdefault("gaia.errors", [])

        async def sent(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, sent)
        finally:
            milliseconds = (time.perf_counter() - started) * 1000
            result = f"{status} in {milliseconds:.1f} ms" if status else "no response"
            level = "INFO" if 0 < status < 500 else "ERROR"
            words = (now(), level, scope["method"], json.dumps(scope["path"])[1:-1], result, *_ids(scope))
            self._log.write("\n".join((" ".join(words), *map(str.rstrip, errors))))


def _ids(scope: Scope) -> list[str]:
    headers: dict[str, str] = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
    _, trace_id, span_id = [*headers.get("traceparent", "").split("-"), "", ""][:3]
    known = {"request_id": headers.get("x-request-id", ""), "trace_id": trace_id, "span_id": span_id}
    return [f"{name}={json.dumps(value)[1:-1]}" for name, value in known.items() if value]


def json_response(content: object, status: int = 200) -> Response:
    """Return ``content`` as a JSON response; bytes are already encoded JSON."""
    return Response(content if isinstance(content, bytes) else encode(content), status, {"content-type": JSON_TYPE})


def html_response(text: str) -> Response:
    """Return ``text`` as a web page."""
    return Response(text, 200, {"content-type": "text/html; charset=utf-8"})


def empty_response() -> Response:
    """Return a response with status 204, which has no content."""
    return Response(status_code=204)


def encode(content: object) -> bytes:
    """Return ``content`` as the JSON of the services: compact UTF-8."""
    return json.dumps(content, separators=(",", ":"), ensure_ascii=False).encode()


def _crash() -> Response:
    return Response("Internal Server Error", 500, {"content-type": "text/plain; charset=utf-8"})


def now() -> str:
    """Return the current time in UTC, in ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def naive_now() -> str:
    """Return the current time in UTC without its zone, in ISO 8601."""
    return naive(datetime.now(UTC))


def naive(moment: datetime) -> str:
    """Return ``moment`` in UTC without its zone, in ISO 8601."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat()


def today() -> date:
    """Return the current day in UTC."""
    return datetime.now(UTC).date()


def filled(content: Any, **values: object) -> Any:
    """Return a copy of ``content`` with the current time and ``values`` filled in."""
    return _filled(content, {"{now}": naive_now(), **{f"{{{name}}}": value for name, value in values.items()}})


def canned(content: object, **values: object) -> Handler:
    """Return a handler that always returns ``content``."""

    async def handle(request: Request) -> object:
        return filled(content, **values)

    return handle


def chosen(contents: Mapping[str, object], missing: str) -> Handler:
    """Return a handler that returns the content for the value in its path, or 404 with the text ``missing``."""

    async def handle(request: Request) -> object:
        (name,) = request.path_params.values()
        if name not in contents:
            raise HttpError(404, missing.format(name))
        return filled(contents[name])

    return handle


def add_canned(app: Service, service: str, *rules: str, open_: bool = False) -> None:
    """Add the routes of ``service`` with fixed responses."""
    for rule in rules:
        app.add(rule, canned(RESPONSES[service][rule]), open_=open_)


def _filled(content: Any, values: Mapping[str, object]) -> Any:
    if isinstance(content, dict):
        return {name: _filled(value, values) for name, value in content.items()}
    if isinstance(content, list):
        return [_filled(value, values) for value in content]
    return values.get(content, content) if isinstance(content, str) else content
