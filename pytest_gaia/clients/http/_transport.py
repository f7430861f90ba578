"""The HTTP transport; the only module that imports httpx.

It works around these faults of httpx 0.28:

* The time that its pool of connections takes grows with the square of the connections, and a request that is canceled
  while it waits for a connection occupies a place in the pool for ever (httpcore #1093). Here each request in flight has a
  pool of its own, with one connection. Requests wait before that, and a failure discards no other connection in use.
* It reads proxies and certificates from variables in its own way. Here :mod:`~pytest_gaia.clients.wire` reads them, for
  readiness probes too.
* An idle connection that the server closed is reported as a protocol error. :class:`Fault` marks it as ``stale``.
* It decodes a whole chunk at once, however large the result is. Here a body is decoded in small pieces, up to a limit.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import importlib.util
import itertools
import re
import sys
import zlib
from collections import deque
from collections.abc import AsyncIterator, Coroutine, Iterator, Mapping, Sequence
from contextvars import Token
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Literal, Protocol, TypeAlias

import httpx

# It is no dependency of httpx any more, but httpcore tries to import it several times for each request. A failed import
# takes long, except for a module that is known to be missing.
if importlib.util.find_spec("sniffio") is None:
    sys.modules.setdefault("sniffio", None)  # type: ignore[arg-type]  # documented by Python

from pytest_gaia import __version__
from pytest_gaia.clients.network import CONNECTING
from pytest_gaia.clients.reasons import reason_of, remedy_of
from pytest_gaia.clients.wire import HomeLoop, Proxy, proxy_for, trusted
from pytest_gaia.errors import WriteRefused

# Less than the five seconds after which uvicorn closes an idle connection, so that this side closes first.
_KEEPALIVE = 4.0
_LIMITS = httpx.Limits(max_connections=1, max_keepalive_connections=1, keepalive_expiry=_KEEPALIVE)

_PIECE = 64 * 1024
"""bytes that decoding makes at a time"""
_MOST_ENCODINGS = 4
_WINDOWS = {"gzip": zlib.MAX_WBITS | 16, "deflate": zlib.MAX_WBITS}
"""accepted content encoding → window bits of zlib"""
MIB = 1024 * 1024
MOST_RATIO = 100
"""how many times larger than the received bytes a decoded body of more than 1 MiB may be"""

_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_CONTROLS = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A request to send. Its repr shows only the method, because the rest may contain secrets."""

    method: str
    url: str = field(repr=False)
    headers: tuple[tuple[str, str], ...] = field(repr=False)
    body: bytes | None = field(default=None, repr=False)
    checked: bool = False
    """whether the write guard permits it; a request that it has not seen is not sent"""

    def __post_init__(self) -> None:
        """Raise ``ValueError`` for an invalid header. The message contains its name, never its value."""
        for name, value in self.headers:
            if not _HEADER_NAME.fullmatch(name):
                raise ValueError(f"headers: {name!r} is not a valid header name")
            if problem := _problem_of(value):
                raise ValueError(f"headers: the value of {name} {problem} (the {len(value)} characters are not shown)")


def _problem_of(value: str) -> str:
    if value != value.strip():
        return "begins or ends with white space, such as the line break at the end of a file"
    if _CONTROLS.search(value):
        return "contains a line break or another control character"
    return "" if value.isascii() else "contains a character that is not ASCII"


class _Closable(Protocol):
    async def aclose(self) -> None: ...


@dataclass(slots=True)
class Progress:
    """The progress of a request, from httpcore's trace events."""

    service: str = "a service"
    """the service that is connected to"""
    opened: bool = False
    """whether it opened a new connection"""
    connected: bool = False
    half_open: _Closable | None = None
    """the socket during TLS negotiation; httpcore leaks it if it is canceled at that time"""
    permit: Token[str] | None = None
    """set while it connects"""

    @property
    def begun(self) -> bool:
        """Whether anything was sent to the network."""
        return self.opened or self.connected

    async def trace(self, event: str, info: Mapping[str, Any]) -> None:
        """Handle a trace event of httpcore."""
        if event == "connection.connect_tcp.started":
            self.opened = True
            self.permit = CONNECTING.set(self.service)
        elif event == "http11.send_request_headers.started":
            self.connected = True
            self.half_open = None
        elif self.permit is not None and event.startswith("connection.connect_tcp."):
            CONNECTING.reset(self.permit)
            self.permit = None
            self.half_open = info.get("return_value")


@dataclass(frozen=True, slots=True)
class Incoming:
    """The head of a response, and its body as an iterator of pieces."""

    status: int
    headers: tuple[tuple[str, str], ...]
    charset: str
    chunks: AsyncIterator[bytes] = field(repr=False)


Stage: TypeAlias = Literal["request", "connect", "response", "deadline", "size", "encoding"]


class Fault(Exception):
    """A request without a complete response. ``stale``: the server had closed the idle connection.

    ``stage`` is where it failed: ``request`` means that it could not be sent, ``encoding`` that the body does not have
    the declared encoding.
    """

    def __init__(self, stage: Stage, reason: str, *, stale: bool = False, remedy: str = "") -> None:
        super().__init__(reason)
        self.stage = stage
        self.reason = reason
        self.stale = stale
        self.remedy = remedy
        """what to do, if there is a specific remedy"""


