"""Limits of requests to one service: how many are in flight, after a 429, and while the service does not respond."""

from __future__ import annotations

import asyncio
from contextvars import copy_context
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime, parsedate_to_datetime
from typing import TYPE_CHECKING, Any

import pytest

from pytest_gaia.clients import limits
from pytest_gaia.clients.running import RUNNING, RunningTest
from pytest_gaia.config.environment import Timeouts
from pytest_gaia.errors import DeadlineExceeded, NotSent, ServiceError
from tests.clients.peers import Received, always, peer, response, slow

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from pytest_gaia.clients.http.client import HttpClient
    from pytest_gaia.clients.services import ClientSet
    from tests.clients.conftest import Connect
    from tests.clients.peers import Script

SHORT = Timeouts(connect=0.5, response=0.5, stream=0.5, ready=5.0)


async def in_a_test(coroutine: Coroutine[Any, Any, Any], test: RunningTest | None = None) -> Any:
    """Run a coroutine as part of a test; return its result or its error."""
    context = copy_context()
    context.run(RUNNING.set, test or RunningTest())
    task = asyncio.get_running_loop().create_task(coroutine, context=context)
    return (await asyncio.gather(task, return_exceptions=True))[0]


async def warmed_up(clients: ClientSet) -> HttpClient:
    """Return the client of the gateway after a first request, which loads modules and opens a connection."""
    gateway = clients.http("gateway")
    await gateway.get("/quick", timeout=30)
    return gateway


class Hanging:
    """A service that does not respond as long as it hangs, except to ``/quick``."""

    def __init__(self) -> None:
        self.hangs = True

    async def __call__(self, request: Received, writer: asyncio.StreamWriter) -> None:
        if request.target == "/cut":
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nxx")
        if self.hangs and request.target != "/quick":
            await asyncio.Event().wait()
        await slow(request, writer)


@pytest.mark.parametrize("path", ["/x", "/cut"])
async def test_a_service_that_does_not_respond_gets_no_more_requests(connect: Connect, path: str) -> None:
    async with peer(Hanging()) as server:
        gateway = await warmed_up(connect({"gateway": server.url}, timeouts=SHORT))
        failed = [await in_a_test(gateway.get(path)) for _ in range(5)]
    assert [type(each) for each in failed] == [DeadlineExceeded] * 3 + [NotSent] * 2
    assert str(failed[-1]) == "gateway has not responded to 3 requests in a row, 0.5 s each; this request was not sent"
    assert len(server.received) == 1 + 3


async def test_requests_that_wait_for_such_a_service_fail_at_once(connect: Connect) -> None:
    async with peer(Hanging()) as server:
        gateway = await warmed_up(connect({"gateway": server.url}, timeouts=SHORT, concurrency=16))
        gateway._link.limits.most = 4
        failed = await asyncio.gather(*(in_a_test(gateway.get("/x")) for _ in range(30)))
    # Two more take the places of the first two, before the third one ends.
    assert sorted(type(each).__name__ for each in failed) == ["DeadlineExceeded"] * 6 + ["NotSent"] * 24
    assert len(server.received) == 1 + 6


async def test_a_response_in_between_counts(connect: Connect) -> None:
    async with peer(Hanging()) as server:
        gateway = await warmed_up(connect({"gateway": server.url}, timeouts=SHORT))
        paths = ["/x", "/x", "/quick", "/x", "/x", "/x", "/quick"]
        results = [await in_a_test(gateway.get(path)) for path in paths]
    assert [isinstance(each, DeadlineExceeded) for each in results] == [path == "/x" for path in paths[:-1]] + [False]
    assert isinstance(results[-1], NotSent)


async def test_one_test_that_hangs_in_each_attempt_does_not_stop_the_others(connect: Connect) -> None:
    async with peer(Hanging()) as server:
        gateway = await warmed_up(connect({"gateway": server.url}, timeouts=SHORT))
        for _ in range(4):
            attempt = RunningTest()
            attempt.node = "test_x"
            assert isinstance(await in_a_test(gateway.get("/x"), attempt), DeadlineExceeded)
        assert (await in_a_test(gateway.get("/quick"))).status == 200


async def test_a_short_limit_of_a_test_itself_does_not_count(connect: Connect) -> None:
    async with peer(Hanging()) as server:
        gateway = await warmed_up(connect({"gateway": server.url}, timeouts=SHORT))
        for _ in range(4):
            assert isinstance(await in_a_test(gateway.get("/x", timeout=0.1)), DeadlineExceeded)
        assert (await in_a_test(gateway.get("/quick"))).status == 200


@pytest.mark.parametrize("recovers", [True, False])
async def test_one_request_finds_out_whether_the_service_responds_again(
    connect: Connect, monkeypatch: pytest.MonkeyPatch, recovers: bool
) -> None:
    monkeypatch.setattr(limits, "_PAUSE", 0.5)
    service = Hanging()
    async with peer(service) as server:
        gateway = await warmed_up(connect({"gateway": server.url}, timeouts=SHORT))
        for _ in range(3):
            await in_a_test(gateway.get("/x"))
        assert isinstance(await in_a_test(gateway.get("/x")), NotSent)
        service.hangs = not recovers
        await asyncio.sleep(0.6)
        together = await asyncio.gather(*(in_a_test(gateway.get("/x")) for _ in range(4)))
        afterwards = await in_a_test(gateway.get("/x"))
    assert [isinstance(each, NotSent) for each in together] == [False, True, True, True]
    assert isinstance(together[0], DeadlineExceeded) is not recovers
    assert isinstance(afterwards, NotSent) is not recovers
    assert len(server.received) == 1 + (5 if recovers else 4)


