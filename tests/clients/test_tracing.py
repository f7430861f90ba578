"""Trace context: each attempt of a request has IDs by which the logs of the services name it."""

from __future__ import annotations

import re
import uuid
from typing import TYPE_CHECKING

import pytest

from pytest_gaia.clients.exchanges import TraceHeaders, new_trace_id, transcript
from pytest_gaia.clients.guard import WriteGuard
from pytest_gaia.clients.running import Recorder, RunningTest
from pytest_gaia.clients.services import ClientSet
from pytest_gaia.secrets.redaction import Redactor
from tests.clients.conftest import environment
from tests.clients.peers import Received, always, peer, response

if TYPE_CHECKING:
    import asyncio
    from collections.abc import AsyncIterator

    from tests.clients.conftest import Connect

TRACEPARENT = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-01")
GIVEN = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"


@pytest.fixture
async def recorded() -> AsyncIterator[tuple[Recorder, ClientSet]]:
    """Clients that record for a running test; nothing listens at their address."""
    where = environment(urls={"gateway": "http://127.0.0.1:1"})
    recorder = Recorder()
    clients = ClientSet(where, WriteGuard(where, lambda: True), recorder, trace_id=recorder.trace_id)
    yield recorder, clients
    await clients.aclose()


async def test_each_attempt_is_sent_and_recorded_with_ids_of_its_own(connect: Connect) -> None:
    async def closes_the_second(request: Received, writer: asyncio.StreamWriter) -> None:
        if len(server.received) == 2:
            writer.close()
        else:
            writer.write(response(200, b"{}"))

    async with peer(closes_the_second) as server:
        gateway = connect({"gateway": server.url}).http("gateway")
        await gateway.get("/x")
        await gateway.get("/x")
    exchanges = gateway.exchanges
    sent = [request.headers for request in server.received]
    assert [each.attempt for each in exchanges] == [1, 1, 2]
    assert [each.request_id for each in exchanges] == [each["x-request-id"] for each in sent]
    assert [each.traceparent for each in exchanges] == [each["traceparent"] for each in sent]
    assert len({each.request_id for each in exchanges}) == 3
    for each in exchanges:
        trace_id, span = TRACEPARENT.fullmatch(each.traceparent).groups()  # type: ignore[union-attr]  # it matches
        assert uuid.UUID(each.request_id).version == 4
        assert each.request_id.replace("-", "") == trace_id[:16] + span
        assert each.trace_id == trace_id


async def test_all_requests_of_a_test_belong_to_one_trace(recorded: tuple[Recorder, ClientSet]) -> None:
    recorder, clients = recorded
    tests = RunningTest("first"), RunningTest("second")
    for test in tests:
        recorder.begin(test)
        for _ in range(2):
            with pytest.raises(Exception, match="unreachable"):
                await clients.http("gateway").get("/x", timeout=0.1)
        assert {each.trace_id for each in test.exchanges} == {test.trace_id}
    assert tests[0].trace_id != tests[1].trace_id
    assert RunningTest("sends nothing").trace_id == ""


async def test_headers_of_the_test_replace_the_ids(connect: Connect) -> None:
    async with peer(always(200, {})) as server:
        gateway = connect({"gateway": server.url}).http("gateway")
        await gateway.get("/x", headers={"Traceparent": GIVEN, "X-Request-ID": "mine"})
        await gateway.get("/x", headers={"traceparent": "broken"})
    first, second = gateway.exchanges
    assert (server.received[0].headers["traceparent"], server.received[0].headers["x-request-id"]) == (GIVEN, "mine")
    assert (first.traceparent, first.trace_id, first.request_id) == (GIVEN, GIVEN[3:35], "mine")
    assert (second.traceparent, second.trace_id) == ("broken", "")
    assert second.request_id == server.received[1].headers["x-request-id"]


async def test_messages_of_errors_do_not_contain_the_random_ids(connect: Connect) -> None:
    async with peer(always(500, {})) as server:
        answered = await connect({"gateway": server.url}).http("gateway").get("/x")
    exchange = answered.exchange
    with pytest.raises(Exception, match="returned 500") as caught:
        answered.expect(200)
    # An expectation whose message is "404" would match one in a dozen of them.
    assert exchange.request_id[:8] not in str(caught.value)
    assert f"  request ID {exchange.request_id}, trace ID {exchange.trace_id}\n" in transcript(exchange, ids=True)


def test_an_id_never_contains_a_secret() -> None:
    # One digit, which most random numbers contain.
    for _ in range(20):
        trace_id = new_trace_id(lambda text: "e" in text)
        made = TraceHeaders.of(trace_id, lambda text: "e" in text)
        assert "e" not in trace_id + made.request_id + made.traceparent


def test_a_short_secret_of_hexadecimal_digits_is_found_in_an_id() -> None:
    redactor = Redactor(["hunter2-of-mine", "c0ffee", "0123-4567", "0" * 32])
    assert redactor.is_in_id("aac0ffeeaa")
    assert redactor.is_in_id("00000123-4567-4000")
    assert not redactor.is_in_id("aac0ff-eeaa")


def test_an_id_is_never_taken_for_a_secret() -> None:
    redactor = Redactor(["hunter22"])
    for _ in range(300):
        made = TraceHeaders.of(new_trace_id(redactor.is_in_id), redactor.is_in_id)
        _, trace_id, span_id, _ = made.traceparent.split("-")
        for text in (
            f"request ID {made.request_id}, trace ID {trace_id}",
            f"x-request-id: {made.request_id}\ntraceparent: {made.traceparent}",
            f'{{"trace_id": "{trace_id}", "span_id": "{span_id}", "request_id": "{made.request_id}"}}',
            f"GET /x?trace_id={trace_id}&request_id={made.request_id} span={span_id}",
        ):
            assert redactor.text(text) == text
