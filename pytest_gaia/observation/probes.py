"""Probes of one service by its protocol: PostgreSQL, NATS, Redis, AMQP and TCP. HTTP is in ``http_probe``."""

import json
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

from pytest_gaia.clients.reasons import NO_TLS, NOT_TLS, remedy_of, tls_reason
from pytest_gaia.clients.wire import BrokerAddress, broker_address, trusted
from pytest_gaia.config.addresses import Endpoint, endpoints, is_loopback
from pytest_gaia.errors import ConfigError
from pytest_gaia.printable import one_line

_SSL_REQUEST = b"\x00\x00\x00\x08\x04\xd2\x16\x2f"
"""PostgreSQL's SSLRequest: length 8 and the code 80877103 (protocol documentation, "Message Formats")."""

_PING = b"*1\r\n$4\r\nPING\r\n"
"""Redis's PING as an array, which every server of its protocol understands"""
_BUSY = (b"-LOADING", b"-BUSY", b"-MASTERDOWN")
"""errors of a Redis server that is about to be ready"""
_AMQP = b"AMQP"
_AMQP_0_9_1 = _AMQP + b"\x00\x00\x09\x01"
_CONNECTION_START = b"\x00\x0a\x00\x0a"
"""class and method of the first frame of an AMQP broker"""

SLOW_HANDSHAKE = 1.0
"""seconds of a TLS handshake after which the port is probed without TLS"""
LONGEST_TEXT = 80
"""characters that are shown of a text from outside"""
_GREETING, _REFUSAL = b"INFO ", b"-ERR "
_LONGEST_LINE = 64 * 1024


class ProbeError(Exception):
    """A probe without a usable response."""

    def __init__(
        self, problem: str, retry_after: float | None = None, *, answered: bool = False, remedy: str = ""
    ) -> None:
        super().__init__(problem)
        self.retry_after = retry_after
        """seconds that the server requested"""
        self.answered = answered
        """whether the server responded with an error"""
        self.remedy = remedy
        """what to do, if there is a specific remedy"""


class TemporaryProbeError(ProbeError):
    """A later probe may succeed, because the machine may be starting."""


class PermanentProbeError(ProbeError):
    """A later probe will probably fail too: unknown host, connection refused."""


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """The result of a probe. ``state`` is None if the service reports no problem."""

    state: str | None = None
    detail: str = ""
    version: str | None = None
    confirmed: bool = True
    """whether the service reports its health; False if the response has no status"""
    partial: bool = False
    """whether this is healthy where the environment lacks a service that this one depends on"""
    mute: bool = False
    """whether the protocol has no way to report health, so that no other response will follow"""

    @property
    def said(self) -> str:
        """State and version, as text."""
        state = self.state or "healthy"
        return f"{state}, version {self.version}" if self.version else state


def probe_postgres(dsn: str, timeout: float) -> ProbeResult:
    """Request TLS, to which every PostgreSQL server responds with one byte before any login.

    If the DSN lists several servers, one that responds is enough, as for a client.
    """
    until = time.monotonic() + timeout
    *others, last = endpoints(dsn)
    for address in others:
        try:
            return _request_tls(address, until - time.monotonic())
        except ProbeError:
            continue
    return _request_tls(last, until - time.monotonic())


def _request_tls(address: Endpoint, timeout: float) -> ProbeResult:
    try:
        with _connected(address, max(0.001, timeout)) as connection:
            connection.sendall(_SSL_REQUEST)
            reply = connection.recv(1)
    except OSError as error:
        raise classified(error, address.host) from None
    if reply not in (b"S", b"N"):
        raise TemporaryProbeError(f"the server on {address} is not PostgreSQL")
    return ProbeResult()


def _connected(address: Endpoint, timeout: float) -> socket.socket:
    if not address.host.startswith("/"):
        return socket.create_connection(address, timeout=timeout)
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(timeout)
    try:
        connection.connect(f"{address.host}/.s.PGSQL.{address.port}")
    except OSError:
        connection.close()
        raise
    return connection


def probe_nats(url: str, timeout: float) -> ProbeResult:
    """Connect to the server at ``url``, read its greeting, log in and wait for the response to PING.

    A server that rejects the credentials is ``degraded``. A WebSocket server is only connected to. Raises
    ``ProbeError``.
    """
    address, until = broker_address(url), time.monotonic() + timeout
    try:
        with socket.create_connection(address.endpoint, timeout=timeout) as connection:
            if address.webs:
                return _connects("over WebSocket")
            return _greeting(connection, address, until)
    except ConfigError as error:
        raise PermanentProbeError(str(error)) from None
    except OSError as error:
        raise classified(error, address.endpoint.host) from None


