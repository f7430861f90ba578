"""One question to one member, in its own protocol: HTTP health, the handshake of PostgreSQL, the greeting of NATS."""

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
"""seconds of a handshake of TLS after which its port is asked whether it is one of plain HTTP"""
_LONGEST_BODY = 64 * 1024
_LONGEST = 80
"""characters of a word of somebody else's that are shown"""
_GREETING, _REFUSAL = b"INFO ", b"-ERR "
_LONGEST_LINE = 64 * 1024


class ProbeError(Exception):
    """A question that brought no good answer."""

    def __init__(
        self, problem: str, retry_after: float | None = None, *, answered: bool = False, remedy: str = ""
    ) -> None:
        super().__init__(problem)
        self.retry_after = retry_after
        """seconds that the server asks for"""
        self.answered = answered
        """whether something did answer, with an error"""
        self.remedy = remedy
        """what to do, where it is known for this problem"""


class NotYet(ProbeError):
    """A later answer may be good: the machine may be waking."""


class Dead(ProbeError):
    """Waiting is not likely to help: unknown host, nothing listens there."""


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """A member's answer: ``state`` is None where it says nothing bad of itself."""

    state: str | None = None
    detail: str = ""
    version: str | None = None
    vouched: bool = True
    """whether it says itself that all is well; one that says nothing of that has an answer, and no more"""

    @property
    def said(self) -> str:
        """What the member says of itself, for people."""
        state = self.state or "healthy"
        return f"{state}, version {self.version}" if self.version else state


def probe_http(url: str, timeout: float) -> ProbeResult:
    """``GET url/health``. A 200 is not health: the state is what the body says."""
    until = time.monotonic() + timeout
    try:
        with opener(url).open(f"{url}/health", timeout=timeout) as response:
            return _health(_body(response, until))
    except HTTPError as error:
        error.close()
        if error.code >= 500 or error.code == 429:
            raise NotYet(f"GET /health returned {error.code}", _retry_after(error), answered=True) from None
        if error.code == HTTPStatus.BAD_REQUEST and (other := _other_scheme(url, until)):
            raise other from None
        return ProbeResult("degraded", f"GET /health returned {error.code}")
    except URLError as error:
        raise _on_the_way(error.reason, url, until) from None
    except (OSError, ValueError) as error:
        raise _on_the_way(error, url, until) from None
    except IncompleteRead:
        raise NotYet("the connection was broken off") from None
    except HTTPException:
        raise _other_scheme(url, until) or Dead("what listens there does not speak HTTP") from None


def _body(response: HTTPResponse, until: float) -> bytes:
    """Return the body, as much of it as is looked at; every byte restarts the time-out of a socket, and none the time for all."""
    body = bytearray()
    while len(body) < _LONGEST_BODY and (byte := response.read(1)):
        if time.monotonic() > until:
            raise NotYet("no whole answer in time", answered=True)
        body += byte
    return bytes(body)


def probe_postgres(dsn: str, timeout: float) -> ProbeResult:
    """Ask for TLS, which every PostgreSQL server answers with one byte before any log-in.

    Where the DSN names several servers, one that answers is enough, as it is for a client.
    """
    until = time.monotonic() + timeout
    *others, last = endpoints(dsn)
    for address in others:
        try:
            return _asked_for_tls(address, until - time.monotonic())
        except ProbeError:
            continue
    return _asked_for_tls(last, until - time.monotonic())


def _asked_for_tls(address: Endpoint, timeout: float) -> ProbeResult:
    try:
        with _connected(address, max(0.001, timeout)) as connection:
            connection.sendall(_SSL_REQUEST)
            reply = connection.recv(1)
    except OSError as error:
        raise classified(error, address.host) from None
    if reply not in (b"S", b"N"):
        raise NotYet(f"what listens on {address} does not answer as PostgreSQL does")
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
    """Return what opens ``url`` as the clients of the tests do: see :mod:`pytest_gaia.clients.wire`. ``handlers`` are added."""
    proxy, scheme = proxy_for(url), urlsplit(url).scheme
    proxies = ProxyHandler({scheme: proxy.url} if proxy else {})
    secure = _Https(context=trusted(url)) if scheme == "https" else HTTPSHandler()
    return build_opener(proxies, HTTPHandler(), secure, *handlers)


class _Https(HTTPSHandler):
    def https_open(self, req: Request) -> HTTPResponse:
        """Open ``req`` on a connection that notices a server without TLS early."""
        # The standard library keeps it there, and has no other way to name the connection.
        return self.do_open(_HttpsConnection, req, context=self._context)  # type: ignore[attr-defined]


