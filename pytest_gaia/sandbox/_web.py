"""HTTP servers for ASGI applications inside the supervisor, which can be stopped and started separately.

They use uvicorn's protocol, but not its ``Server``, which polls ten times a second and takes 0.1 s to stop, for each of
the four services of each stack.
"""

import asyncio
import logging
import socket
import struct
import time
from email.utils import formatdate
from functools import lru_cache, partial
from typing import Any

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from pytest_gaia.sandbox._processes import ReservedPort

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