def _greeting(connection: socket.socket, address: BrokerAddress, until: float) -> ProbeResult:
    lines = _lines(connection, until)
    greeting = next(lines, b"")
    if not greeting.startswith(_GREETING):
        raise PermanentProbeError(f"the server on {address.endpoint} is not a NATS server")
    if not _server_info(greeting).get("tls_required"):
        if address.scheme == "tls":
            raise without_tls("nats")
        return _log_in(connection, lines, address)
    connection.settimeout(max(0.001, until - time.monotonic()))
    with trusted("tls://").wrap_socket(connection, server_hostname=address.endpoint.host) as secured:
        return _log_in(secured, _lines(secured, until), address)


def _log_in(connection: socket.socket, lines: Iterator[bytes], address: BrokerAddress) -> ProbeResult:
    connection.sendall(b"CONNECT " + json.dumps(_login(address)).encode() + b"\r\nPING\r\n")
    for line in lines:
        if line.startswith(b"PONG"):
            return ProbeResult()
        if line.startswith(_REFUSAL):
            return ProbeResult("degraded", f"refused: {_text(line.removeprefix(_REFUSAL))}")
    raise TemporaryProbeError("the connection was closed before the response to PING")


def _lines(connection: socket.socket, until: float) -> Iterator[bytes]:
    """Yield lines from the server until it closes the connection, which may end the last one. Raises ``TimeoutError``."""
    held = b""
    while True:
        connection.settimeout(max(0.001, until - time.monotonic()))
        received = connection.recv(4096)
        held += received
        *lines, held = held.split(b"\r\n")
        yield from lines
        if not received or len(held) > _LONGEST_LINE:
            yield from filter(None, [held])
            return


def _server_info(greeting: bytes) -> dict[str, Any]:
    try:
        info = json.loads(greeting.removeprefix(_GREETING))
    except (ValueError, RecursionError):
        return {}
    return info if isinstance(info, dict) else {}


def _login(address: BrokerAddress) -> dict[str, object]:
    """Return the parameters of CONNECT."""
    login: dict[str, object] = {"verbose": False, "pedantic": False, "name": "gaia-readiness", "lang": "python"}
    given = {"user": address.user, "pass": address.password, "auth_token": address.token}
    return login | {name: value for name, value in given.items() if value is not None}


def _text(line: bytes) -> str:
    return one_line(line.decode("utf-8", "replace").strip().strip("'")[:LONGEST_TEXT])


def probe_redis(url: str, timeout: float) -> ProbeResult:
    """Log in if ``url`` has credentials, and wait for the response to PING. The number of the database is ignored.

    A server that refuses one of them is ``degraded``. Raises ``ProbeError``.
    """
    until = time.monotonic() + timeout
    login = _login_to_redis(url)
    with _conversation(url, until, _PING) as connection:
        connection.sendall((_command(b"AUTH", *login) if login else b"") + _PING)
        for number, line in enumerate(_lines(connection, until)):
            if line.startswith(_BUSY):
                raise TemporaryProbeError(f"the server responded with: {_text(line[1:])}", answered=True)
            if line.startswith(b"-"):
                return ProbeResult("degraded", f"refused: {_text(line[1:])}")
            if line == b"+PONG":
                return ProbeResult()
            if number or line != b"+OK" or not login:
                raise _other_protocol(url, until, "a Redis server")
    raise _no_response(url, until)


def _login_to_redis(url: str) -> tuple[bytes, ...]:
    """Return the arguments of AUTH: password, or user and password. Without credentials there are none."""
    parts = urlsplit(url)
    given = [unquote(each or "").encode() for each in (parts.username, parts.password)]
    return tuple(given if given[0] else given[1:] if given[1] else ())


def _command(*words: bytes) -> bytes:
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)


def probe_amqp(url: str, timeout: float) -> ProbeResult:
    """Send the protocol header of AMQP 0-9-1 and wait for the broker's ``connection.start``. It does not log in.

    A broker that uses only another version is ``degraded``. Raises ``ProbeError``.
    """
    until = time.monotonic() + timeout
    with _conversation(url, until, _AMQP_0_9_1) as connection:
        connection.sendall(_AMQP_0_9_1)
        received = _beginning(connection, until)
    if received[:1] == b"\x01" and received[7:] == _CONNECTION_START:
        return ProbeResult()
    if received[:4] == _AMQP and len(received) >= 8:
        return ProbeResult("degraded", f"uses AMQP {'.'.join(map(str, received[5:8]))}, not 0-9-1")
    if not received:
        raise _no_response(url, until)
    raise _other_protocol(url, until, "an AMQP broker")


def _beginning(connection: socket.socket, until: float) -> bytes:
    """Return the beginning of an AMQP frame up to its method, or a protocol header."""
    received = b""
    while len(received) < (8 if received.startswith(_AMQP) else 11):
        connection.settimeout(max(0.001, until - time.monotonic()))
        more = connection.recv(11 - len(received))
        if not more:
            break
        received += more
    return received


def probe_tcp(url: str, timeout: float) -> ProbeResult:
    """Connect to ``url``, which shows that a server listens, and not that it is healthy. Raises ``ProbeError``."""
    address = endpoints(url)[0]
    try:
        with socket.create_connection(address, timeout=timeout):
            return _connects("")
    except OSError as error:
        raise classified(error, address.host) from None