async def test_services_behind_another_one_share_its_limits(connect: Connect) -> None:
    async with peer(Hanging()) as server:
        clients = connect({"gateway": server.url}, timeouts=SHORT)
        await warmed_up(clients)
        for service, path in (("gateway", "/x"), ("auth", "/auth/validate"), ("asset", "/api/v1/assets")):
            await in_a_test(clients.http(service).get(path))
        failed = await in_a_test(clients.http("auth").get("/auth/validate"))
    assert isinstance(failed, NotSent)
    assert failed.service == "gateway"


async def test_a_test_that_does_not_read_its_stream_does_not_block_others_for_ever(connect: Connect) -> None:
    async def streams(request: Received, writer: asyncio.StreamWriter) -> None:
        if request.target == "/stream":
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\ndata: 1\n\n")
            await asyncio.Event().wait()
        await slow(request, writer)

    async with peer(streams) as server:
        gateway = await warmed_up(connect({"gateway": server.url}, timeouts=SHORT))
        gateway._link.limits.most = 1
        async with gateway.stream("/stream"):
            assert (await gateway.get("/x")).status == 200


def throttling(*first: dict[str, str]) -> Script:
    """Respond with a 429 and these headers to the first requests."""
    left = list(first)

    async def respond(request: Received, writer: asyncio.StreamWriter) -> None:
        writer.write(response(429, {}, headers=left.pop(0)) if left else response(200, {}))
        await writer.drain()

    return respond


def in_seconds(seconds: float) -> str:
    return format_datetime(datetime.now(UTC) + timedelta(seconds=seconds), usegmt=True)


async def test_a_429_halves_the_requests_in_flight_once_for_those_sent_together(connect: Connect) -> None:
    in_flight, most = 0, 0

    async def count(request: Received, writer: asyncio.StreamWriter) -> None:
        nonlocal in_flight, most
        in_flight += 1
        most = max(most, in_flight)
        await slow(request, writer)
        in_flight -= 1

    async with peer(throttling({}, {}, {})) as busy, peer(count) as counting:
        clients = connect({"gateway": busy.url, "auth": counting.url}, concurrency=8)
        gateway = clients.http("gateway")
        statuses = [each.status for each in await asyncio.gather(*(gateway.get("/x") for _ in range(8)))]
        assert sorted(statuses) == [200] * 5 + [429] * 3
        assert (gateway._link.limits.throttled, gateway._link.limits.most) == (True, 4)
        # The other service is not affected.
        await asyncio.gather(*(clients.http("auth").get("/x") for _ in range(8)))
    assert most == 8


@pytest.mark.parametrize("header", ["1", "date", "never", ""])
async def test_no_request_is_sent_before_the_end_of_retry_after(connect: Connect, header: str) -> None:
    async with peer(slow) as server:
        gateway = await warmed_up(connect({"gateway": server.url}, concurrency=8))
        # As a date has no fractions of a second, this one is in one to two seconds.
        wait = in_seconds(2.0) if header == "date" else header
        server.script = throttling({"retry-after": wait})
        began = datetime.now(UTC)
        assert (await gateway.get("/x")).status == 429
        # A time limit that is shorter than the pause, which is no part of it.
        assert {each.status for each in await asyncio.gather(*(gateway.get("/x", timeout=0.9) for _ in range(3)))} == {
            200
        }
    end = parsedate_to_datetime(wait) if header == "date" else began + timedelta(seconds=header == "1")
    # The pause is measured with another clock.
    assert datetime.now(UTC) > end - timedelta(seconds=0.1)


@pytest.mark.parametrize("wait", ["120", "date"])
async def test_a_long_pause_is_an_error_at_once(connect: Connect, wait: str) -> None:
    async with peer(throttling({"retry-after": in_seconds(120) if wait == "date" else wait})) as server:
        gateway = connect({"gateway": server.url}, concurrency=8).http("gateway")
        assert (await gateway.get("/x")).status == 429
        with pytest.raises(NotSent, match=r"gateway returned 429 and asks for a pause of 1(20|1\d) s, which is longer"):
            await gateway.get("/x")
    assert len(server.received) == 1


async def test_a_429_changes_nothing_in_a_sequential_run(connect: Connect) -> None:
    async with peer(throttling({"retry-after": "120"})) as server:
        gateway = connect({"gateway": server.url}, concurrency=1).http("gateway")
        assert [(await gateway.get("/x")).status for _ in range(2)] == [429, 200]
        assert not gateway._link.limits.throttled


async def test_a_canceled_request_that_waits_keeps_no_place(connect: Connect) -> None:
    async with peer(slow) as server:
        gateway = connect({"gateway": server.url}).http("gateway")
        gateway._link.limits.most = 1
        tasks = [asyncio.ensure_future(gateway.get("/x")) for _ in range(10)]
        await asyncio.sleep(0)
        for task in tasks[:9]:
            task.cancel()
        assert (await tasks[9]).status == 200
        assert gateway._link.limits._in_flight == 0


async def test_an_unreachable_service_does_not_count(connect: Connect) -> None:
    async with peer(always()) as server:
        gone = server.url
    gateway = connect({"gateway": gone}).http("gateway")
    for _ in range(4):
        failed = await in_a_test(gateway.get("/x"))
        assert isinstance(failed, ServiceError)
        assert not isinstance(failed, NotSent)
