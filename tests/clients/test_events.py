"""Waiting for an event: the event that is returned, and the message without one."""

from __future__ import annotations

import asyncio
import json

import pytest

from pytest_gaia.clients.broker.events import EventLog, matches
from pytest_gaia.errors import DeadlineExceeded
from pytest_gaia.secrets.masks import unkeyed
from pytest_gaia.secrets.redaction import Redactor


def log(*events: tuple[str, object]) -> EventLog:
    made = EventLog(("gaia.>",), Redactor().text)
    for subject, data in events:
        made.add(subject, json.dumps(data).encode())
    return made


@pytest.mark.parametrize(
    ("pattern", "subject", "same"),
    [
        ("gaia.service.ready", "gaia.service.ready", True),
        ("gaia.service", "gaia.service.ready", False),
        ("gaia.*.ready", "gaia.service.ready", True),
        ("gaia.*", "gaia.service.ready", False),
        ("gaia.>", "gaia.service.ready", True),
        ("gaia.service.ready.>", "gaia.service.ready", False),
        (">", "anything", True),
        ("*.*.*", "gaia.service.ready", True),
    ],
)
def test_a_pattern_matches_as_the_broker_matches(pattern: str, subject: str, same: bool) -> None:
    assert matches(pattern, subject) is same


async def test_each_event_is_returned_once_in_order() -> None:
    events = log(("gaia.a", 1), ("gaia.b", 2), ("gaia.a", 3))
    assert [(await events.wait_for(subject="gaia.a")).data, (await events.wait_for(subject="gaia.a")).data] == [1, 3]
    assert (await events.wait_for()).data == 2
    with pytest.raises(DeadlineExceeded):
        await events.wait_for(within=0.05)
    assert len(events.seen) == 3


async def test_an_event_that_comes_later_is_waited_for() -> None:
    events = log(("gaia.a", {"n": 1}))
    asyncio.get_running_loop().call_later(0.05, events.add, "gaia.a", b'{"n": 2}')
    event = await events.wait_for(subject="gaia.a", where=lambda data: data["n"] == 2, within=30)
    assert event.data == {"n": 2}
    assert event.received > 0


async def test_two_waits_at_a_time_get_an_event_each() -> None:
    events = log()
    waits = [asyncio.create_task(events.wait_for(subject=subject, within=30)) for subject in ("gaia.a", "gaia.b")]
    await asyncio.sleep(0.01)
    events.add("gaia.b", b"1")
    events.add("gaia.a", b"2")
    assert [event.data for event in await asyncio.gather(*waits)] == [2, 1]


async def test_a_condition_that_does_not_fit_another_event_means_no() -> None:
    events = log(("gaia.a", None), ("gaia.a", []), ("gaia.a", {"status": "ready"}))
    assert (await events.wait_for(where=lambda data: data["status"] == "ready", within=0.5)).data == {"status": "ready"}


async def test_a_usage_error_in_a_condition_that_is_no_lookup_is_not_hidden() -> None:
    def broken(_: object) -> bool:
        raise RuntimeError("mine")

    with pytest.raises(RuntimeError, match="mine"):
        await log(("gaia.a", 1)).wait_for(where=broken)


async def test_the_message_lists_what_came_instead() -> None:
    events = log(("gaia.service.health", {"status": "starting", "token": "t-1234567"}), ("gaia.a", "x" * 400))
    await events.wait_for(subject="gaia.a")
    events.broken()

    def ready(data: dict[str, object]) -> bool:
        return data["status"] == "ready"

    with pytest.raises(DeadlineExceeded) as caught:
        await events.wait_for(subject="gaia.service.*", where=ready, within=0.05)
    lines = str(caught.value).splitlines()
    assert lines[0] == "no event on gaia.service.* where ready within 0.05 s, subscribed to gaia.>."
    assert "broke 1 time;" in lines[1]
    assert unkeyed(lines[3]) == '  gaia.service.health  {"status": "starting", "token": "***"}'
    assert lines[4].startswith("  gaia.a  xxx")
    assert lines[4].endswith("…   (already returned)")


async def test_the_message_reports_that_nothing_came() -> None:
    with pytest.raises(DeadlineExceeded, match=r"No event arrived\.$"):
        await log().wait_for(within=0.01)


async def test_that_no_event_comes_can_be_expected() -> None:
    events = log(("gaia.a", 1))
    await events.expect_none(subject="gaia.b", within=0.05)
    with pytest.raises(AssertionError, match=r"expected no event on gaia\.\*, got one:\s+gaia\.a  1"):
        await events.expect_none(subject="gaia.*", within=0.05)
