"""The wire below the HTTP client, and the only importer of httpx.

Four faults of httpx 0.28 end here:

* A request that is cancelled while it waits for a connection leaves a slot of the pool taken for good (httpcore
  #1093). Requests wait here, in front of the pool, never in it; and a pool in which anything was cancelled or failed
  is retired: it serves what is in flight, new requests get a new one.
* ``HTTP_PROXY`` captures 127.0.0.1. Loopback never goes through a proxy; other hosts do as the environment says.
* A connection that the server closed while it was idle shows as a protocol error. :class:`Fault` says so (``stale``).
* It decodes whatever it has read at once, however much that becomes. Here a body is decoded piece by piece, up to a bound.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import ssl
import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol
from urllib.parse import urlsplit

import httpx

from pytest_gaia import __version__
from pytest_gaia.clients.reasons import reason_of
from pytest_gaia.config.addresses import is_loopback
from pytest_gaia.errors import GaiaError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine, Iterator, Mapping, Sequence

# Below the five seconds after which uvicorn closes an idle connection: who closes first is then never in doubt.
_KEEPALIVE = 4.0
_LIMITS = httpx.Limits(max_connections=None, max_keepalive_connections=20, keepalive_expiry=_KEEPALIVE)

_PIECE = 64 * 1024
"""bytes that decoding makes at a time"""
_MOST_ENCODINGS = 4
_WINDOWS = {"gzip": zlib.MAX_WBITS | 16, "deflate": zlib.MAX_WBITS}
"""encoding that is asked for → how zlib reads it"""
MIB = 1024 * 1024

CONNECTIONS = 100
"""requests to one base URL that may be under way at a time; more wait for their turn"""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A request as it goes out. It shows its method only: all else may hold secrets, and pytest shows arguments."""

    method: str
    url: str = field(repr=False)
    headers: tuple[tuple[str, str], ...] = field(repr=False)
    body: bytes | None = field(default=None, repr=False)


class _Closable(Protocol):
    async def aclose(self) -> None: ...


@dataclass(slots=True)
class Progress:
    """How far a request has come, as httpcore's trace tells it."""

    opened: bool = False
    """it opens a connection of its own"""
    connected: bool = False
    half_open: _Closable | None = None
    """the socket while TLS is negotiated on it; httpcore forgets it when it is cancelled at that time"""

    async def trace(self, event: str, info: Mapping[str, Any]) -> None:
        """Take note of an event of httpcore."""
        if event == "connection.connect_tcp.started":
            self.opened = True
        elif event == "connection.connect_tcp.complete":
            self.half_open = info["return_value"]
        elif event == "http11.send_request_headers.started":
            self.connected = True
            self.half_open = None


@dataclass(frozen=True, slots=True)
class Incoming:
    """The head of an answer, and its body piece by piece."""

    status: int
    headers: tuple[tuple[str, str], ...]
    charset: str
    chunks: AsyncIterator[bytes] = field(repr=False)


class Fault(Exception):
    """No complete answer: ``stage`` is how far it came, ``stale`` that an idle connection had been closed."""

    def __init__(
        self, stage: Literal["connect", "answer", "deadline", "size"], reason: str, *, stale: bool = False
    ) -> None:
        super().__init__(reason)
        self.stage = stage
        self.reason = reason
        self.stale = stale


@dataclass(slots=True)
class _Pool:
    client: httpx.AsyncClient
    loop: asyncio.AbstractEventLoop
    users: int = 0
    retired: bool = False


