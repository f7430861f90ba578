"""One question to a NATS server: its greeting, and an answer to PING, which only a server that lets us in gives."""

from __future__ import annotations

import json
import socket
import time
from typing import TYPE_CHECKING, Any

from pytest_gaia.clients.reasons import NO_TLS
from pytest_gaia.clients.wire import broker_address, trusted
from pytest_gaia.errors import ConfigError
from pytest_gaia.run.probes import Answer, Dead, NotYet, classified

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_gaia.clients.wire import BrokerAddress

_GREETING, _REFUSAL = b"INFO ", b"-ERR "
_LONGEST_LINE = 64 * 1024


def probe_nats(url: str, timeout: float) -> Answer:
    """Connect to the server at ``url``, read its greeting, log in and wait for the answer to PING.

    A server that refuses the credentials is there and is ``degraded``. One that speaks WebSocket is only connected to.
    Raises ``NotYet`` and ``Dead``.
    """
    address, until = broker_address(url), time.monotonic() + timeout
    try:
        with socket.create_connection(address.endpoint, timeout=timeout) as connection:
            if address.webs:
                return Answer(detail="connected; WebSocket is not asked further")
            return _asked(connection, address, until)
    except ConfigError as error:
        raise Dead(str(error)) from None
    except OSError as error:
        raise classified(error, address.endpoint.host) from None


def _asked(connection: socket.socket, address: BrokerAddress, until: float) -> Answer:
    lines = _lines(connection, until)
    greeting = next(lines, b"")
    if not greeting.startswith(_GREETING):
        raise Dead(f"what listens on {address.endpoint} is not a NATS server")
    if not _told(greeting).get("tls_required"):
        if address.scheme == "tls":
            raise Dead(f"{NO_TLS}; is it nats://?", remedy="write the URL with nats://.")
        return _greeted(connection, lines, address)
    connection.settimeout(max(0.001, until - time.monotonic()))
    with trusted("tls://").wrap_socket(connection, server_hostname=address.endpoint.host) as secured:
        return _greeted(secured, _lines(secured, until), address)


def _greeted(connection: socket.socket, lines: Iterator[bytes], address: BrokerAddress) -> Answer:
    connection.sendall(b"CONNECT " + json.dumps(_login(address)).encode() + b"\r\nPING\r\n")
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


def _login(address: BrokerAddress) -> dict[str, object]:
    """Return what a client says of itself."""
    login: dict[str, object] = {"verbose": False, "pedantic": False, "name": "gaia-readiness", "lang": "python"}
    given = {"user": address.user, "pass": address.password, "auth_token": address.token}
    return login | {name: value for name, value in given.items() if value is not None}


def _text(line: bytes) -> str:
    return line.decode("utf-8", "replace").strip().strip("'")
