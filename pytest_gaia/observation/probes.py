"""Probes of one service: HTTP health, the handshake of PostgreSQL, the greeting of NATS."""

import json
import re
import socket
import ssl
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection, IncompleteRead
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import BaseHandler, HTTPHandler, HTTPSHandler, OpenerDirector, ProxyHandler, Request, build_opener

from pytest_gaia.clients.reasons import NO_TLS, NOT_TLS, remedy_of, tls_reason
from pytest_gaia.clients.wire import BrokerAddress, broker_address, proxy_for, trusted
from pytest_gaia.config.addresses import Endpoint, endpoints, host_of, is_loopback
from pytest_gaia.errors import ConfigError
from pytest_gaia.printable import one_line

_SSL_REQUEST = b"\x00\x00\x00\x08\x04\xd2\x16\x2f"
"""PostgreSQL's SSLRequest: length 8 and the code 80877103 (protocol documentation, "Message Formats")."""

_WELL = ("healthy", "ok")
_STATES = ("degraded", "unhealthy")
_SLOW_HANDSHAKE = 1.0
"""seconds of a TLS handshake after which the port is probed for plain HTTP"""
_LONGEST_BODY = 64 * 1024
_LONGEST = 80
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

    @property
    def said(self) -> str:
        """State and version, as text."""
        state = self.state or "healthy"
        return f"{state}, version {self.version}" if self.version else state


def probe_http(url: str, timeout: float) -> ProbeResult:
    """Probe ``GET url/health``. A status of 200 is not enough: the body must report a healthy state."""
    until = time.monotonic() + timeout
    try:
        with opener(url).open(f"{url}/health", timeout=timeout) as response:
            return _health(_body(response, until))
    except HTTPError as error:
        error.close()
        if error.code >= 500 or error.code == 429:
            raise TemporaryProbeError(
                f"GET /health returned {error.code}", _retry_after(error), answered=True
            ) from None
        if error.code == HTTPStatus.BAD_REQUEST and (other := _other_scheme(url, until)):
            raise other from None
        return ProbeResult("degraded", f"GET /health returned {error.code}")
    except URLError as error:
        raise _on_the_way(error.reason, url, until) from None
    except (OSError, ValueError) as error:
        raise _on_the_way(error, url, until) from None
    except IncompleteRead:
        raise TemporaryProbeError("the connection was closed before the response was complete") from None
    except HTTPException:
        raise _other_scheme(url, until) or PermanentProbeError("the server does not speak HTTP") from None


def _body(response: HTTPResponse, until: float) -> bytes:
    """Return the beginning of the body. Each byte restarts the timeout of the socket, so check the overall deadline."""
    body = bytearray()
    while len(body) < _LONGEST_BODY and (byte := response.read(1)):
        if time.monotonic() > until:
            raise TemporaryProbeError("no complete response in time", answered=True)
        body += byte
    return bytes(body)


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


def opener(url: str, *handlers: BaseHandler) -> OpenerDirector:
    """Return an opener for ``url`` with the proxy and certificates of :mod:`pytest_gaia.clients.wire`, and ``handlers``."""
    proxy, scheme = proxy_for(url), urlsplit(url).scheme
    proxies = ProxyHandler({scheme: proxy.url} if proxy else {})
    secure = _Https(context=trusted(url)) if scheme == "https" else HTTPSHandler()
    return build_opener(proxies, HTTPHandler(), secure, *handlers)


class _Https(HTTPSHandler):
    def https_open(self, req: Request) -> HTTPResponse:
        """Open ``req`` on a connection that detects a server without TLS early."""
        # The standard library has no public way to set the connection class.
        return self.do_open(_HttpsConnection, req, context=self._context)  # type: ignore[attr-defined]


class _HttpsConnection(HTTPSConnection):
    """A connection that probes for plain HTTP if the TLS handshake is slow, because the server may wait for ever."""

    def connect(self) -> None:
        """Connect, through a proxy if there is one, and do the TLS handshake."""
        HTTPConnection.connect(self)
        # Both are private to the base class, which has no public equivalent.
        tunnelled: str | None = self._tunnel_host  # type: ignore[attr-defined]
        # As above.
        context: ssl.SSLContext = self._context  # type: ignore[attr-defined]
        self.sock = context.wrap_socket(
            self.sock, server_hostname=tunnelled or self.host, do_handshake_on_connect=False
        )
        try:
            self._agree(self.sock, tunnelled=tunnelled is not None)
        except BaseException:
            self.close()
            raise

    def _agree(self, secured: ssl.SSLSocket, *, tunnelled: bool) -> None:
        within = self.timeout or socket.getdefaulttimeout() or _SLOW_HANDSHAKE
        until = time.monotonic() + within
        secured.settimeout(min(within, _SLOW_HANDSHAKE))
        try:
            secured.do_handshake()
        except TimeoutError:
            if not tunnelled and _speaks_http(Endpoint(self.host, self.port), until):
                raise ssl.SSLError(0, NOT_TLS) from None
            secured.settimeout(max(0.001, until - time.monotonic()))
            secured.do_handshake()
        secured.settimeout(self.timeout)


