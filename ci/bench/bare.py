"""Send the requests of a file of ``chains`` with httpx alone: ``python bare.py FILE URL KEY LIMIT``.

At most ``LIMIT`` tests run at a time, in each of them the stages in order, and every request in flight has a client of its
own. Nothing is compared, recorded or masked: this is the least that the same requests take.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import httpx

if TYPE_CHECKING:
    from collections.abc import Iterator

KEY = "the key"
# Servers close an idle connection after five seconds, which must not happen to one that is used again.
_LIMITS = httpx.Limits(keepalive_expiry=4)
_AT_ONCE = 16
"""limit of concurrent requests of one test, as in the suites"""


class Bare:
    """Clients for requests in flight, and the two limits."""

    def __init__(self, url: str, key: str, limit: int) -> None:
        self._url, self._key = url, key
        self._tests = asyncio.Semaphore(limit)
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._unused: list[httpx.AsyncClient] = []

    async def play(self, chains: list[list[list[list[object]]]]) -> None:
        """Send all requests, and close the clients."""
        await asyncio.gather(*map(self._test, chains))
        for client in self._unused:
            await client.aclose()

    async def _test(self, stages: list[list[list[object]]]) -> None:
        async with self._tests:
            turns = asyncio.Semaphore(_AT_ONCE)
            for stage in stages:
                await asyncio.gather(*(self._request(turns, *request) for request in stage))

    async def _request(
        self, turns: asyncio.Semaphore, method: str, path: str, headers: dict[str, str], body: str | None
    ) -> None:
        given = {name: self._key if value == KEY else value for name, value in headers.items()}
        async with turns:
            with self._client() as client:
                await client.request(method, path, headers=given, content=body)

    @contextmanager
    def _client(self) -> Iterator[httpx.AsyncClient]:
        client = self._unused.pop() if self._unused else self._new()
        yield client
        self._unused.append(client)

    def _new(self) -> httpx.AsyncClient:
        # Without a context, every client would load the certificates.
        return httpx.AsyncClient(base_url=self._url, trust_env=False, verify=self._tls, timeout=30, limits=_LIMITS)


if __name__ == "__main__":
    file, url, key, limit = sys.argv[1:]
    asyncio.run(Bare(url, key, int(limit)).play(json.loads(Path(file).read_text())))
