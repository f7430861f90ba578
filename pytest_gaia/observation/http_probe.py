"""The probe of an HTTP service: its health check, through the proxy and with the certificates of this machine."""

import json
import re
import socket
import ssl
import time
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection, IncompleteRead
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import BaseHandler, HTTPHandler, HTTPSHandler, OpenerDirector, ProxyHandler, Request, build_opener

from pytest_gaia.clients.wire import proxy_for, trusted
from pytest_gaia.config.addresses import Endpoint, endpoints, host_of
from pytest_gaia.config.platform import Health
from pytest_gaia.observation.probes import (
    LONGEST_TEXT,
    SLOW_HANDSHAKE,
    PermanentProbeError,
    ProbeError,
    ProbeResult,
    TemporaryProbeError,
    classified,
    handshake,
    only_tls,
    speaks_tls,
    without_tls,
)
from pytest_gaia.printable import one_line

_HEALTH = Health()
_STATES = ("degraded", "unhealthy")
_LONGEST_BODY = 64 * 1024


def probe_http(url: str, timeout: float, path: str = "/health", healthy: Health = _HEALTH) -> ProbeResult:
    """Probe ``GET url + path``. A status of 200 is not enough, unless ``healthy`` is without a field.

    The probe sends no credentials. Raises ``ProbeError``.
    """
    until = time.monotonic() + timeout
    request = question(f"{url}{path}")
    try:
        with opener(url).open(f"{url}{path}", timeout=timeout) as response:
            return _result(response, f"{url}{path}", healthy, until)
    except HTTPError as error:
        error.close()
        if error.code >= 500 or error.code == 429:
            raise TemporaryProbeError(f"{request} returned {error.code}", _retry_after(error), answered=True) from None
        if error.code == HTTPStatus.BAD_REQUEST and (other := _other_scheme(url, until)):
            raise other from None
        return ProbeResult("degraded", f"{request} returned {error.code}")
    except URLError as error:
        raise _on_the_way(error.reason, url, until) from None
    except (OSError, ValueError) as error:
        raise _on_the_way(error, url, until) from None
    except IncompleteRead:
        raise TemporaryProbeError("the connection was closed before the response was complete") from None
    except HTTPException:
        raise _other_scheme(url, until) or PermanentProbeError("the server does not speak HTTP") from None


def question(asked: str) -> str:
    """Return the request for the URL ``asked``, such as ``GET /ready``."""
    return f"GET {urlsplit(asked)._replace(scheme='', netloc='').geturl()}"


def _result(response: HTTPResponse, asked: str, healthy: Health, until: float) -> ProbeResult:
    request = question(asked)
    if response.status != HTTPStatus.OK:
        return ProbeResult("degraded", f"{request} returned {response.status}")
    body = _body(response, until)
    if healthy.field is not None:
        return _health(body, request, healthy)
    # A login page also has status 200.
    if _place(response.url) != _place(asked):
        answered = one_line("".join(_place(response.url))[:LONGEST_TEXT])
        return ProbeResult("degraded", f"{request} was redirected to {answered}")
    return ProbeResult(version=_version(_json(body)))


def _body(response: HTTPResponse, until: float) -> bytes:
    """Return the beginning of the body. Each byte restarts the timeout of the socket, so check the overall deadline."""
    body = bytearray()
    while len(body) < _LONGEST_BODY and (byte := response.read(1)):
        if time.monotonic() > until:
            raise TemporaryProbeError("no complete response in time", answered=True)
        body += byte
    return bytes(body)


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
            until = time.monotonic() + (self.timeout or socket.getdefaulttimeout() or SLOW_HANDSHAKE)
            address = Endpoint(self.host, self.port)
            handshake(self.sock, until, lambda: tunnelled is None and _speaks_http(address, until))
            self.sock.settimeout(self.timeout)
        except BaseException:
            self.close()
            raise


def _place(url: str) -> tuple[str, str]:
    return host_of(url), urlsplit(url).path.rstrip("/")


def _health(body: bytes, request: str, healthy: Health) -> ProbeResult:
    content = _json(body)
    if content is None:
        return ProbeResult("degraded", f"{request} did not return JSON")
    if not isinstance(content, dict):
        return ProbeResult("degraded", f"{request} did not return an object")
    text, version = healthy.reported(content), _version(content)
    if text is None:
        return ProbeResult(version=version, confirmed=False)
    if text in healthy.values:
        return ProbeResult(version=version)
    return ProbeResult(
        text if text in _STATES else "degraded",
        one_line(f"reports {str(content.get(healthy.field))[:LONGEST_TEXT]!r}"),
        version,
        partial=text in healthy.partial,
    )


def _json(body: bytes) -> Any:
    """Return the content of a body; None if it is not JSON."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _version(content: Any) -> str | None:
    version = content.get("version") if isinstance(content, dict) else None
    return None if version is None else one_line(str(version)[:LONGEST_TEXT])


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
        return without_tls("http") if _speaks_http(endpoints(url)[0], until) else None
    return only_tls("https") if speaks_tls(endpoints(url)[0], until) else None


def _speaks_http(address: Endpoint, until: float) -> bool:
    try:
        with socket.create_connection(address, timeout=max(0.001, until - time.monotonic())) as connection:
            connection.sendall(b"GET /health HTTP/1.0\r\n\r\n")
            return connection.recv(5) == b"HTTP/"
    except OSError:
        return False
