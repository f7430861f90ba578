"""The wire below the HTTP client, and the only importer of httpx.

Three faults of httpx 0.28 end here:

* A request that is cancelled while others wait leaves its slot of the pool taken for good (httpcore #1093). A pool in
  which anything was cancelled or failed is retired: it serves what is in flight, new requests get a new one.
* ``HTTP_PROXY`` captures 127.0.0.1. Loopback never goes through a proxy; other hosts do as the environment says.
* A connection that the server closed while it was idle shows as a protocol error. :class:`Fault` says so (``stale``).
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import ssl
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

import httpx

from pytest_gaia import __version__
from pytest_gaia.clients.reasons import is_loopback, reason_of
from pytest_gaia.errors import GaiaError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

# Below the five seconds after which uvicorn closes an idle connection: who closes first is then never in doubt.
_KEEPALIVE = 4.0
_LIMITS = httpx.Limits(max_connections=100, max_keepalive_connections=20, keepalive_expiry=_KEEPALIVE)


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A request as it goes out."""

    method: str
    url: str
    headers: tuple[tuple[str, str], ...]
    body: bytes | None = None


@dataclass(frozen=True, slots=True)
class Incoming:
    """The head of an answer, and its body piece by piece."""

    status: int
    headers: tuple[tuple[str, str], ...]
    charset: str
    chunks: AsyncIterator[bytes] = field(repr=False)


class Fault(Exception):
    """No complete answer: ``stage`` is how far it came, ``stale`` that an idle connection had been closed."""

    def __init__(self, stage: Literal["connect", "answer", "deadline"], reason: str, *, stale: bool = False) -> None:
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

    def __init__(self, base_url: str) -> None:
        self._url = urlsplit(base_url)
        self._pool: _Pool | None = None
        self._closing: set[asyncio.Task[None]] = set()

    @contextlib.asynccontextmanager
    async def open(self, request: Outgoing, *, connect: float) -> AsyncIterator[Incoming]:
        """Send ``request`` and give the answer as soon as its head is there.

        ``connect`` bounds connecting, in seconds; everything after it is for the caller to bound. Raises :class:`Fault`.
        """
        fresh = _Connections()
        async with self._lease() as client:
            with _faults(fresh):
                message = _message(request, connect, fresh)
                response = await client.send(message, stream=True)
            try:
                yield Incoming(response.status_code, _pairs(response), _charset(response), _chunks(response, fresh))
            finally:
                await response.aclose()

    async def aclose(self) -> None:
        """Close every connection; what is in flight fails."""
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
        # A task of its own: whoever was cancelled here may be cancelled again and would leave the sockets open.
        task = asyncio.get_running_loop().create_task(pool.client.aclose(), name="gaia-http-close")
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    def _client(self) -> httpx.AsyncClient:
        local = is_loopback(self._url.hostname or "")
        verify = _trust() if self._url.scheme == "https" or not local else _no_trust()
        return httpx.AsyncClient(verify=verify, trust_env=not local, limits=_LIMITS, follow_redirects=False)


@dataclass(slots=True)
class _Connections:
    """Whether this request opened a connection of its own, told by httpcore's trace."""

    opened: bool = False

    async def trace(self, event: str, _: object) -> None:
        if event == "connection.connect_tcp.started":
            self.opened = True


@contextlib.contextmanager
def _faults(connections: _Connections) -> Iterator[None]:
    try:
        yield
    except (httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError) as error:
        raise Fault("connect", reason_of(error)) from error
    except httpx.TransportError as error:
        raise Fault("answer", reason_of(error), stale=not connections.opened) from error


def _message(request: Outgoing, connect: float, connections: _Connections) -> httpx.Request:
    headers = [("user-agent", f"pytest-gaia/{__version__}"), ("accept", "*/*"), ("accept-encoding", "gzip, deflate")]
    given = {name.lower() for name, _ in request.headers}
    timeout = httpx.Timeout(None, connect=connect)
    return httpx.Request(
        request.method,
        request.url,
        headers=[pair for pair in headers if pair[0] not in given] + list(request.headers),
        content=request.body,
        extensions={"timeout": timeout.as_dict(), "trace": connections.trace},
    )


async def _chunks(response: httpx.Response, connections: _Connections) -> AsyncIterator[bytes]:
    with _faults(connections):
        async for chunk in response.aiter_bytes():
            yield chunk


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
