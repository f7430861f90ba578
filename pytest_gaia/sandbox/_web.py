"""HTTP servers inside the supervisor, which can be stopped and started separately, and the one in front of a program.

They use uvicorn's protocol, but not its ``Server``, which polls ten times a second and takes 0.1 s to stop, for each of
the four services of each stack.
"""

import asyncio
import logging
import socket
import struct
import time
from collections.abc import Callable
from email.utils import formatdate
from functools import lru_cache, partial
from typing import Any
from urllib.parse import urlsplit

import h11
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from pytest_gaia.sandbox._processes import ReservedPort

_OF_ONE_CONNECTION = (b"connection", b"keep-alive", b"transfer-encoding", b"upgrade", b"expect", b"te", b"trailer")
"""headers that are not forwarded"""
_OWN = (b"date", b"server")
"""headers that this server adds itself"""


class Forwarder:
    """The application in front of a program, so that its responses can have faults.

    Each request has a connection of its own. A program that does not respond is a connection that is reset.
    """

    def __init__(self, url: Callable[[], str]) -> None:
        """``url`` returns the present URL of the program."""
        self._url = url

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Forward one request."""
        message: dict[str, Any] = {"more_body": True}
        body = b""
        while message.get("more_body"):
            message = await receive()
            body += message.get("body", b"")
        try:
            await self._forward(scope, body, send)
        except (OSError, h11.RemoteProtocolError):
            scope["state"]["reset"]()

    async def _forward(self, scope: Any, body: bytes, send: Any) -> None:
        url = urlsplit(self._url())
        reader, writer = await asyncio.open_connection(url.hostname, url.port)
        try:
            connection = h11.Connection(h11.CLIENT)
            for event in (_request(scope, body), h11.Data(data=body), h11.EndOfMessage()):
                writer.write(connection.send(event) or b"")
            while True:
                reply = connection.next_event()
                if reply is h11.NEED_DATA:
                    connection.receive_data(await reader.read(1 << 16))
                elif isinstance(reply, h11.Response):
                    headers = [each for each in reply.headers.raw_items() if each[0].lower() not in _OF_ONE_CONNECTION]
                    headers = [(name.lower(), value) for name, value in headers if name.lower() not in _OWN]
                    await send({"type": "http.response.start", "status": reply.status_code, "headers": headers})
                elif isinstance(reply, h11.Data):
                    await send({"type": "http.response.body", "body": bytes(reply.data), "more_body": True})
                elif isinstance(reply, h11.EndOfMessage):
                    await send({"type": "http.response.body", "body": b"", "more_body": False})
                    return
        finally:
            writer.close()


def _request(scope: Any, body: bytes) -> h11.Request:
    # A compressed response could not be changed.
    dropped = (*_OF_ONE_CONNECTION, b"content-length", b"accept-encoding")
    headers = [(name, value) for name, value in scope["headers"] if name not in dropped]
    headers += [(b"connection", b"close"), (b"content-length", str(len(body)).encode())]
    query = scope["query_string"]
    target = scope["raw_path"] + (b"?" + query if query else b"")
    return h11.Request(method=scope["method"], target=target, headers=headers)


_RESET = struct.pack("ii", 1, 0)


class HttpServer:
    """Serves one application on one reserved port.

    ``scope["state"]["reset"]`` is a function that resets the TCP connection.
    """

    def __init__(self, app: Any, port: ReservedPort) -> None:
        self.port = port
        self.serve(app)
        self._state = ServerState()
        self._server: asyncio.Server | None = None

    def serve(self, app: Any) -> None:
        """Serve another application to connections that are opened from now on."""
        self._config = Config(
            app,
            http="httptools",
            ws="none",
            lifespan="off",
            loop="asyncio",
            log_config=None,
            access_log=False,
            proxy_headers=False,
        )

    @property
    def running(self) -> bool:
        """Whether it accepts connections."""
        return self._server is not None

    async def start(self) -> None:
        """Accept connections. Raises ``OSError`` if another process has taken the port."""
        if self._server is None:
            loop = asyncio.get_running_loop()
            self._server = await loop.create_server(self._connection, sock=self.port.socket())

    def stop(self) -> None:
        """Refuse new connections and abort open ones."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for task in tuple(self._state.tasks):
            task.cancel()
        for connection in tuple(self._state.connections):
            connection.transport.abort()

    def _connection(self) -> asyncio.Protocol:
        return _Connection(self._config, self._state, {})


class _Connection(HttpToolsProtocol):
    """One connection, which the application can reset."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn itself
        super().connection_made(transport)
        self.app_state = {"reset": partial(_reset, transport)}

    def on_message_begin(self) -> None:
        self.server_state.default_headers = _default_headers(int(time.time()))
        super().on_message_begin()


def _is_error(record: logging.LogRecord) -> bool:
    """Whether to log a message; a request that was aborted with its server is not an error."""
    return not (record.exc_info and isinstance(record.exc_info[1], asyncio.CancelledError))


logging.getLogger("uvicorn.error").addFilter(_is_error)


def _reset(transport: asyncio.Transport) -> None:
    connection = transport.get_extra_info("socket")
    if connection is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    transport.abort()


@lru_cache(maxsize=1)
def _default_headers(now: int) -> list[tuple[bytes, bytes]]:
    return [(b"date", formatdate(now, usegmt=True).encode()), (b"server", b"uvicorn")]
