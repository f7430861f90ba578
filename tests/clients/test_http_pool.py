"""Connections and their limit: httpx 0.28 leaks connections of canceled requests, and the client does not."""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING

import httpx
import pytest

from pytest_gaia.clients.guard import WriteGuard
from pytest_gaia.clients.http._exchange import Link
from pytest_gaia.clients.http._transport import Transport
from pytest_gaia.clients.http.client import HttpClient
from pytest_gaia.clients.limits import ServiceLimits
from pytest_gaia.errors import DeadlineExceeded, GaiaError, ServiceError
from pytest_gaia.secrets.redaction import Redactor
from tests.clients.conftest import environment
from tests.clients.peers import Received, always, peer, response, self_signed, slow

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

POOL = 2


async def cancel_under_contention(get: Callable[[], Awaitable[object]]) -> None:
    """Cancel requests in every stage of waiting for a connection and for a response."""

    async def one(after: float) -> None:
        try:
            await asyncio.wait_for(get(), after)
        except (TimeoutError, httpx.HTTPError, ServiceError):
            return

    for _ in range(6):
        await asyncio.gather(*(one(0.005 + 0.0007 * number) for number in range(60)))


def client_with_pool(url: str, size: int) -> tuple[HttpClient, Transport]:
    where = environment(urls={"gateway": url})
    transport = Transport(url)
    link = Link(
        service="gateway",
        environment=where,
        base_url=url,
        guard=WriteGuard(where),
        redactor=Redactor(),
        recorder=lambda _: None,
        timeouts=environment().timeouts,
        transport=transport,
        limits=ServiceLimits("gateway", most=size, concurrency=1, response=5.0),
        not_sent=lambda _: None,
        via="direct",
        route_of=lambda _, path: path,
    )
    return HttpClient(link, {}), transport


async def test_plain_httpx_loses_its_pool_to_cancelled_requests() -> None:
    """The fault itself (httpcore #1093): if this fails, a new httpx may have fixed it."""
    limits = httpx.Limits(max_connections=POOL, max_keepalive_connections=POOL)
    async with peer(slow) as server, httpx.AsyncClient(limits=limits, trust_env=False) as plain:

        async def lose() -> None:
            # Whether one round is enough depends on the moment of cancellation.
            for _ in range(10):
                await cancel_under_contention(lambda: plain.get(server.url))
                await plain.get(server.url, timeout=httpx.Timeout(30.0, pool=0.3))

        with pytest.raises(httpx.PoolTimeout):
            await lose()


async def test_cancelled_requests_under_contention_do_not_poison_the_pool() -> None:
    async with peer(slow) as server:
        client, transport = client_with_pool(server.url, POOL)
        await cancel_under_contention(lambda: client.get("/x"))
        statuses = [(await client.get("/x")).status for _ in range(5)]
        await transport.aclose()
    assert statuses == [200] * 5


async def test_no_more_requests_are_under_way_than_connections_are_allowed() -> None:
    under_way: list[int] = [0]
    most: list[int] = [0]

    async def count(request: Received, writer: asyncio.StreamWriter) -> None:
        under_way[0] += 1
        most[0] = max(most[0], under_way[0])
        await slow(request, writer)
        under_way[0] -= 1

    async with peer(count) as server:
        client, transport = client_with_pool(server.url, POOL)
        responses = await asyncio.gather(*(client.get("/x") for _ in range(10)))
        await transport.aclose()
    assert [each.status for each in responses] == [200] * 10
    assert most == [POOL]


async def test_requests_that_wait_beside_a_cancelled_one_are_answered() -> None:
    async with peer(slow) as server:
        client, transport = client_with_pool(server.url, POOL)
        others = [asyncio.create_task(client.get("/other")) for _ in range(20)]
        await cancel_under_contention(lambda: client.get("/x"))
        assert [answered.status for answered in await asyncio.gather(*others)] == [200] * 20
        await transport.aclose()


