"""Servers with the round trip of a network, on loopback alone: ``python -m ci.bench.network UPSTREAM MILLISECONDS …``.

Each number of milliseconds gets a port, which forwards every connection to the port ``UPSTREAM``. Without one (0), it
responds to each request with a small JSON document itself. A chunk of bytes takes half a round trip in each direction, and
a new connection a whole one before its first byte. The ports are printed as JSON; the process ends with its standard input.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
from collections import deque
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

LOOPBACK = "127.0.0.1"

_BODY = b'{"status": "healthy", "version": "bench"}'
_RESPONSE = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s" % (len(_BODY), _BODY)
_END = b"\r\n\r\n"


class _Wire:
    """One direction of a connection: hands over in order what it was given, ``delay`` seconds later."""

    def __init__(self, delay: float, begins: float, deliver: Callable[[bytes | None], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._delay, self._begins, self._deliver = delay, begins, deliver
        self._waiting: deque[bytes | None] = deque()

    def put(self, data: bytes | None) -> None:
        """Take a chunk, or None for the end."""
        if not self._delay:
            self._deliver(data)
            return
        # Timers of the same moment fire in any order, so a timer does not carry the chunk.
        self._waiting.append(data)
        self._loop.call_at(max(self._loop.time(), self._begins) + self._delay, self._next)

    def _next(self) -> None:
        self._deliver(self._waiting.popleft())


class _End(asyncio.Protocol):
    """One end of a connection: what it receives goes to ``received``."""

    def __init__(self) -> None:
        self.received: Callable[[bytes | None], None] = lambda _: None
        self.transport: asyncio.Transport | None = None
        self._early: list[bytes | None] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        for data in self._early:
            self.send(data)

    def data_received(self, data: bytes) -> None:
        self.received(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self.received(None)

    def send(self, data: bytes | None) -> None:
        """Send a chunk, or close."""
        if self.transport is None:
            self._early.append(data)
        elif data is None:
            self.transport.close()
        else:
            self.transport.write(data)


class _Proxied(_End):
    """A connection of a client; its other half goes to the upstream server."""

    def __init__(self, upstream: int, trip: float) -> None:
        super().__init__()
        self._upstream, self._trip = upstream, trip

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        loop, server = asyncio.get_running_loop(), _End()
        opened = loop.time() + self._trip
        self.received = _Wire(self._trip / 2, opened, server.send).put
        server.received = _Wire(self._trip / 2, opened, self.send).put
        super().connection_made(transport)
        self._connecting = loop.create_task(loop.create_connection(lambda: server, LOOPBACK, self._upstream))


class _Responding(_End):
    """A connection to a server that knows one response."""

    def __init__(self, trip: float) -> None:
        super().__init__()
        self._trip = trip
        self._rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._wire = _Wire(self._trip, asyncio.get_running_loop().time() + self._trip, self.send)

    def data_received(self, data: bytes) -> None:
        *requests, self._rest = (self._rest + data).split(_END)
        for _ in requests:
            self._wire.put(_RESPONSE)


async def _serve(upstream: int, trips: Sequence[float]) -> None:
    loop = asyncio.get_running_loop()
    servers = [
        await loop.create_server(
            partial(_Proxied, upstream, trip) if upstream else partial(_Responding, trip), LOOPBACK, 0, backlog=1000
        )
        for trip in trips
    ]
    print(json.dumps([each.sockets[0].getsockname()[1] for each in servers]), flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


@contextlib.contextmanager
def delayed(upstream: int, *milliseconds: float) -> Iterator[dict[float, str]]:
    """Run this module as a process; yield the URL for each delay."""
    command = [sys.executable, "-m", "ci.bench.network", str(upstream), *map(str, milliseconds)]
    root = Path(__file__).parents[2]
    with subprocess.Popen(command, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        ports = json.loads(process.stdout.readline())
        try:
            yield {each: f"http://{LOOPBACK}:{port}" for each, port in zip(milliseconds, ports, strict=True)}
        finally:
            process.stdin.close()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1]), [float(each) / 1000 for each in sys.argv[2:]]))
