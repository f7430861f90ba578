"""Event streams over real sockets: complete, after the deadline, and truncated."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from pytest_gaia.errors import DeadlineExceeded, UnexpectedResponse, Unreachable
from tests.clients.peers import Received, always, peer, response, unused_port

if TYPE_CHECKING:
    from pytest_gaia.clients.exchanges import Exchange
    from tests.clients.conftest import Connect

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n"


def chunk(text: str) -> bytes:
    data = text.encode()
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


async def whole(_: Received, writer: asyncio.StreamWriter) -> None:
    writer.write(HEAD)
    for text in ('data: {"type": "start"}\n\n', 'data: {"type": ', '"content", "content": "Hi"}\n\ndata: [DONE]\n\n'):
        writer.write(chunk(text))
        await writer.drain()
    writer.write(b"0\r\n\r\n")
    await writer.drain()


async def stalls(_: Received, writer: asyncio.StreamWriter) -> None:
    writer.write(HEAD + chunk('data: {"type": "start"}\n\n'))
    await writer.drain()
    await asyncio.Event().wait()


async def breaks(_: Received, writer: asyncio.StreamWriter) -> None:
    writer.write(HEAD + chunk('data: {"type": "start"}\n\n'))
    await writer.drain()
    writer.close()


async def test_a_stream_is_read_to_its_end_and_recorded(connect: Connect) -> None:
    seen: list[Exchange] = []
    async with peer(whole) as server:
        gateway = connect({"gateway": server.url}, record=seen).http("gateway")
        async with gateway.stream("/chat/stream", json={"message": "hello"}) as events:
            assert events.status == 200
            assert events.headers["content-type"].startswith("text/event-stream")
            types = [event.type or event.data async for event in events]
        again = await gateway.get("/x", headers={"accept": "application/json"}, timeout=1)
    assert types == ["start", "content", "[DONE]"]
    assert [event.data for event in events.seen][1] == {"type": "content", "content": "Hi"}
    assert server.received[0].headers["accept"] == "text/event-stream"
    assert (seen[0].route, seen[0].status, seen[0].request.method) == ("/chat/stream", 200, "POST")
    assert seen[0].response is not None
    assert seen[0].response.body.endswith("data: [DONE]\n\n")
    # The connection is reused.
    assert again.status == 200
    assert server.connections == 1


async def test_collect_gives_all_events_at_once(connect: Connect) -> None:
    async with peer(whole) as server, connect({"gateway": server.url}).http("gateway").stream("/s") as events:
        assert len(await events.collect()) == 3


async def test_the_deadline_holds_for_the_whole_stream(connect: Connect) -> None:
    seen: list[Exchange] = []
    async with peer(stalls) as server:
        gateway = connect({"gateway": server.url}, record=seen).http("gateway")
        with pytest.raises(DeadlineExceeded, match=r"bytes of the response within 0\.2 s"):
            async with gateway.stream("/s", deadline=0.2) as events:
                await events.collect()
    assert [event.type for event in events.seen] == ["start"]
    assert len(seen) == 1
    assert 'received so far: data: {"type": "start"}' in (seen[0].error or "")


async def test_a_deadline_inside_the_stream_can_be_expected_there(connect: Connect) -> None:
    async with peer(stalls) as server:
        gateway = connect({"gateway": server.url}).http("gateway")
        async with gateway.stream("/s", deadline=0.2) as events:
            with pytest.raises(DeadlineExceeded):
                await events.collect()
            with pytest.raises(DeadlineExceeded):
                await anext(events)
    assert len(gateway.exchanges) == 1


async def test_a_stream_that_breaks_off_is_reported_with_what_came(connect: Connect) -> None:
    async with peer(breaks) as server:
        gateway = connect({"gateway": server.url}).http("gateway")
        with pytest.raises(Unreachable, match=r"was closed before the response was complete[\s\S]*received so far"):
            async with gateway.stream("/s") as events:
                await events.collect()
        assert [event.type for event in events.seen] == ["start"]
        assert len(server.received) == 1


async def test_leaving_a_stream_early_closes_it_and_records_what_was_seen(connect: Connect) -> None:
    gone = asyncio.Event()

    async def endless(_: Received, writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD)
        try:
            while True:
                writer.write(chunk("data: 1\n\n"))
                await writer.drain()
                await asyncio.sleep(0.01)
        except ConnectionError:
            gone.set()
            raise

    async with peer(endless) as server:
        gateway = connect({"gateway": server.url}).http("gateway")
        async with gateway.stream("/s") as events:
            assert (await anext(events)).data == 1
        assert gateway.exchanges[0].status == 200
        await asyncio.wait_for(gone.wait(), 30)


@pytest.mark.parametrize(
    ("script", "problem"),
    [
        (always(403, {"detail": "Could not validate credentials"}), "returned 403 with application/json"),
        (always(200, {"response": "no stream"}), "returned 200 with application/json"),
        (always(200, b""), "returned 200 with nothing"),
    ],
)
async def test_a_response_that_is_no_stream_shows_the_whole_exchange(
    connect: Connect, script: object, problem: str
) -> None:
    async with peer(script) as server:  # type: ignore[arg-type]
        gateway = connect({"gateway": server.url}).http("gateway")
        with pytest.raises(UnexpectedResponse) as caught:
            async with gateway.stream("/s"):
                pytest.fail("it was taken for a stream")
    assert problem in str(caught.value)
    assert f"POST {server.url}/s" in str(caught.value)
    assert len(gateway.exchanges) == 1


async def test_a_failing_check_inside_a_stream_fails_as_itself(connect: Connect) -> None:
    async with peer(whole) as server:
        gateway = connect({"gateway": server.url}).http("gateway")
        with pytest.raises(pytest.fail.Exception, match="mine"):
            async with gateway.stream("/s") as events:
                pytest.fail(f"mine: {await anext(events)}")
        assert (await gateway.get("/x")).status == 200
    assert len(gateway.exchanges) == 2


async def test_a_stream_from_a_dead_port_is_reported_like_any_request(connect: Connect) -> None:
    gateway = connect({"gateway": f"http://127.0.0.1:{unused_port()}"}).http("gateway")
    with pytest.raises(Unreachable, match="3 attempts"):
        async with gateway.stream("/s"):
            pytest.fail("nothing listens there")
    assert [each.attempt for each in gateway.exchanges] == [1, 2, 3]


async def test_a_response_in_a_broken_charset_is_still_text(connect: Connect) -> None:
    async def odd(_: Received, writer: asyncio.StreamWriter) -> None:
        writer.write(response(200, "Größe".encode("latin-1"), headers={"content-type": "text/plain; charset=latin-1"}))
        writer.write(b"")
        await writer.drain()

    async with peer(odd) as server:
        assert (await connect({"gateway": server.url}).http("gateway").get("/x")).text == "Größe"
    async with peer(always(200, "ü".encode(), headers={"content-type": "text/plain; charset=nonsense"})) as server:
        assert (await connect({"gateway": server.url}).http("gateway").get("/x")).text == "ü"
