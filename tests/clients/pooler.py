"""A proxy in front of a real server that records the client's half of the protocol, like a transaction pooler."""

from __future__ import annotations

import asyncio
import contextlib
import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@dataclass
class Traffic:
    """What clients sent."""

    dsn: str = ""
    startup: dict[str, str] = field(default_factory=dict)
    statements: list[str] = field(default_factory=list)
    """names of prepared statements"""
    queries: list[str] = field(default_factory=list)
    """statements of the simple protocol"""
    open: asyncio.Event = field(default_factory=asyncio.Event)
    """if cleared, nothing is returned from the server"""


@contextlib.asynccontextmanager
async def pooler(dsn: str) -> AsyncIterator[Traffic]:
    """Listen in front of the server of ``dsn`` during the context."""
    url, seen = urlsplit(dsn), Traffic()
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up_reader, up_writer = await asyncio.open_connection(url.hostname, url.port)
        back = asyncio.create_task(_copy(up_reader, writer, seen.open))
        try:
            await _watch(reader, up_writer, seen)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            up_writer.close()
            await asyncio.wait([back])

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(serve(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    seen.open.set()
    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    seen.dsn = url._replace(netloc=f"{url.username}:{url.password}@127.0.0.1:{port}").geturl()
    try:
        yield seen
    finally:
        server.close()
        seen.open.set()
        if tasks:
            await asyncio.wait(tasks, timeout=5)


async def _watch(reader: asyncio.StreamReader, upstream: asyncio.StreamWriter, seen: Traffic) -> None:
    length = await reader.readexactly(4)
    body = await reader.readexactly(struct.unpack("!i", length)[0] - 4)
    words = body[4:].split(b"\0")
    seen.startup = {name.decode(): value.decode() for name, value in zip(words[::2], words[1::2], strict=False) if name}
    upstream.write(length + body)
    while True:
        head = await reader.readexactly(5)
        body = await reader.readexactly(struct.unpack("!i", head[1:])[0] - 4)
        if head[:1] == b"P":
            seen.statements.append(body.split(b"\0")[0].decode())
        elif head[:1] == b"Q":
            seen.queries.append(body.rstrip(b"\0").decode())
        upstream.write(head + body)
        await upstream.drain()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, open_: asyncio.Event) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(65536):
            await open_.wait()
            writer.write(data)
            await writer.drain()
    writer.close()
