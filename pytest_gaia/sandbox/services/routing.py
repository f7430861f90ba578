"""Routes of one service: the first template that fits wins, slashes are redirected, errors become answers."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote

from pytest_gaia.sandbox.services.asgi import Answer, HttpError, Identity, Request, Stream, read_body

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from pytest_gaia.sandbox.services.asgi import Receive, Scope, Send

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
