"""The gateway's HTTP client: one request on one connection, over asyncio streams."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

CONNECT_TIMEOUT = 5.0


class BackendDown(Exception):
    """The service refused the connection or broke it off before it answered."""


class LengthMismatch(Exception):
    """The request declares another length than its body has, and cannot be sent."""


class Call(NamedTuple):
    """One request for a backend. ``headers`` may declare a ``content-length``; otherwise the body's is sent."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes = b""

    def head(self, host: str) -> bytes:
        """Return request line and headers. Raises ``LengthMismatch``."""
        declared = self.headers.get("content-length", str(len(self.body)))
        if declared != str(len(self.body)):
            raise LengthMismatch
        fields = {**self.headers, "host": host, "content-length": declared, "connection": "close"}
        lines = [f"{self.method} {self.target} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items())]
        return "\r\n".join([*lines, "", ""]).encode("latin-1")


class Reply(NamedTuple):
    """The beginning of an answer; ``chunks`` is its body as it comes."""

    status: int
    content_type: str
    chunks: AsyncIterator[bytes]

    async def body(self) -> bytes:
        """Read the whole body. Raises ``BackendDown`` when it breaks off."""
        try:
            return b"".join([chunk async for chunk in self.chunks])
        except (OSError, asyncio.IncompleteReadError) as error:
            raise BackendDown from error


@asynccontextmanager
async def send(base_url: str, call: Call) -> AsyncIterator[Reply]:
    """Send ``call`` and yield the answer once its headers are there. Raises ``BackendDown``, ``LengthMismatch``."""
    url = urlsplit(base_url)
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT):
            reader, writer = await asyncio.open_connection(url.hostname, url.port or 80)
    except OSError as error:
        raise BackendDown from error
    try:
        writer.write(call.head(url.netloc) + call.body)
        yield await _reply(reader)
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


async def _reply(reader: asyncio.StreamReader) -> Reply:
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    except (OSError, asyncio.IncompleteReadError) as error:
        raise BackendDown from error
    status_line, *lines = head.strip().split("\r\n")
    fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    length = fields.get("content-length")
    chunks = _chunked(reader) if length is None else _sized(reader, int(length))
    return Reply(int(status_line.split(" ")[1]), fields.get("content-type", ""), chunks)


async def _sized(reader: asyncio.StreamReader, length: int) -> AsyncIterator[bytes]:
    yield await reader.readexactly(length)


async def _chunked(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    while size := int(await reader.readuntil(b"\r\n"), 16):
        yield (await reader.readexactly(size + 2))[:-2]
    await reader.readuntil(b"\r\n")