async def test_a_deadline_does_not_poison_the_pool_either() -> None:
    async def first_hangs(request: Received, writer: asyncio.StreamWriter) -> None:
        if request.target == "/hang":
            await asyncio.Event().wait()
        writer.write(response(200, {}))
        await writer.drain()

    async with peer(first_hangs) as server:
        client, transport = client_with_pool(server.url, 1)
        for _ in range(3):
            with pytest.raises(DeadlineExceeded):
                await client.get("/hang", timeout=0.5)
        assert (await client.get("/x")).status == 200
        await transport.aclose()


async def test_a_request_that_waits_for_others_has_its_whole_deadline() -> None:
    async def deliberate(request: Received, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.2)
        await slow(request, writer)

    async with peer(deliberate) as server:
        client, transport = client_with_pool(server.url, 1)
        responses = await asyncio.gather(*(client.get("/x", timeout=0.6) for _ in range(5)))
        await transport.aclose()
    assert [each.status for each in responses] == [200] * 5
    assert all(each.elapsed < 0.6 for each in responses)
    assert server.connections == 1


async def test_a_fault_and_a_cancellation_close_their_own_connections_only() -> None:
    async def some_break(request: Received, writer: asyncio.StreamWriter) -> None:
        if request.target == "/break":
            writer.transport.abort()
        elif request.target == "/hang":
            await asyncio.Event().wait()
        else:
            await slow(request, writer)

    async with peer(some_break) as server:
        client, transport = client_with_pool(server.url, 10)
        good = [client.get("/good") for _ in range(4)]
        bad = [client.post("/break"), client.get("/hang", timeout=0.3), asyncio.wait_for(client.get("/hang"), 0.3)]
        results = await asyncio.gather(*good, *bad, return_exceptions=True)
        assert sum(isinstance(each, Exception) for each in results) == 3
        before = server.connections
        await asyncio.gather(*(client.get("/good") for _ in range(4)))
        assert server.connections == before
        await transport.aclose()


async def test_a_request_in_flight_ends_after_closing_and_keeps_no_connection() -> None:
    began = asyncio.Event()

    async def begin(request: Received, writer: asyncio.StreamWriter) -> None:
        began.set()
        await slow(request, writer)

    async with peer(begin) as server:
        client, transport = client_with_pool(server.url, POOL)
        first = asyncio.create_task(client.get("/first"))
        await began.wait()
        await transport.aclose()
        assert (await first).status == 200
        assert not transport._idle
        await transport.aclose()


async def test_many_connections_share_one_ssl_context(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key, certificate = self_signed(tmp_path)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    made: list[object] = []
    create = ssl.create_default_context

    def counting(*given: object, **named: object) -> ssl.SSLContext:
        made.append(given)
        return create(*given, **named)  # type: ignore[arg-type]  # passed on

    monkeypatch.setattr(ssl, "create_default_context", counting)
    async with peer(slow, tls=tls) as server:
        client, transport = client_with_pool(server.url, 20)
        assert {each.status for each in await asyncio.gather(*(client.get("/x") for _ in range(20)))} == {200}
        await transport.aclose()
    assert (server.connections, len(made)) == (20, 1)


async def test_closing_leaves_neither_tasks_nor_sockets() -> None:
    before = asyncio.all_tasks()
    async with peer(slow) as server:
        client, transport = client_with_pool(server.url, POOL)
        await cancel_under_contention(lambda: client.get("/x"))
        await transport.aclose()
        await transport.aclose()
    assert asyncio.all_tasks() == before


async def test_a_client_on_another_loop_reports_what_to_configure() -> None:
    async with peer(always(200, {})) as server:
        client, transport = client_with_pool(server.url, POOL)
        await client.get("/x")
        with pytest.raises(GaiaError, match="asyncio_default_test_loop_scope"):
            await asyncio.to_thread(asyncio.run, client.get("/x"))
        await transport.aclose()