def _connects(how: str) -> ProbeResult:
    return ProbeResult(detail=f"connected; not probed further {how}".rstrip(), confirmed=False, mute=True)


@contextmanager
def _conversation(url: str, until: float, hello: bytes) -> Iterator[socket.socket]:
    """Connect to ``url``, with TLS if its scheme ends with an ``s``. ``hello`` makes a server without TLS respond."""
    address = endpoints(url)[0]
    try:
        with socket.create_connection(address, timeout=max(0.001, until - time.monotonic())) as connection:
            if not _is_secure(url):
                yield connection
                return
            secured = trusted("tls://").wrap_socket(
                connection, server_hostname=address.host, do_handshake_on_connect=False
            )
            with secured:
                handshake(secured, until, lambda: _responds_to(hello, address, until))
                yield secured
    except ConfigError as error:
        raise PermanentProbeError(str(error)) from None
    except OSError as error:
        if isinstance(error, ssl.SSLError) and tls_reason(error) == NO_TLS:
            raise without_tls(urlsplit(url).scheme.removesuffix("s")) from None
        if isinstance(error, ConnectionResetError):
            raise _no_response(url, until) from None
        raise classified(error, address.host) from None


def handshake(secured: ssl.SSLSocket, until: float, is_plain: Callable[[], bool]) -> None:
    """Do the TLS handshake. If it is slow and ``is_plain`` finds a server without TLS, raise ``ssl.SSLError`` early."""
    secured.settimeout(max(0.001, min(until - time.monotonic(), SLOW_HANDSHAKE)))
    try:
        secured.do_handshake()
    except TimeoutError:
        if is_plain():
            raise ssl.SSLError(0, NOT_TLS) from None
        secured.settimeout(max(0.001, until - time.monotonic()))
        secured.do_handshake()


def _responds_to(hello: bytes, address: Endpoint, until: float) -> bool:
    try:
        with socket.create_connection(address, timeout=max(0.001, until - time.monotonic())) as connection:
            connection.sendall(hello)
            return bool(connection.recv(1))
    except OSError:
        return False


def check_certificates(url: str) -> None:
    """Raise ``ConfigError`` if the connection to ``url`` uses TLS, and a variable leads to no certificate."""
    if _is_secure(url):
        trusted("tls://")


def _is_secure(url: str) -> bool:
    return urlsplit(url).scheme in ("rediss", "amqps")


def _other_protocol(url: str, until: float, what: str) -> ProbeError:
    address = endpoints(url)[0]
    return _needs_tls(url, until) or PermanentProbeError(f"the server on {address} is not {what}")


def _no_response(url: str, until: float) -> ProbeError:
    return _needs_tls(url, until) or TemporaryProbeError("the connection was closed before the response")


def _needs_tls(url: str, until: float) -> ProbeError | None:
    if _is_secure(url) or not speaks_tls(endpoints(url)[0], until):
        return None
    return only_tls(f"{urlsplit(url).scheme}s")


def without_tls(scheme: str) -> PermanentProbeError:
    """Return the problem of a server without TLS, whose URL should start with ``scheme``."""
    return PermanentProbeError(f"{NO_TLS}; is it {scheme}://?", remedy=f"write the URL with {scheme}://.")


def only_tls(scheme: str) -> PermanentProbeError:
    """Return the problem of a server that uses TLS, whose URL should start with ``scheme``."""
    return PermanentProbeError(f"the server uses TLS; is it {scheme}://?", remedy=f"write the URL with {scheme}://.")


def speaks_tls(address: Endpoint, until: float) -> bool:
    """Whether the server on ``address`` does a TLS handshake before the time ``until``."""
    # Only the TLS greeting is sent, so the certificate need not be trusted.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with (
            socket.create_connection(address, timeout=max(0.001, until - time.monotonic())) as connection,
            context.wrap_socket(connection),
        ):
            return True
    except OSError:
        return False


def classified(reason: object, host: str) -> ProbeError:
    """Return the error ``reason`` of a connection to ``host`` as a temporary or permanent problem."""
    if isinstance(reason, socket.gaierror):
        return PermanentProbeError(f"unknown host {host}")
    if isinstance(reason, ConnectionRefusedError):
        problem = PermanentProbeError if is_loopback(host) else TemporaryProbeError
        return problem("connection refused")
    if isinstance(reason, ssl.SSLCertVerificationError):
        return PermanentProbeError(tls_reason(reason), remedy=remedy_of(reason))
    if isinstance(reason, ssl.SSLError):
        return TemporaryProbeError(tls_reason(reason))
    if isinstance(reason, TimeoutError):
        return TemporaryProbeError("no response in time")
    if isinstance(reason, ConnectionResetError):
        return TemporaryProbeError("connection reset")
    return TemporaryProbeError(str(reason) or type(reason).__name__)