class _HttpsConnection(HTTPSConnection):
    """A server without TLS may wait for ever for the rest of a request; its port is asked by plain HTTP meanwhile."""

    def connect(self) -> None:
        """Connect, through a proxy where there is one, and agree on TLS."""
        HTTPConnection.connect(self)
        # Both are the base class's own; a subclass that connects has no other way to know them.
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
        return ProbeResult(version=release, vouched=False)
    if status in _WELL:
        return ProbeResult(version=release)
    return ProbeResult(
        status if status in _STATES else "degraded", one_line(f"says {str(status)[:_LONGEST]!r}"), release
    )


def _retry_after(error: HTTPError) -> float | None:
    """Return the seconds of ``Retry-After``. A date is left out: it would have to be held against another clock."""
    value = (error.headers.get("Retry-After") or "").strip()
    return float(value) if re.fullmatch("[0-9]{1,4}", value) else None


def _on_the_way(reason: object, url: str, until: float) -> ProbeError:
    """Classify what was met on the way to ``url``: where there is a proxy, it is the proxy that was met."""
    proxy = proxy_for(url)
    if isinstance(reason, ssl.SSLError) or proxy is None:
        return _other_scheme(url, until, reason) or classified(reason, host_of(url))
    problem = classified(reason, host_of(proxy.url))
    remedy = f"correct {proxy.variable}, or name {host_of(url)} in NO_PROXY if it is reached without a proxy."
    return type(problem)(f"{problem} (through {proxy})", remedy=remedy)


def _other_scheme(url: str, until: float, reason: object = None) -> Dead | None:
    """Return the problem of an ``http://`` that should be ``https://``, or the other way round, if it is one.

    ``reason`` is what was met, where it was no answer at all.
    """
    is_secure = urlsplit(url).scheme == "https"
    met = (ssl.SSLError,) if is_secure else (ConnectionResetError, type(None))
    if not isinstance(reason, met) or isinstance(reason, ssl.SSLCertVerificationError) or proxy_for(url):
        return None
    if is_secure:
        return _no_tls() if _speaks_http(endpoints(url)[0], until) else None
    if not _speaks_tls(endpoints(url)[0], until):
        return None
    return Dead("what listens there uses TLS; is it https://?", remedy="write the URL with https://.")


def _no_tls() -> Dead:
    return Dead(f"{NO_TLS}; is it http://?", remedy="write the URL with http://.")


def _speaks_http(address: Endpoint, until: float) -> bool:
    try:
        with socket.create_connection(address, timeout=max(0.001, until - time.monotonic())) as connection:
            connection.sendall(b"GET /health HTTP/1.0\r\n\r\n")
            return connection.recv(5) == b"HTTP/"
    except OSError:
        return False


def _speaks_tls(address: Endpoint, until: float) -> bool:
    # Nothing is sent to it but the greeting of TLS: whom it belongs to is of no interest here.
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
    """Return what the problem ``reason``, met when ``host`` was asked, says of waiting."""
    if isinstance(reason, socket.gaierror):
        return Dead(f"unknown host {host}")
    if isinstance(reason, ConnectionRefusedError):
        problem = Dead if is_loopback(host) else NotYet
        return problem("connection refused: nothing listens there")
    if isinstance(reason, ssl.SSLCertVerificationError):
        return Dead(tls_reason(reason), remedy=remedy_of(reason))
    if isinstance(reason, ssl.SSLError):
        return NotYet(tls_reason(reason))
    if isinstance(reason, TimeoutError):
        return NotYet("no response in time")
    if isinstance(reason, ConnectionResetError):
        return NotYet("the connection was broken off")
    return NotYet(str(reason) or type(reason).__name__)


def probe_nats(url: str, timeout: float) -> ProbeResult:
    """Connect to the server at ``url``, read its greeting, log in and wait for the answer to PING.

    A server that refuses the credentials is there and is ``degraded``. One that speaks WebSocket is only connected to.
    Raises ``NotYet`` and ``Dead``.
    """
    address, until = broker_address(url), time.monotonic() + timeout
    try:
        with socket.create_connection(address.endpoint, timeout=timeout) as connection:
            if address.webs:
                return ProbeResult(detail="connected; WebSocket is not asked further")
            return _asked(connection, address, until)
    except ConfigError as error:
        raise Dead(str(error)) from None
    except OSError as error:
        raise classified(error, address.endpoint.host) from None


def _asked(connection: socket.socket, address: BrokerAddress, until: float) -> ProbeResult:
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


def _greeted(connection: socket.socket, lines: Iterator[bytes], address: BrokerAddress) -> ProbeResult:
    connection.sendall(b"CONNECT " + json.dumps(_login(address)).encode() + b"\r\nPING\r\n")
    for line in lines:
        if line.startswith(b"PONG"):
            return ProbeResult()
        if line.startswith(_REFUSAL):
            return ProbeResult("degraded", f"refuses: {_text(line.removeprefix(_REFUSAL))}")
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
