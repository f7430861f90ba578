"""A suite that connects to services without their clients. Copied into a project, and run there.

Where writing is forbidden, each connection has to be refused, and nothing is received.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import socket
import threading
import urllib.request
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_gaia import HttpClient

FOREIGN = "192.0.2.7"
"""an address of another environment"""


def url() -> str:
    return "SHOP_URL"


def port() -> int:
    return urlsplit(url()).port or 0


def with_urllib() -> None:
    urllib.request.urlopen(urllib.request.Request(f"{url()}/items", method="POST", data=b"{}"), timeout=5)


def with_http_client() -> None:
    http.client.HTTPConnection("127.0.0.1", port(), timeout=5).request("POST", "/items", b"{}")


def with_requests() -> None:
    import requests

    requests.Session().post(f"{url()}/items", json={}, timeout=5)


def with_urllib3() -> None:
    import urllib3

    urllib3.PoolManager(retries=False).request("POST", f"{url()}/items")


def with_httpx() -> None:
    import httpx

    httpx.Client(base_url=url()).post("/items", json={})


async def with_async_httpx() -> None:
    import httpx

    async with httpx.AsyncClient(base_url=url()) as client:
        await client.post("/items", json={})


async def with_asyncio() -> None:
    _, writer = await asyncio.open_connection("localhost", port())
    writer.write(b"POST /items HTTP/1.1\r\nHost: shop\r\nContent-Length: 0\r\n\r\n")
    await writer.drain()


def with_a_socket(address: Any = None, family: int = socket.AF_INET) -> None:
    with socket.socket(family) as connection:
        connection.settimeout(5)
        connection.connect(address or ("127.0.0.1", port()))
        connection.sendall(b"POST /items HTTP/1.1\r\nHost: shop\r\nContent-Length: 0\r\n\r\n")
        connection.recv(100)


def with_connect_ex() -> None:
    with socket.socket() as connection:
        if connection.connect_ex(("127.0.0.1", port())) == 0:
            connection.sendall(b"POST /items HTTP/1.1\r\nHost: shop\r\nContent-Length: 0\r\n\r\n")


def with_udp() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(b"x", ("127.0.0.1", port()))


def in_a_thread() -> None:
    thread = threading.Thread(target=with_urllib)
    thread.start()
    thread.join()


def swallowed() -> None:
    with contextlib.suppress(Exception):
        with_urllib()


async def in_an_executor() -> None:
    await asyncio.get_running_loop().run_in_executor(None, with_urllib)


async def in_a_task() -> None:
    await asyncio.create_task(with_asyncio())


def by_address(address: str, family: int = socket.AF_INET) -> Callable[[], None]:
    return lambda: with_a_socket((address, port()), family)


WAYS: dict[str, Callable[[], Any]] = {
    "urllib": with_urllib,
    "http.client": with_http_client,
    "requests": with_requests,
    "urllib3": with_urllib3,
    "httpx": with_httpx,
    "httpx, asynchronous": with_async_httpx,
    "asyncio": with_asyncio,
    "a socket": with_a_socket,
    "connect_ex": with_connect_ex,
    "UDP": with_udp,
    "localhost": by_address("localhost"),
    "an address as one number": by_address("2130706433"),
    "a short address": by_address("127.1"),
    "the unspecified address": by_address("0.0.0.0"),
    "IPv4 in IPv6": by_address("::ffff:127.0.0.1", socket.AF_INET6),
    "a thread": in_a_thread,
    "swallowed": swallowed,
    "an executor": in_an_executor,
    "a task": in_a_task,
    "another environment": lambda: with_a_socket((FOREIGN, 443)),
}
"""how a test may connect"""


@pytest.mark.parametrize("way", WAYS)
async def test_connects(shop: HttpClient, way: str) -> None:
    (await shop.get("/items")).expect(200)
    result = WAYS[way]()
    if result is not None:
        await result
