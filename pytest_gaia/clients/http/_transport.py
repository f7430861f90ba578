"""The wire below the HTTP client, and the only importer of httpx.

Faults of httpx 0.28 that end here:

* A request that is cancelled while it waits for a connection leaves a slot of the pool taken for good (httpcore
  #1093). Requests wait here, in front of the pool, never in it; and a pool in which anything was cancelled or failed
  is retired: it serves what is in flight, new requests get a new one.
* It reads proxies and certificates from the environment by rules of its own. Here :mod:`~pytest_gaia.clients.wire` does,
  for the readiness checks as well.
* A connection that the server closed while it was idle shows as a protocol error. :class:`Fault` says so (``stale``).
* It decodes whatever it has read at once, however much that becomes. Here a body is decoded piece by piece, up to a bound.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import zlib
from collections.abc import AsyncIterator, Coroutine, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeAlias

import httpx

from pytest_gaia import __version__
from pytest_gaia.clients.reasons import reason_of, remedy_of
from pytest_gaia.clients.wire import HomeLoop, proxy_for, trusted

# Below the five seconds after which uvicorn closes an idle connection: who closes first is then never in doubt.
_KEEPALIVE = 4.0
_LIMITS = httpx.Limits(max_connections=None, max_keepalive_connections=20, keepalive_expiry=_KEEPALIVE)

_PIECE = 64 * 1024
"""bytes that decoding makes at a time"""
_MOST_ENCODINGS = 4
_WINDOWS = {"gzip": zlib.MAX_WBITS | 16, "deflate": zlib.MAX_WBITS}
"""encoding that is asked for → how zlib reads it"""
MIB = 1024 * 1024

_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_CONTROLS = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")

CONNECTIONS = 100
"""requests to one base URL that may be under way at a time; more wait for their turn"""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A request as it goes out. It shows its method only: all else may hold secrets, and pytest shows arguments."""

    method: str
    url: str = field(repr=False)
    headers: tuple[tuple[str, str], ...] = field(repr=False)
    body: bytes | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        """Raise ``ValueError`` for a header that cannot be sent. It names the header, and shows no value."""
        for name, value in self.headers:
            if not _HEADER_NAME.fullmatch(name):
                raise ValueError(f"headers: {name!r} is not the name of a header")
            if problem := _problem_of(value):
                raise ValueError(
                    f"headers: the value of {name} cannot be sent: it {problem} (its {len(value)} characters are not shown)"
                )


def _problem_of(value: str) -> str:
    if value != value.strip():
        return "begins or ends with white space, such as the line break at the end of a file"
    if _CONTROLS.search(value):
        return "holds a line break or another control character"
    return "" if value.isascii() else "holds a character that is not ASCII"


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

    @property
    def begun(self) -> bool:
        """Whether anything went out to the network."""
        return self.opened or self.connected

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


Stage: TypeAlias = Literal["request", "connect", "answer", "deadline", "size", "encoding"]


class Fault(Exception):
    """No complete answer: ``stage`` is how far it came, ``stale`` that an idle connection had been closed.

    ``request`` is a request that this side could not send; ``encoding`` a body that is not what the answer declares.
    """

    def __init__(self, stage: Stage, reason: str, *, stale: bool = False, remedy: str = "") -> None:
        super().__init__(reason)
        self.stage = stage
        self.reason = reason
        self.stale = stale
        self.remedy = remedy
        """what to do, where it is known for this reason"""


@dataclass(slots=True)
class _Pool:
    client: httpx.AsyncClient
    users: int = 0
    retired: bool = False


class Transport:
    """A keep-alive pool to one base URL, for one event loop."""

    def __init__(self, base_url: str, *, connections: int = CONNECTIONS, home: HomeLoop | None = None) -> None:
        self._url = base_url
        self._proxy = ""
        self.home = home or HomeLoop("HTTP")
        self._turns = asyncio.Semaphore(connections)
        self._pool: _Pool | None = None
        self._closing: set[asyncio.Task[None]] = set()

    @contextlib.asynccontextmanager
    async def open(
        self, request: Outgoing, progress: Progress, *, connect: float, most: int
    ) -> AsyncIterator[Incoming]:
        """Send ``request`` and give the answer as soon as its head is there; ``progress`` tells how far it has come.

        ``connect`` bounds connecting, in seconds, and ``most`` the body, in bytes once it is decoded; all other time is for the
        caller to bound. Raises :class:`Fault`; ``GaiaError`` in another event loop than its own.
        """
        self.home.enter()
        async with self._turns, self._lease() as client:
            response = await self._send(client, _message(request, connect, progress), progress)
            try:
                chunks = _chunks(response, progress, most)
                yield Incoming(response.status_code, _pairs(response), _charset(response), chunks)
            finally:
                await response.aclose()

    async def _send(self, client: httpx.AsyncClient, message: httpx.Request, progress: Progress) -> httpx.Response:
        try:
            with _faults(progress, self._proxy):
                response = await client.send(message, stream=True)
            if not progress.begun:
                raise Fault("request", f"httpx returned an answer all the same; {_MOCKED}")
            return response
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
        if self._pool is None:
            self._pool = _Pool(self._client())
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
        proxy = proxy_for(self._url)
        self._proxy = f" (through {proxy})" if proxy else ""
        to_proxy = trusted(proxy.url) if proxy and proxy.url.startswith("https:") else None
        return httpx.AsyncClient(
            verify=trusted(self._url),
            proxy=httpx.Proxy(proxy.url, ssl_context=to_proxy) if proxy else None,
            trust_env=False,
            limits=_LIMITS,
            follow_redirects=False,
        )


_MOCKED = "a mock of httpx, such as pytest-httpx or respx, has to let requests to the environment pass"


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
        raise Fault("encoding", f"its body is encoded {len(layers)} times")
    broken = f"its body is not {', '.join(known)}, as its content-encoding declares"
    size = 0
    try:
        with _faults(progress):
            async for raw in response.aiter_raw():
                for piece in _decoded(raw, layers):
                    size += len(piece)
                    if size > most:
                        raise _too_large(most)
                    yield piece
    except zlib.error as error:
        raise Fault("encoding", f"{broken} ({error})") from error
    if any(layer.is_open for layer in layers):
        raise Fault("encoding", f"{broken} (it ends too early)")


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