class Transport:
    """A keep-alive pool to one base URL, for one event loop."""

    def __init__(self, base_url: str, *, connections: int = CONNECTIONS) -> None:
        self._url = urlsplit(base_url)
        self._turns = asyncio.Semaphore(connections)
        self._pool: _Pool | None = None
        self._closing: set[asyncio.Task[None]] = set()

    @contextlib.asynccontextmanager
    async def open(
        self, request: Outgoing, progress: Progress, *, connect: float, most: int
    ) -> AsyncIterator[Incoming]:
        """Send ``request`` and give the answer as soon as its head is there; ``progress`` tells how far it has come.

        ``connect`` bounds connecting, in seconds, and ``most`` the body, in bytes once it is decoded; all other time is for the
        caller to bound. Raises :class:`Fault`.
        """
        async with self._turns, self._lease() as client:
            response = await self._send(client, _message(request, connect, progress), progress)
            try:
                chunks = _chunks(response, progress, most)
                yield Incoming(response.status_code, _pairs(response), _charset(response), chunks)
            finally:
                await response.aclose()

    async def _send(self, client: httpx.AsyncClient, message: httpx.Request, progress: Progress) -> httpx.Response:
        try:
            with _faults(progress):
                return await client.send(message, stream=True)
        except BaseException:
            if progress.half_open is not None:
                self._in_background(progress.half_open.aclose())
            raise

    async def aclose(self) -> None:
        """Close every connection that is not in use; the others are closed by whoever still uses them."""
        if self._pool is not None:
            self._retire(self._pool)
        if self._closing:
            await asyncio.wait(self._closing, timeout=2)

    @contextlib.asynccontextmanager
    async def _lease(self) -> AsyncIterator[httpx.AsyncClient]:
        pool = self._current()
        pool.users += 1
        try:
            yield pool.client
        except BaseException:
            self._retire(pool)
            raise
        finally:
            pool.users -= 1
            self._close_unused(pool)

    def _current(self) -> _Pool:
        loop = asyncio.get_running_loop()
        if self._pool is None:
            self._pool = _Pool(self._client(), loop)
        if self._pool.loop is not loop:
            raise GaiaError(
                "this HTTP client belongs to another event loop than the one that runs now.\n"
                'Run tests and fixtures on one loop: asyncio_default_test_loop_scope = "session" and '
                'asyncio_default_fixture_loop_scope = "session" in the pytest configuration.'
            )
        return self._pool

    def _retire(self, pool: _Pool) -> None:
        pool.retired = True
        if self._pool is pool:
            self._pool = None
        self._close_unused(pool)

    def _close_unused(self, pool: _Pool) -> None:
        if not pool.retired or pool.users:
            return
        self._in_background(pool.client.aclose())

    def _in_background(self, closing: Coroutine[Any, Any, None]) -> None:
        # A task of its own: whoever was cancelled here may be cancelled again and would leave the sockets open.
        task = asyncio.get_running_loop().create_task(closing, name="gaia-http-close")
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    def _client(self) -> httpx.AsyncClient:
        local = is_loopback(self._url.hostname)
        verify = _trust() if self._url.scheme == "https" or not local else _no_trust()
        return httpx.AsyncClient(verify=verify, trust_env=not local, limits=_LIMITS, follow_redirects=False)


@contextlib.contextmanager
def _faults(progress: Progress) -> Iterator[None]:
    try:
        yield
    except (httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError) as error:
        raise Fault("connect", reason_of(error)) from error
    except zlib.error as error:
        raise Fault("answer", f"its body is not encoded as its content-encoding says ({error})") from error
    except httpx.TransportError as error:
        raise Fault("answer", reason_of(error), stale=not progress.opened) from error


def encoded_form(
    fields: Mapping[str, Any], files: Sequence[tuple[str, tuple[Any, ...]]], kind: str | None
) -> tuple[bytes, str]:
    """Return a form as httpx encodes it, and its content type: multipart with ``files``. ``kind`` is the type that is given."""
    message = httpx.Request(
        "POST", "http://form", headers={"content-type": kind} if kind else None, data=fields, files=list(files) or None
    )
    return message.read(), message.headers["content-type"]


class _Target(httpx.URL):
    """A URL whose part behind the host goes out as it is: httpx would resolve ``..`` in it."""

    def __init__(self, url: str) -> None:
        scheme, _, rest = url.partition("://")
        host, slash, target = rest.partition("/")
        super().__init__(f"{scheme}://{host}/")
        self._target = f"{slash}{target}".encode()

    @property
    def raw_path(self) -> bytes:
        return self._target