def _health(body: bytes) -> ProbeResult:
    try:
        content: Any = json.loads(body)
    except (ValueError, RecursionError):
        return ProbeResult("degraded", "GET /health did not return JSON")
    if not isinstance(content, dict):
        return ProbeResult("degraded", "GET /health did not return an object")
    status, version = content.get("status"), content.get("version")
    release = one_line(str(version)[:_LONGEST]) if version is not None else None
    if status is None:
        return ProbeResult(version=release, confirmed=False)
    if status in _WELL:
        return ProbeResult(version=release)
    return ProbeResult(
        status if status in _STATES else "degraded", one_line(f"reports {str(status)[:_LONGEST]!r}"), release
    )


def _retry_after(error: HTTPError) -> float | None:
    """Return the seconds of ``Retry-After``. A date is ignored, because clocks may differ."""
    value = (error.headers.get("Retry-After") or "").strip()
    return float(value) if re.fullmatch("[0-9]{1,4}", value) else None


def _on_the_way(reason: object, url: str, until: float) -> ProbeError:
    """Classify an error of a connection to ``url``; with a proxy, it is an error of the proxy."""
    proxy = proxy_for(url)
    if isinstance(reason, ssl.SSLError) or proxy is None:
        return _other_scheme(url, until, reason) or classified(reason, host_of(url))
    problem = classified(reason, host_of(proxy.url))
    remedy = f"correct {proxy.variable}, or add {host_of(url)} to NO_PROXY to connect without a proxy."
    return type(problem)(f"{problem} (through {proxy})", remedy=remedy)


def _other_scheme(url: str, until: float, reason: object = None) -> PermanentProbeError | None:
    """Return the problem of an ``http://`` that should be ``https://``, or the reverse; None if the scheme is right.

    ``reason`` is the error, if there was no response at all.
    """
    is_secure = urlsplit(url).scheme == "https"
    met = (ssl.SSLError,) if is_secure else (ConnectionResetError, type(None))
    if not isinstance(reason, met) or isinstance(reason, ssl.SSLCertVerificationError) or proxy_for(url):
        return None
    if is_secure:
        return _no_tls() if _speaks_http(endpoints(url)[0], until) else None
    if not _speaks_tls(endpoints(url)[0], until):
        return None
    return PermanentProbeError("the server uses TLS; is it https://?", remedy="write the URL with https://.")


def _no_tls() -> PermanentProbeError:
    return PermanentProbeError(f"{NO_TLS}; is it http://?", remedy="write the URL with http://.")


def _speaks_http(address: Endpoint, until: float) -> bool:
    try:
        with socket.create_connection(address, timeout=max(0.001, until - time.monotonic())) as connection:
            connection.sendall(b"GET /health HTTP/1.0\r\n\r\n")
            return connection.recv(5) == b"HTTP/"
    except OSError:
        return False


def _speaks_tls(address: Endpoint, until: float) -> bool:
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


def probe_nats(url: str, timeout: float) -> ProbeResult:
    """Connect to the server at ``url``, read its greeting, log in and wait for the response to PING.

    A server that rejects the credentials is ``degraded``. A WebSocket server is only connected to. Raises
    ``ProbeError``.
    """
    address, until = broker_address(url), time.monotonic() + timeout
    try:
        with socket.create_connection(address.endpoint, timeout=timeout) as connection:
            if address.webs:
                return ProbeResult(detail="connected; not probed further over WebSocket")
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
            raise PermanentProbeError(f"{NO_TLS}; is it nats://?", remedy="write the URL with nats://.")
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
    """Yield lines from the server until it closes the connection. Raises ``TimeoutError``."""
    held = b""
    while True:
        connection.settimeout(max(0.001, until - time.monotonic()))
        received = connection.recv(4096)
        held += received
        *lines, held = held.split(b"\r\n")
        yield from lines
        if not received or len(held) > _LONGEST_LINE:
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
    return line.decode("utf-8", "replace").strip().strip("'")
