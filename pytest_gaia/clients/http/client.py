"""The HTTP client of one service, with a write guard, recording, deadlines and detailed errors."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping
from typing import Any

from pytest_gaia.clients.exchanges import Exchange
from pytest_gaia.clients.http._arguments import Content, Files, Params, body_of, headers_of, mebibytes, seconds, text
from pytest_gaia.clients.http._exchange import Call, Identity, Link
from pytest_gaia.clients.http.responses import EventStream, Headers, Response, require_events
from pytest_gaia.clients.reasons import hide
from pytest_gaia.clients.running import RUNNING, RunningTest
from pytest_gaia.config.environment import Environment
from pytest_gaia.config.platform import Auth
from pytest_gaia.errors import GaiaError
from pytest_gaia.secrets.masks import Secret

__tracebackhide__ = hide


_KEY = Auth("API_KEY", "x-api-key")
_TOKEN = Auth("TOKEN", "authorization", "Bearer")
"""how credentials are sent to a service whose `auth` does not describe them"""


class HttpClient:
    """An HTTP client of one service of the environment.

    It sends the credential that ``auth`` of the service names; by default the environment's API key, or its token if there
    is no key. ``as_user``, ``with_key`` and ``anonymous`` return clients with another identity that share the connections.
    """

    def __init__(self, link: Link, identity: Identity) -> None:
        self._link = link
        self._identity = identity

    @property
    def service(self) -> str:
        """The name of the service."""
        return self._link.service

    @property
    def environment(self) -> Environment:
        """The environment that the service belongs to."""
        return self._link.environment

    @property
    def base_url(self) -> str:
        """The base URL of requests; that of another service if this one has no URL of its own."""
        return self._link.base_url

    @property
    def exchanges(self) -> tuple[Exchange, ...]:
        """The latest 200 exchanges of the running test, with this client and those derived from it, oldest first."""
        running = RUNNING.get()
        return tuple(exchange for test, exchange in self._link.exchanges if test is running)

    def as_user(self, token: str) -> HttpClient:
        """Return a client that sends ``token`` as a bearer token (or as ``auth`` describes it), and no API key."""
        return self._with(text(token, "token"), _TOKEN, *(each for each in self._auth if each.secret == _TOKEN.secret))

    def with_key(self, key: str) -> HttpClient:
        """Return a client that sends another API key, in the header that ``auth`` of the service names."""
        return self._with(text(key, "key"), _KEY, *self._auth[:1])

    @property
    def _auth(self) -> tuple[Auth, ...]:
        return self.environment.platform[self._link.receiver].auth

    def _with(self, credential: str, *described: Auth) -> HttpClient:
        """Return a client that sends ``credential`` in the header of the last of ``described``."""
        self._link.redactor.learn(credential)
        auth = described[-1]
        return HttpClient(self._link, {auth.header.lower(): Secret(f"{auth.scheme} {credential}".lstrip())})

    def anonymous(self) -> HttpClient:
        """Return a client that sends no credentials."""
        return HttpClient(self._link, {})

    async def request(
        self,
        method: str,
        path: str,
        *,
        path_params: Mapping[str, object] | None = None,
        params: Params | None = None,
        json: Any = None,
        content: Content | None = None,
        data: Mapping[str, Any] | None = None,
        files: Files | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,
        limit: float | None = None,
    ) -> Response:
        """Send a request and return the response, whatever its status. Redirects are not followed.

        ``path`` may be a template such as ``/personas/{persona_id}``, filled from ``path_params`` and recorded as the
        route. It is sent unchanged, dots included. ``params`` is a mapping or a list of pairs, added to the query.

        The body is ``json``, ``content`` (sent unchanged), ``data`` (a form), or ``files`` with or without ``data`` (a
        multipart form); the arguments are those of httpx. ``timeout`` is the number of seconds for the whole response;
        its default is ``timeouts.response`` of the service, or of the environment. ``limit`` is the number of MiB that the
        decoded body may have, however well it was compressed; its default is ``max_response_mib`` of the environment.

        Raises ``TypeError`` or ``ValueError`` for an invalid argument, ``WriteRefused``, ``NotApplicable``, ``NotSent``,
        ``Unreachable`` or ``DeadlineExceeded``.
        """
        given = headers_of(headers)
        call = self._link.call(
            method,
            path,
            path_params=path_params,
            params=params,
            body=body_of(json, content, data, files, given),
            headers=given,
            identity=self._identity,
            within=seconds(timeout, "timeout", self._link.timeouts.response),
            limit=mebibytes(limit, "limit"),
        )
        try:
            return await self._response(call)
        except GaiaError as error:
            # The message has the details; the traceback should end in the test.
            raise error.with_traceback(None) from None

    async def _response(self, call: Call) -> Response:
        async with self._link.send(call) as attempt:
            body = await attempt.body()
            head, exchange, test = attempt.incoming, attempt.finish(), RUNNING.get()
            unread = None
            if isinstance(test, RunningTest):
                unread = test.unread = test.unread or {}
                unread[id(exchange)] = exchange
            return Response(head.status, Headers(head.headers), body, attempt.text, exchange, unread)

    async def get(self, path: str, **options: Any) -> Response:
        """Send a GET; the options are those of :meth:`request`."""
        return await self.request("GET", path, **options)

    async def post(self, path: str, **options: Any) -> Response:
        """Send a POST; the options are those of :meth:`request`."""
        return await self.request("POST", path, **options)

    async def put(self, path: str, **options: Any) -> Response:
        """Send a PUT; the options are those of :meth:`request`."""
        return await self.request("PUT", path, **options)

    async def patch(self, path: str, **options: Any) -> Response:
        """Send a PATCH; the options are those of :meth:`request`."""
        return await self.request("PATCH", path, **options)

    async def delete(self, path: str, **options: Any) -> Response:
        """Send a DELETE; the options are those of :meth:`request`."""
        return await self.request("DELETE", path, **options)

    @contextlib.asynccontextmanager
    async def stream(
        self,
        path: str,
        *,
        json: Any = None,
        content: Content | None = None,
        data: Mapping[str, Any] | None = None,
        files: Files | None = None,
        method: str = "POST",
        path_params: Mapping[str, object] | None = None,
        params: Params | None = None,
        headers: Mapping[str, str] | None = None,
        deadline: float | None = None,
        limit: float | None = None,
    ) -> AsyncIterator[EventStream]:
        """Open a stream of server-sent events: ``async with orders.stream(path, json=…) as events``.

        ``deadline`` is the number of seconds for the whole stream; its default is ``timeouts.stream`` of the service, or of
        the environment. ``limit`` is that of :meth:`request`. Raises the errors of :meth:`request`, and
        ``UnexpectedResponse`` if the response is not a stream of events.
        """
        given = headers_of(headers)
        call = self._link.call(
            method,
            path,
            path_params=path_params,
            params=params,
            body=body_of(json, content, data, files, given),
            headers={"accept": "text/event-stream", **given},
            identity=self._identity,
            within=seconds(deadline, "deadline", self._link.timeouts.stream),
            limit=mebibytes(limit, "limit"),
        )
        async with self._link.send(call) as attempt:
            await require_events(attempt)
            yield EventStream(attempt)

    def __repr__(self) -> str:
        return f"<HttpClient {self.service} of {self.environment.name}>"
