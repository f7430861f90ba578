"""Retries of requests."""

from __future__ import annotations

import time

import pytest

from pytest_gaia.clients.http._exchange import Trials
from pytest_gaia.clients.http._transport import Fault

REFUSED = Fault("connect", "connection refused")
STALE = Fault("response", "server disconnected", stale=True)


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_connecting_is_tried_three_times_with_growing_pauses(method: str) -> None:
    trials = Trials(method, connect=5)
    assert [trials.pause_after(REFUSED) for _ in range(3)] == [0.1, 0.3, None]
    assert trials.attempt == 3


def test_connecting_is_not_tried_again_when_its_time_is_up() -> None:
    trials = Trials("GET", connect=0.1)
    assert trials.pause_after(REFUSED) is None
    assert trials.attempt == 1


def test_the_time_for_connecting_is_shared_by_all_attempts() -> None:
    trials = Trials("GET", connect=0.3)
    until = time.monotonic() + 0.2
    while time.monotonic() < until:
        pass
    assert trials.connect < 0.11
    assert trials.pause_after(REFUSED) is None


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "PUT", "DELETE"])
def test_a_stale_connection_is_replaced_once(method: str) -> None:
    trials = Trials(method, connect=5)
    assert [trials.pause_after(STALE) for _ in range(2)] == [0.0, None]


@pytest.mark.parametrize("method", ["POST", "PATCH"])
def test_a_request_that_may_not_repeat_is_not_sent_again(method: str) -> None:
    assert Trials(method, connect=5).pause_after(STALE) is None


@pytest.mark.parametrize("stage", ["response", "deadline"])
def test_a_fault_after_connecting_is_final(stage: str) -> None:
    fault = Fault("response" if stage == "response" else "deadline", "broken")
    assert Trials("GET", connect=5).pause_after(fault) is None
