"""One question to one member, in its own protocol: HTTP health, the handshake of PostgreSQL."""

from __future__ import annotations

import json
import re
import socket
import ssl
import time
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse, IncompleteRead
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import (
    BaseHandler,
    HTTPHandler,
    HTTPSHandler,
    OpenerDirector,
    ProxyHandler,
    build_opener,
    getproxies,
    proxy_bypass,
)

from pytest_gaia.config.addresses import endpoints, is_loopback
from pytest_gaia.config.secrets import mask_url

if TYPE_CHECKING:
    from pytest_gaia.config.addresses import Endpoint

_SSL_REQUEST = b"\x00\x00\x00\x08\x04\xd2\x16\x2f"
"""PostgreSQL's SSLRequest: length 8 and the code 80877103 (protocol documentation, "Message Formats")."""

_WELL = ("healthy", "ok")
_STATES = ("degraded", "unhealthy")
_LONGEST_BODY = 64 * 1024
_LONGEST = 80
"""characters of a word of somebody else's that are shown"""


class NotYet(Exception):
    """No good answer, and a later one may be: the machine may be waking."""

    def __init__(self, problem: str, retry_after: float | None = None, *, answered: bool = False) -> None:
        super().__init__(problem)
        self.retry_after = retry_after
        """seconds that the server asks for"""
        self.answered = answered
        """whether something did answer, with an error"""


class Dead(Exception):
    """No answer, and waiting is not likely to help: unknown host, nothing listens there."""


@dataclass(frozen=True, slots=True)
class Answer:
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


def probe_http(url: str, timeout: float) -> Answer:
    """``GET url/health``. A 200 is not health: the state is what the body says."""
    until = time.monotonic() + timeout
    try:
        with opener(url).open(f"{url}/health", timeout=timeout) as response:
            return _health(_body(response, until))
    except HTTPError as error:
        error.close()
        if error.code >= 500 or error.code == 429:
            raise NotYet(f"GET /health answered {error.code}", _retry_after(error), answered=True) from None
        return Answer("degraded", f"GET /health answered {error.code}")
    except URLError as error:
        raise _on_the_way(error.reason, url) from None
    except (OSError, ValueError) as error:
        raise _on_the_way(error, url) from None
    except IncompleteRead:
        raise NotYet("the connection was broken off") from None
    except HTTPException:
        raise Dead("what listens there does not speak HTTP") from None


def _body(response: HTTPResponse, until: float) -> bytes:
    """Return the body, as much of it as is looked at; every byte restarts the time-out of a socket, and none the time for all."""
    body = bytearray()
    while len(body) < _LONGEST_BODY and (byte := response.read(1)):
        if time.monotonic() > until:
            raise NotYet("no whole answer in time", answered=True)
        body += byte
    return bytes(body)


def probe_postgres(dsn: str, timeout: float) -> Answer:
    """Ask for TLS, which every PostgreSQL server answers with one byte before any log-in."""
    address = endpoints(dsn)[0]
    try:
        with _connected(address, timeout) as connection:
            connection.sendall(_SSL_REQUEST)
            reply = connection.recv(1)
    except OSError as error:
        raise classified(error, dsn) from None
    if reply not in (b"S", b"N"):
        raise NotYet(f"what listens on {address} does not answer as PostgreSQL does")
    return Answer()


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
    """Return what opens ``url``: directly on loopback, through the user's proxy elsewhere. ``handlers`` are added."""
    # HTTP_PROXY must not capture loopback; elsewhere the user's proxy is the way out.
    if _proxy(url) is None:
        return build_opener(ProxyHandler({}), HTTPHandler(), HTTPSHandler(), *handlers)
    return build_opener(*handlers)


def _proxy(url: str) -> str | None:
    """Return the URL of the user's proxy for ``url``, None where it is opened directly."""
    parts = urlsplit(url)
    if is_loopback(parts.hostname) or proxy_bypass(parts.hostname or ""):
        return None
    proxy = getproxies().get(parts.scheme)
    return f"http://{proxy}" if proxy and "://" not in proxy else proxy


def _health(body: bytes) -> Answer:
    try:
        answer: Any = json.loads(body)
    except (ValueError, RecursionError):
        return Answer("degraded", "GET /health did not answer JSON")
    if not isinstance(answer, dict):
        return Answer("degraded", "GET /health did not answer an object")
    status, version = answer.get("status"), answer.get("version")
    release = str(version)[:_LONGEST] if version is not None else None
    if status is None:
        return Answer(version=release, vouched=False)
    if status in _WELL:
        return Answer(version=release)
    return Answer(status if status in _STATES else "degraded", f"says {str(status)[:_LONGEST]!r}", release)


def _retry_after(error: HTTPError) -> float | None:
    """Return the seconds of ``Retry-After``. A date is left out: it would have to be held against another clock."""
    value = (error.headers.get("Retry-After") or "").strip()
    return float(value) if re.fullmatch("[0-9]{1,4}", value) else None


def _on_the_way(reason: object, url: str) -> NotYet | Dead:
    """Classify what was met on the way to ``url``: where there is a proxy, it is the proxy that was met."""
    proxy = _proxy(url)
    if proxy is None or isinstance(reason, ssl.SSLError):
        return classified(reason, url)
    problem = classified(reason, proxy)
    return type(problem)(f"{problem} (through the proxy {mask_url(proxy)})")


def classified(reason: object, url: str) -> NotYet | Dead:
    """Return what the problem ``reason``, met when ``url`` was asked, says of waiting."""
    host = urlsplit(url).hostname
    if isinstance(reason, socket.gaierror):
        return Dead(f"unknown host {host}")
    if isinstance(reason, ConnectionRefusedError):
        problem = Dead if is_loopback(host) else NotYet
        return problem("connection refused: nothing listens there")
    if isinstance(reason, ssl.SSLCertVerificationError):
        return Dead(f"the certificate is not trusted: {reason.verify_message}")
    if isinstance(reason, ssl.SSLError) and reason.reason == "WRONG_VERSION_NUMBER":
        return Dead("what listens there does not speak TLS; is it http://?")
    if isinstance(reason, TimeoutError):
        return NotYet("no answer in time")
    if isinstance(reason, ConnectionResetError):
        return NotYet("the connection was broken off")
    return NotYet(str(reason) or type(reason).__name__)
