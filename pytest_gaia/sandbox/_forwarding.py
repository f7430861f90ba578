"""The server in front of a program, so that its responses can have faults."""

import asyncio
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import h11

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
