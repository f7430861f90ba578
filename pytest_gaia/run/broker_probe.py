"""One question to a NATS server: its greeting, and an answer to PING, which only a server that lets us in gives."""

from __future__ import annotations

import json
import socket
import ssl
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, unquote, urlsplit

from pytest_gaia.config.addresses import endpoints
from pytest_gaia.run.probes import Answer, Dead, NotYet, classified

if TYPE_CHECKING:
    from collections.abc import Iterator

_GREETING, _REFUSAL = b"INFO ", b"-ERR "
_LONGEST_LINE = 64 * 1024


def probe_nats(url: str, timeout: float) -> Answer:
    """Connect to the server at ``url``, read its greeting, log in and wait for the answer to PING.

    A server that refuses the credentials is there and is ``degraded``. One that speaks WebSocket is only connected to.
    Raises ``NotYet`` and ``Dead``.
    """
    parts, until = urlsplit(url), time.monotonic() + timeout
    address = endpoints(url)[0]
    try:
        with socket.create_connection(address, timeout=timeout) as connection:
            if parts.scheme in ("ws", "wss"):
                return Answer(detail="connected; WebSocket is not asked further")
            return _asked(connection, parts, until)
    except OSError as error:
        raise classified(error, url) from None


def _asked(connection: socket.socket, parts: SplitResult, until: float) -> Answer:
    lines = _lines(connection, until)
    greeting = next(lines, b"")
    if not greeting.startswith(_GREETING):
        raise Dead(f"what listens on {parts.hostname}:{parts.port or 4222} is not a NATS server")
    info = _told(greeting)
    if parts.scheme != "tls" and not info.get("tls_required"):
        return _greeted(connection, lines, parts)
    connection.settimeout(max(0.001, until - time.monotonic()))
    with ssl.create_default_context().wrap_socket(connection, server_hostname=parts.hostname) as secured:
        return _greeted(secured, _lines(secured, until), parts)


def _greeted(connection: socket.socket, lines: Iterator[bytes], parts: SplitResult) -> Answer:
    connection.sendall(b"CONNECT " + json.dumps(_login(parts)).encode() + b"\r\nPING\r\n")
    for line in lines:
        if line.startswith(b"PONG"):
            return Answer()
        if line.startswith(_REFUSAL):
            return Answer("degraded", f"refuses: {_text(line.removeprefix(_REFUSAL))}")
    raise NotYet("the connection was broken off before the answer to PING")


def _lines(connection: socket.socket, until: float) -> Iterator[bytes]:
    """Yield what the server says, line by line, until it ends the connection. Raises ``TimeoutError``."""
    held = b""
    while True:
        connection.settimeout(max(0.001, until - time.monotonic()))
        received = connection.recv(4096)
        held += received
        *lines, held = held.split(b"\r\n")
        yield from lines
        if not received or len(held) > _LONGEST_LINE:
            return


def _told(greeting: bytes) -> dict[str, Any]:
    try:
        told = json.loads(greeting.removeprefix(_GREETING))
    except (ValueError, RecursionError):
        return {}
    return told if isinstance(told, dict) else {}


def _login(parts: SplitResult) -> dict[str, object]:
    """Return what a client says of itself; with a user alone, that is a token."""
    login: dict[str, object] = {"verbose": False, "pedantic": False, "name": "gaia-readiness", "lang": "python"}
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    if password:
        return login | {"user": user, "pass": password}
    return login | {"auth_token": user} if user else login


def _text(line: bytes) -> str:
    return line.decode("utf-8", "replace").strip().strip("'")