class Transport:
    """Connections to one base URL, for one event loop. The one that became idle last is used first."""

    def __init__(self, base_url: str, *, home: HomeLoop | None = None) -> None:
        self._url = base_url
        self.home = home or HomeLoop("HTTP")
        self._idle: deque[tuple[httpx.AsyncHTTPTransport, float]] = deque()
        """each with the time of the loop since when it is idle, in this order"""
        self._closing: set[asyncio.Task[None]] = set()
        self._is_closed = False

    @contextlib.asynccontextmanager
    async def open(
        self,
        request: Outgoing,
        progress: Progress,
        added: Sequence[tuple[str, str]] = (),
        *,
        connect: float,
        most: int,
        ratio: float = MOST_RATIO,
    ) -> AsyncIterator[Incoming]:
        """Send ``request`` and yield the response as soon as its head is there; update ``progress``.

        ``added`` are headers for this attempt; those of the request replace them.

        ``connect`` limits connecting, in seconds; ``most`` limits the decoded body, in bytes, and ``ratio`` how many
        times larger than the received bytes it is. All other time limits are the caller's. Raises :class:`Fault`, and
        ``WriteRefused`` for a request that the write guard has not checked.
        """
        if not request.checked:
            raise WriteRefused(
                "a request that the write guard has not checked is not sent; use the client of the service."
            )
        slot = self._slot()
        try:
            response = await self._send(slot, _message(request, added, connect, progress), progress)
            try:
                chunks = _chunks(response, progress, _Bounds(most, ratio))
                yield Incoming(
                    response.status_code, _pairs(response), _charset(response.headers.get("content-type", "")), chunks
                )
            finally:
                await response.aclose()
        except BaseException as error:
            self._in_background(slot.aclose())
            if isinstance(error, Fault) and error.stale:
                # The server has probably closed the others, too.
                self._discard(len(self._idle))
            raise
        # A server that fails often closes its connection just after the response, and would reset the next request.
        if self._is_closed or response.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR:
            self._in_background(slot.aclose())
        else:
            self._idle.append((slot, asyncio.get_running_loop().time()))

    async def _send(self, slot: httpx.AsyncHTTPTransport, message: httpx.Request, progress: Progress) -> httpx.Response:
        try:
            with _faults(progress, self._through):
                response = await slot.handle_async_request(message)
            if not progress.begun:
                raise Fault("request", f"httpx returned a response without sending the request; {_MOCKED}")
            return response
        except BaseException:
            if progress.half_open is not None:
                self._in_background(progress.half_open.aclose())
            raise

    async def aclose(self) -> None:
        """Close all idle connections. Connections in use are closed when their requests end."""
        self._is_closed = True
        self._discard(len(self._idle))
        if self._closing:
            await asyncio.wait(self._closing, timeout=2)

    def _slot(self) -> httpx.AsyncHTTPTransport:
        """Return what sends one request at a time over one connection."""
        expired = asyncio.get_running_loop().time() - _KEEPALIVE
        self._discard(sum(1 for _ in itertools.takewhile(lambda each: each[1] < expired, self._idle)))
        if self._idle:
            return self._idle.pop()[0]
        proxy = self._proxy
        to_proxy = trusted(proxy.url) if proxy and proxy.url.startswith("https:") else None
        return httpx.AsyncHTTPTransport(
            verify=trusted(self._url),
            proxy=httpx.Proxy(proxy.url, ssl_context=to_proxy) if proxy else None,
            trust_env=False,
            limits=_LIMITS,
        )

    @functools.cached_property
    def _proxy(self) -> Proxy | None:
        return proxy_for(self._url)

    @property
    def _through(self) -> str:
        return f" (through {self._proxy})" if self._proxy else ""

    def _discard(self, count: int) -> None:
        """Close those that are idle for the longest time."""
        for _ in range(count):
            self._in_background(self._idle.popleft()[0].aclose())

    def _in_background(self, closing: Coroutine[Any, Any, None]) -> None:
        # A separate task: a second cancellation of the current one would leave the sockets open.
        task = asyncio.get_running_loop().create_task(closing, name="gaia-http-close")
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)


_MOCKED = "exclude the environment from mocks of httpx such as pytest-httpx or respx"


@contextlib.contextmanager
def _faults(progress: Progress, proxy: str = "") -> Iterator[None]:
    try:
        yield
    except httpx.LocalProtocolError as error:
        raise Fault("request", reason_of(error)) from error
    except httpx.TransportError as error:
        if not progress.begun:
            raise Fault("request", f"{reason_of(error)}; {_MOCKED}") from error
        if isinstance(error, (httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError)):
            raise Fault("connect", f"{reason_of(error)}{proxy}", remedy=remedy_of(error)) from error
        raise Fault("response", reason_of(error), stale=not progress.opened) from error


