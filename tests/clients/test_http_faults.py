"""Faults of httpx 0.28, and how the client handles them. Each fault is demonstrated first."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import random
import re
import time
import tracemalloc
import zlib
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from pytest_gaia.clients.http._transport import MIB
from pytest_gaia.errors import DeadlineExceeded, ServiceError, UnexpectedResponse, Unreachable
from tests.clients.peers import Received, always, peer, response, silent, slow, unused_port

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_gaia.clients.exchanges import Exchange
    from tests.clients.conftest import Connect
    from tests.clients.peers import Script


@pytest.fixture
def _proxied(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{unused_port()}")


@pytest.mark.usefixtures("_proxied")
async def test_plain_httpx_lets_a_proxy_capture_loopback() -> None:
    """The fault itself: if this fails, a new httpx may have fixed it."""
    async with peer(always(200, {})) as server, httpx.AsyncClient() as plain:
        with pytest.raises(httpx.ConnectError):
            await plain.get(server.url)


@pytest.mark.usefixtures("_proxied")
async def test_a_proxy_does_not_capture_loopback(connect: Connect) -> None:
    async with peer(always(200, {})) as server:
        for url in (server.url, server.url.replace("127.0.0.1", "localhost")):
            assert (await connect({"gateway": url}).http("gateway").get("/x")).status == 200


async def test_a_proxy_is_used_for_other_hosts(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    async with peer(always(200, {"by": "proxy"})) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        gateway = connect({"gateway": "http://gaia.invalid"}).http("gateway")
        assert (await gateway.get("/x")).json() == {"by": "proxy"}
    assert proxy.received[0].target == "http://gaia.invalid/x"


async def closes_when_idle(request: Received, writer: asyncio.StreamWriter) -> None:
    """Respond to the first request of a connection, and close it at the second one."""
    if request.target == "/second" and request.connection == 1:
        writer.transport.abort()
        return
    writer.write(response(200, {"connection": request.connection}))
    await writer.drain()


async def test_plain_httpx_fails_on_a_stale_connection() -> None:
    """The fault itself: if this fails, a new httpx may have fixed it."""
    async with peer(closes_when_idle) as server, httpx.AsyncClient(trust_env=False) as plain:
        await plain.get(f"{server.url}/first")
        with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
            await plain.get(f"{server.url}/second")


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
async def test_a_stale_connection_is_replaced_once_for_a_method_that_may_repeat(connect: Connect, method: str) -> None:
    seen: list[Exchange] = []
    async with peer(closes_when_idle) as server:
        gateway = connect({"gateway": server.url}, record=seen).http("gateway")
        await gateway.get("/first")
        answered = await gateway.request(method, "/second")
    assert answered.json() == {"connection": 2}
    assert [(each.route, each.attempt, each.status) for each in seen] == [
        ("/first", 1, 200),
        ("/second", 1, None),
        ("/second", 2, 200),
    ]


async def test_after_a_stale_connection_no_other_that_was_idle_is_used(connect: Connect) -> None:
    async def first_three_are_stale(request: Received, writer: asyncio.StreamWriter) -> None:
        if request.target == "/second" and request.connection <= 3:
            writer.transport.abort()
            return
        await slow(request, writer)

    async with peer(first_three_are_stale) as server:
        gateway = connect({"gateway": server.url}).http("gateway")
        await asyncio.gather(*(gateway.get("/first") for _ in range(3)))
        assert server.connections == 3
        assert (await gateway.get("/second")).status == 200
    assert server.connections == 4


async def test_a_connection_is_not_used_again_after_an_error_of_the_server(connect: Connect) -> None:
    """A server whose code raises an exception often closes the connection after the response."""

    async def fails(request: Received, writer: asyncio.StreamWriter) -> None:
        status = "500 Internal Server Error" if request.target == "/fails" else "200 OK"
        writer.write(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n".encode())

    async with peer(fails) as server:
        gateway = connect({"gateway": server.url}).http("gateway")
        for path in ("/works", "/fails", "/works", "/works"):
            await gateway.get(path)
    assert [each.connection for each in server.received] == [1, 1, 2, 2]


async def test_a_post_on_a_stale_connection_is_never_sent_twice(connect: Connect) -> None:
    async with peer(closes_when_idle) as server:
        gateway = connect({"gateway": server.url}).http("gateway")
        await gateway.get("/first")
        with pytest.raises(Unreachable, match="was closed before the response was complete"):
            await gateway.post("/second", json={})
        assert [each.target for each in server.received] == ["/first", "/second"]
        # and the client is not stuck with the dead connection
        assert (await gateway.post("/third", json={})).status == 200


async def test_a_connection_that_breaks_on_its_first_request_is_a_fault_of_the_service(connect: Connect) -> None:
    async def reset(_: Received, writer: asyncio.StreamWriter) -> None:
        writer.transport.abort()

    async with peer(reset) as server:
        with pytest.raises(Unreachable, match="was closed before the response was complete"):
            await connect({"gateway": server.url}).http("gateway").get("/x")
    assert len(server.received) == 1


async def test_a_response_that_is_cut_short_is_reported_with_what_came(connect: Connect) -> None:
    async def cut(_: Received, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nonly this")
        await writer.drain()
        writer.close()

    async with peer(cut) as server:
        gateway = connect({"gateway": server.url}).http("gateway")
        with pytest.raises(Unreachable, match="only this"):
            await gateway.get("/x")
    assert len(server.received) == 1


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_dead_port_is_reported_in_time_after_trying_again(connect: Connect, method: str) -> None:
    url = f"http://127.0.0.1:{unused_port()}"
    seen: list[Exchange] = []
    gateway = connect({"gateway": url}, record=seen, sources={"urls.gateway": "GAIA_GATEWAY_URL"}).http("gateway")
    started = time.monotonic()
    with pytest.raises(Unreachable) as caught:
        await gateway.request(method, "/x")
    assert time.monotonic() - started < 30
    message = str(caught.value)
    assert message.startswith(f"gateway is unreachable at {url}: connection refused (3 attempts).")
    assert "GAIA_GATEWAY_URL" in message
    assert "--gaia-url gateway=URL" in message
    assert [each.attempt for each in seen] == [1, 2, 3]
    assert all((each.error or "").startswith("unreachable: ") for each in seen)


async def test_a_service_that_comes_up_while_connecting_is_reached(connect: Connect) -> None:
    port = unused_port()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(response(200, {}))
        await writer.drain()
        writer.close()

    seen: list[Exchange] = []

    async def come_up() -> asyncio.Server:
        while len(seen) < 2:  # noqa: ASYNC110 - during the pause after the second attempt
            await asyncio.sleep(0)
        return await asyncio.start_server(script, "127.0.0.1", port)

    coming = asyncio.create_task(come_up())
    answered = await connect({"gateway": f"http://127.0.0.1:{port}"}, record=seen).http("gateway").post("/x", json={})
    (await coming).close()
    assert (answered.status, answered.exchange.attempt) == (200, 3)


async def test_an_unknown_host_is_reported_by_name(connect: Connect) -> None:
    with pytest.raises(Unreachable, match=r"gateway is unreachable at http://gaia\.invalid: "):
        await connect({"gateway": "http://gaia.invalid"}).http("gateway").get("/x")


async def test_a_port_that_takes_connections_and_is_silent_is_reported_at_the_deadline(connect: Connect) -> None:
    async with silent() as port:
        with pytest.raises(DeadlineExceeded):
            await connect({"gateway": f"http://127.0.0.1:{port}"}).http("gateway").get("/x", timeout=0.2)


async def test_a_host_that_does_not_finish_connecting_is_reported_as_unreachable(connect: Connect) -> None:
    async with silent() as port:
        with pytest.raises(Unreachable, match="not connected within"):
            await connect({"gateway": f"https://127.0.0.1:{port}"}).http("gateway").get("/x", timeout=0.3)


async def test_a_request_that_is_cancelled_while_tls_is_negotiated_closes_its_socket(connect: Connect) -> None:
    """httpcore leaks the socket at that moment, and Python warns about it in a later test."""
    closed = asyncio.Event()

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(1000):
            pass
        closed.set()
        writer.close()

    server = await asyncio.start_server(listen, "127.0.0.1", 0)
    gateway = connect({"gateway": f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"}).http("gateway")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(gateway.get("/x"), 0.2)
    await asyncio.wait_for(closed.wait(), 30)
    server.close()


async def test_a_plain_port_behind_https_is_a_clear_error(connect: Connect) -> None:
    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(response(400, {}))
        await writer.drain()
        # To close before everything is read resets the connection.
        await reader.read()
        writer.close()

    server = await asyncio.start_server(plain, "127.0.0.1", 0)
    url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    with pytest.raises(Unreachable, match=r"does not use TLS(.|\n)*Write the URL with http://"):
        await connect({"gateway": url}).http("gateway").get("/x")
    server.close()


def raw(data: bytes) -> Script:
    """Respond to every request with these bytes."""

    async def respond(request: Received, writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        await writer.drain()
        writer.close()

    return respond


async def test_a_body_that_is_not_the_gzip_that_it_claims_is_a_clear_error(connect: Connect) -> None:
    data = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Encoding: gzip\r\n\r\nxx"
    async with peer(raw(data)) as server:
        with pytest.raises(UnexpectedResponse, match="the body is not gzip, as its content-encoding declares"):
            await connect({"gateway": server.url}).http("gateway").get("/x")


async def test_a_body_nested_without_end_is_not_json(connect: Connect) -> None:
    body = b'{"a":' * 5000
    async with peer(raw(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))) as server:
        reply = await connect({"gateway": server.url}).http("gateway").get("/x")
        with pytest.raises(UnexpectedResponse, match="not JSON"):
            reply.json(any_type=True)


async def test_a_long_response_that_was_cut_is_shown_in_part(connect: Connect) -> None:
    data = b"HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n" + b"x" * 50_000
    async with peer(raw(data)) as server:
        with pytest.raises(Unreachable, match=r"received so far: xxxx") as broken:
            await connect({"gateway": server.url}).http("gateway").get("/x")
    assert len(str(broken.value)) < 6000


def endless(head: bytes, piece: bytes, *, pause: float = 0) -> Script:
    """Begin a response and continue it while the client reads."""

    async def respond(_: Received, writer: asyncio.StreamWriter) -> None:
        writer.write(head)
        while True:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(pause)

    return respond


def encoded(*encodings: str, body: bytes) -> Script:
    return always(200, body, headers={"content-encoding": ", ".join(encodings)})


PLAIN = b"HTTP/1.1 200 OK\r\n"
ZEROS = gzip.compress(bytes(32 * MIB))
NOTHING = b"\x00\x00\x00\xff\xff"
"""an empty block"""
BEGINS = gzip.compress(b"", mtime=0)[:10]
NOISE = random.Random(0).randbytes(17 * MIB)
"""bytes that cannot be compressed"""
TOO_LARGE = {
    "compressed": encoded("gzip", body=gzip.compress(NOISE, 0)),
    "compressed twice": encoded("gzip", "gzip", body=gzip.compress(gzip.compress(NOISE, 0), 0)),
    "without an end": endless(PLAIN + b"\r\n", b"x" * 65536),
}
EVENTS = PLAIN + b"Content-Type: text/event-stream\r\n\r\n"


@pytest.mark.parametrize("script", TOO_LARGE.values(), ids=TOO_LARGE)
async def test_reading_stops_at_a_bound_that_the_error_names(connect: Connect, script: Script) -> None:
    record: list[Exchange] = []
    async with peer(script) as server:
        gateway = connect({"gateway": server.url}, record=record).http("gateway")
        with pytest.raises(UnexpectedResponse, match="the decoded body has more than 16 MiB") as large:
            await gateway.get("/x")

    limits = "The limit is `limit` of the request, in MiB, or else `max_response_mib` in [env.sandbox] of gaia.toml."
    assert limits in str(large.value)
    assert record[0].error is not None
    assert len(record[0].error) < 70_000


BLANKS = gzip.compress(b'{"status": "ok"' + b" " * 80_000_000 + b"}", 1)
BOMBS = {
    "80 MB of blanks": encoded("gzip", body=BLANKS),
    "compressed twice": encoded("gzip", "gzip", body=gzip.compress(ZEROS)),
    "nothing in very much": encoded("gzip", "deflate", body=zlib.compress(BEGINS + NOTHING * 4_000_000)),
    "events": always(200, BLANKS, headers={"content-encoding": "gzip", "content-type": "text/event-stream"}),
}


@pytest.mark.parametrize("script", BOMBS.values(), ids=BOMBS)
async def test_decoding_stops_where_a_body_grows_more_than_a_hundred_times(connect: Connect, script: Script) -> None:
    async with peer(script) as server:
        gateway = connect({"gateway": server.url}).http("gateway")
        tracemalloc.start()
        try:
            with pytest.raises(UnexpectedResponse, match="bytes were decoded into more than 100 times as many") as bomb:
                async with gateway.stream("/x") if script is BOMBS["events"] else contextlib.nullcontext() as events:
                    await (events.collect() if events else gateway.get("/x"))
            _, most = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()

    assert "If that is intended, pass `limit` with the request, in MiB." in str(bomb.value)
    assert most < 32 * MIB


async def test_a_request_has_a_limit_of_its_own(connect: Connect) -> None:
    async with peer(encoded("gzip", body=ZEROS)) as server:
        gateway = connect({"gateway": server.url}, max_response_mib=1).http("gateway")
        assert len((await gateway.get("/x", limit=32)).body) == 32 * MIB
        with pytest.raises(UnexpectedResponse, match=r"more than 31\.5 MiB"):
            await gateway.get("/x", limit=31.5)


async def test_a_stream_has_a_limit_of_its_own(connect: Connect) -> None:
    async with (
        peer(endless(EVENTS, b"data: x\n\n" * 9999)) as server,
        asyncio.timeout(60),
        connect({"gateway": server.url}).http("gateway").stream("/x", limit=0.5) as events,
    ):
        with pytest.raises(UnexpectedResponse, match=r"more than 0\.5 MiB"):
            await events.collect()


async def test_a_small_body_may_repeat_itself(connect: Connect) -> None:
    async with peer(encoded("gzip", body=gzip.compress(bytes(MIB)))) as server:
        assert (await connect({"gateway": server.url}).http("gateway").get("/x")).body == bytes(MIB)


@pytest.mark.parametrize(
    ("limit", "error", "problem"),
    [
        (0, ValueError, "limit: 0, expected more than 0 MiB"),
        (float("inf"), ValueError, "limit: inf, expected at most 4096 MiB"),
        (float("nan"), ValueError, "limit: nan, expected more than 0 MiB"),
        ("1", TypeError, "limit: str, expected a number of MiB"),
    ],
)
async def test_a_wrong_limit_is_refused(connect: Connect, limit: Any, error: type[Exception], problem: str) -> None:
    with pytest.raises(error, match=f"^{re.escape(problem)}$"):
        await connect({"gateway": "http://127.0.0.1:1"}).http("gateway").get("/x", limit=limit)


async def test_reading_events_stops_at_the_bound_too(connect: Connect) -> None:
    async with peer(endless(EVENTS, b"data: x" * 9999)) as server:
        gateway = connect({"gateway": server.url}).http("gateway")
        async with gateway.stream("/x") as events, asyncio.timeout(60):
            with pytest.raises(UnexpectedResponse, match="more than 16 MiB"):
                await events.collect()


async def test_the_bound_is_a_setting(connect: Connect) -> None:
    async with peer(always(200, bytes(MIB))) as exact, peer(always(200, bytes(MIB + 1))) as more:
        assert (await connect({"gateway": exact.url}, max_response_mib=1).http("gateway").get("/x")).status == 200
        with pytest.raises(UnexpectedResponse, match="more than 1 MiB"):
            await connect({"gateway": more.url}, max_response_mib=1).http("gateway").get("/x")


DRIPS = {
    "byte by byte": endless(PLAIN + b"\r\n", b"x", pause=0.01),
    "nothing in very much": endless(PLAIN + b"Content-Encoding: gzip\r\n\r\n" + BEGINS, NOTHING * 1000),
}


@pytest.mark.parametrize("script", DRIPS.values(), ids=DRIPS)
async def test_a_response_without_an_end_fails_at_its_deadline(connect: Connect, script: Script) -> None:
    async with peer(script) as server:
        with pytest.raises(DeadlineExceeded, match=r"bytes of the response within 0\.3 s"):
            await connect({"gateway": server.url}).http("gateway").get("/x", timeout=0.3)


BARE = zlib.compressobj(wbits=-zlib.MAX_WBITS)
ENCODED = {
    "gzip": encoded("gzip", body=gzip.compress(b"hello" * 50_000)),
    "deflate": encoded("deflate", body=zlib.compress(b"hello" * 50_000)),
    "deflate without its head": encoded("deflate", body=BARE.compress(b"hello" * 50_000) + BARE.flush()),
    "both": encoded("gzip", "deflate", body=zlib.compress(gzip.compress(b"hello" * 50_000))),
    "neither": encoded("identity", body=b"hello" * 50_000),
    "another one": encoded("zebra", body=b"hello" * 50_000),
}


@pytest.mark.parametrize("script", ENCODED.values(), ids=ENCODED)
async def test_a_body_is_decoded_by_its_head(connect: Connect, script: Script) -> None:
    async with peer(script) as server:
        assert (await connect({"gateway": server.url}).http("gateway").get("/x")).text == "hello" * 50_000


async def test_a_compressed_body_that_ends_too_early_is_no_response(connect: Connect) -> None:
    async with peer(encoded("gzip", body=gzip.compress(b"hello" * 50_000)[:-30])) as server:
        with pytest.raises(UnexpectedResponse, match="truncated"):
            await connect({"gateway": server.url}).http("gateway").get("/x")


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("x-api-key", "s3cret-s3cret\n", "the value of x-api-key begins or ends with white space"),
        ("x-api-key", " s3cret-s3cret", "the value of x-api-key begins or ends with white space"),
        ("authorization", "Bearer s3cret\r\nx: y", "the value of authorization contains a line break"),
        ("x-name", "s3cret\x00", "the value of x-name contains a line break or another control"),
        ("x-name", "s3crét", "the value of x-name contains a character that is not ASCII"),
        ("x y", "1", "'x y' is not a valid header name"),
        ("", "1", "'' is not a valid header name"),
    ],
)
async def test_a_header_that_cannot_be_sent_is_a_usage_error(
    connect: Connect, name: str, value: str, problem: str
) -> None:
    seen: list[Exchange] = []
    async with peer(always(200, {})) as server:
        gateway = connect({"gateway": server.url}, record=seen).http("gateway")
        with pytest.raises(ValueError, match=problem) as raised:
            await gateway.get("/x", headers={name: value})
        assert (await gateway.get("/y")).status == 200
    assert "s3cr" not in str(raised.value)
    assert [each.route for each in seen] == ["/y"]


async def test_a_token_or_key_with_a_line_break_is_refused(connect: Connect) -> None:
    async with peer(always(200, {})) as server:
        gateway = connect({"gateway": server.url}).http("gateway")
        with pytest.raises(ValueError, match="the value of authorization"):
            await gateway.as_user("abc.def.ghi\n").get("/health")
        with pytest.raises(ValueError, match="the value of x-api-key"):
            await gateway.with_key(" abcdefgh ").get("/health")
    assert server.received == []


def responses(request: httpx.Request) -> httpx.Response:
    return httpx.Response(200, json={}, request=request)


def refuses(request: httpx.Request) -> httpx.Response:
    raise httpx.ConnectTimeout("No response can be found for GET", request=request)


@pytest.mark.parametrize("mock", [responses, refuses])
async def test_a_mock_of_httpx_is_no_response_and_no_failure_of_the_service(
    connect: Connect, monkeypatch: pytest.MonkeyPatch, mock: Callable[[httpx.Request], httpx.Response]
) -> None:
    """Mocks such as pytest-httpx replace this method; their responses are neither results nor outages."""

    async def mocked(_: object, request: httpx.Request) -> httpx.Response:
        return mock(request)

    seen: list[Exchange] = []
    async with peer(always(200, {})) as server:
        gateway = connect({"gateway": server.url}, record=seen).http("gateway")
        with monkeypatch.context() as patched:
            patched.setattr(httpx.AsyncHTTPTransport, "handle_async_request", mocked)
            with pytest.raises(ServiceError, match="mocks of httpx") as raised:
                await gateway.get("/x")
        assert (await gateway.get("/y")).status == 200
    assert raised.value.kind == "error"
    assert [each.route for each in seen] == ["/y"]
