"""A minimal Redis client: one connection for each command."""

import asyncio
import os
from urllib.parse import unquote, urlsplit


async def call(*words: str) -> str | None:
    """Send one command, and return its simple reply."""
    url = urlsplit(os.environ["REDIS_URL"])
    reader, writer = await asyncio.open_connection(url.hostname, url.port or 6379)
    try:
        if url.password:
            user = [unquote(url.username)] if url.username else []
            await _exchange(reader, writer, "AUTH", *user, unquote(url.password))
        return await _exchange(reader, writer, *words)
    finally:
        writer.close()


async def _exchange(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *words: str) -> str | None:
    parts = [f"*{len(words)}\r\n".encode()]
    parts += [b"$%d\r\n%b\r\n" % (len(text), text) for text in map(str.encode, words)]
    writer.write(b"".join(parts))
    reply = (await reader.readuntil(b"\r\n"))[:-2].decode()
    if reply.startswith("-"):
        raise ConnectionError(reply[1:])
    if not reply.startswith("$"):
        return reply[1:]
    length = int(reply[1:])
    return None if length < 0 else (await reader.readexactly(length + 2))[:-2].decode()