def _message(request: Outgoing, connect: float, progress: Progress) -> httpx.Request:
    headers = [("user-agent", f"pytest-gaia/{__version__}"), ("accept", "*/*"), ("accept-encoding", "gzip, deflate")]
    given = {name.lower() for name, _ in request.headers}
    timeout = httpx.Timeout(None, connect=connect)
    url = _Target(request.url)
    message = httpx.Request(
        request.method,
        url,
        headers=[pair for pair in headers if pair[0] not in given] + list(request.headers),
        content=request.body,
        extensions={"timeout": timeout.as_dict(), "trace": progress.trace},
    )
    # It has made a plain one of it.
    message.url = url
    return message


async def _chunks(response: httpx.Response, progress: Progress, most: int) -> AsyncIterator[bytes]:
    encodings = [each.strip().lower() for each in response.headers.get_list("content-encoding", split_commas=True)]
    # The last encoding was applied last. What nobody asked for is handed on as it came.
    known = [each for each in encodings if each not in ("", "identity")]
    layers = [_Layer(each, most) for each in reversed(known)] if all(each in _WINDOWS for each in known) else []
    if len(layers) > _MOST_ENCODINGS:
        raise Fault("answer", f"its body is encoded {len(layers)} times")
    size = 0
    with _faults(progress):
        async for raw in response.aiter_raw():
            for piece in _decoded(raw, layers):
                size += len(piece)
                if size > most:
                    raise _too_large(most)
                yield piece
    if any(layer.is_open for layer in layers):
        raise Fault("answer", "its body is not encoded as its content-encoding says (it ends too early)")


def _decoded(data: bytes, layers: list[_Layer]) -> Iterator[bytes]:
    if not layers:
        yield data
        return
    for piece in layers[0].feed(data):
        yield from _decoded(piece, layers[1:])


def _too_large(most: int) -> Fault:
    return Fault("size", f"its body has more than {most / MIB:g} MiB once it is decoded")


class _Layer:
    """One encoding of a body. It makes small pieces, and ends at a bound even where the next layer makes nothing of them."""

    def __init__(self, encoding: str, most: int) -> None:
        self._zlib = zlib.decompressobj(_WINDOWS[encoding])
        self._may_be_bare = encoding == "deflate"
        self._most = most
        self._made = 0
        self.is_open = False
        """whether it has begun, and not come to its end"""

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield what ``data`` becomes."""
        self.is_open = self.is_open or bool(data)
        is_more = True
        while is_more and not self._zlib.eof:
            piece = self._decompress(data)
            data = self._zlib.unconsumed_tail
            is_more = bool(data) or len(piece) == _PIECE
            self._made += len(piece)
            if self._made > self._most:
                raise _too_large(self._most)
            if piece:
                yield piece
        self.is_open = self.is_open and not self._zlib.eof

    def _decompress(self, data: bytes) -> bytes:
        try:
            return self._zlib.decompress(data, _PIECE)
        except zlib.error:
            # Some servers leave out the head that deflate has in HTTP.
            if not self._may_be_bare or self._made:
                raise
            self._zlib = zlib.decompressobj(-zlib.MAX_WBITS)
            return self._zlib.decompress(data, _PIECE)
        finally:
            self._may_be_bare = False


def _pairs(response: httpx.Response) -> tuple[tuple[str, str], ...]:
    return tuple(response.headers.multi_items())


def _charset(response: httpx.Response) -> str:
    return response.charset_encoding or "utf-8"


@functools.cache
def _trust() -> ssl.SSLContext:
    # 23 ms, so once a process. SSL_CERT_FILE and SSL_CERT_DIR are honoured.
    return httpx.create_ssl_context(trust_env=True)


@functools.cache
def _no_trust() -> ssl.SSLContext:
    # For plain http on this machine: costs nothing, and would refuse every certificate.
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