def encoded_form(
    fields: Mapping[str, Any], files: Sequence[tuple[str, tuple[Any, ...]]], kind: str | None
) -> tuple[bytes, str]:
    """Return an encoded form and its content type: multipart if there are ``files``. ``kind`` is the given type."""
    message = httpx.Request(
        "POST", "http://form", headers={"content-type": kind} if kind else None, data=fields, files=list(files) or None
    )
    return message.read(), message.headers["content-type"]


class _Target(httpx.URL):
    """A URL whose path and query are sent unchanged; httpx would resolve ``..`` in them."""

    def __init__(self, url: str) -> None:
        scheme, _, rest = url.partition("://")
        host, slash, target = rest.partition("/")
        super().__init__(_server(f"{scheme}://{host}/"))
        self._target = f"{slash}{target}".encode()

    @property
    def raw_path(self) -> bytes:
        return self._target


# A run requests few servers, and httpx takes long to parse a URL.
_server = functools.lru_cache(maxsize=64)(httpx.URL)

_HEADERS = (("user-agent", f"pytest-gaia/{__version__}"), ("accept", "*/*"), ("accept-encoding", "gzip, deflate"))


def _message(request: Outgoing, added: Sequence[tuple[str, str]], connect: float, progress: Progress) -> httpx.Request:
    given = {name.lower() for name, _ in request.headers}
    url = _Target(request.url)
    message = httpx.Request(
        request.method,
        url,
        headers=[pair for pair in (*_HEADERS, *added) if pair[0] not in given] + list(request.headers),
        content=request.body,
        extensions={"timeout": {"connect": connect}, "trace": progress.trace},
    )
    # httpx replaced it with a plain URL.
    message.url = url
    return message


async def _chunks(response: httpx.Response, progress: Progress, bounds: _Bounds) -> AsyncIterator[bytes]:
    encodings = [each.strip().lower() for each in response.headers.get_list("content-encoding", split_commas=True)]
    # The last encoding was applied last. A body with an unknown encoding is passed on unchanged.
    known = [each for each in encodings if each not in ("", "identity")]
    layers = [_Layer(each, bounds) for each in reversed(known)] if all(each in _WINDOWS for each in known) else []
    if len(layers) > _MOST_ENCODINGS:
        raise Fault("encoding", f"the body is encoded {len(layers)} times")
    broken = f"the body is not {', '.join(known)}, as its content-encoding declares"
    size = 0
    try:
        with _faults(progress):
            async for raw in response.aiter_raw():
                bounds.received += len(raw)
                for piece in _decoded(raw, layers):
                    size += len(piece)
                    bounds.check(size)
                    yield piece
    except zlib.error as error:
        raise Fault("encoding", f"{broken} ({error})") from error
    if any(layer.is_open for layer in layers):
        raise Fault("encoding", f"{broken} (truncated)")


def _decoded(data: bytes, layers: list[_Layer]) -> Iterator[bytes]:
    if not layers:
        yield data
        return
    for piece in layers[0].feed(data):
        yield from _decoded(piece, layers[1:])


@dataclass(slots=True)
class _Bounds:
    """The limits of a body while it is decoded."""

    most: int
    """bytes"""
    ratio: float
    received: int = 0
    """bytes"""

    def check(self, made: int) -> None:
        """Raise :class:`Fault` if ``made`` bytes are too many."""
        if made > self.most:
            raise Fault("size", f"the decoded body has more than {self.most / MIB:g} MiB")
        # A small body can do no harm, and may be one that repeats itself.
        if made > MIB and made > self.ratio * self.received:
            reason = f"{self.received} bytes were decoded into more than {self.ratio:g} times as many"
            raise Fault("size", reason, remedy="If that is intended, pass `limit` with the request, in MiB.")


class _Layer:
    """Decodes one encoding of a body in small pieces, up to the limits for the result."""

    def __init__(self, encoding: str, bounds: _Bounds) -> None:
        self._zlib = zlib.decompressobj(_WINDOWS[encoding])
        self._may_be_bare = encoding == "deflate"
        self._bounds = bounds
        self._made = 0
        self.is_open = False
        """whether it has begun and not ended"""

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield the decoded pieces of ``data``."""
        self.is_open = self.is_open or bool(data)
        is_more = True
        while is_more and not self._zlib.eof:
            piece = self._decompress(data)
            data = self._zlib.unconsumed_tail
            is_more = bool(data) or len(piece) == _PIECE
            self._made += len(piece)
            self._bounds.check(self._made)
            if piece:
                yield piece
        self.is_open = self.is_open and not self._zlib.eof

    def _decompress(self, data: bytes) -> bytes:
        try:
            return self._zlib.decompress(data, _PIECE)
        except zlib.error:
            # Some servers omit the zlib header of deflate.
            if not self._may_be_bare or self._made:
                raise
            self._zlib = zlib.decompressobj(-zlib.MAX_WBITS)
            return self._zlib.decompress(data, _PIECE)
        finally:
            self._may_be_bare = False


def _pairs(response: httpx.Response) -> tuple[tuple[str, str], ...]:
    return tuple(response.headers.multi_items())


@functools.lru_cache(maxsize=64)
def _charset(kind: str) -> str:
    return httpx.Response(200, headers={"content-type": kind}).charset_encoding or "utf-8"
