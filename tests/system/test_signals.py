"""Signals during waits, and signals that the process ignores."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, suppress

import pytest

from pytest_gaia.system.signals import ENDING, Ended, held_back, like_interrupts, stopped_by_signals, until_signalled

WAYS = [like_interrupts, held_back, until_signalled, stopped_by_signals]
Way = Callable[[], AbstractContextManager[object]]


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """Give the handlers back."""
    before = {each: signal.getsignal(each) for each in ENDING}
    yield
    for each, handler in before.items():
        signal.signal(each, handler)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("number", ENDING)
def test_what_a_shell_has_us_ignore_stays_ignored(way: Way, number: signal.Signals) -> None:
    signal.signal(number, signal.SIG_IGN)

    with suppress(Ended), way():
        signal.raise_signal(number)

    assert signal.getsignal(number) == signal.SIG_IGN


@pytest.mark.parametrize("way", WAYS)
def test_outside_of_the_main_thread_nothing_changes(way: Way) -> None:
    before = [signal.getsignal(each) for each in ENDING]
    within: list[object] = []

    def work() -> None:
        with way():
            within.extend(signal.getsignal(each) for each in ENDING)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()

    assert within == before


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_each_signal_interrupts(number: signal.Signals) -> None:
    before = signal.getsignal(number)

    with like_interrupts():
        for _ in range(2):
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(number)

    assert signal.getsignal(number) == before


def test_a_signal_that_is_held_back_comes_once_and_at_the_end() -> None:
    came: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: came.append(number))

    with held_back():
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)
        assert came == []

    assert came == [signal.SIGTERM]


@pytest.mark.parametrize("number", ENDING)
def test_the_first_signal_ends_and_those_after_it_are_ignored(number: signal.Signals) -> None:
    with pytest.raises(Ended), until_signalled():
        signal.raise_signal(number)

    assert {signal.getsignal(each) for each in ENDING} == {signal.SIG_IGN}


def test_a_loop_is_asked_to_end_and_the_handlers_come_back() -> None:
    before = [signal.getsignal(each) for each in ENDING]

    with stopped_by_signals() as stop:
        assert not stop.wait(0)
        signal.raise_signal(signal.SIGHUP)
        assert stop.wait(60)
        signal.raise_signal(signal.SIGINT)

    assert [signal.getsignal(each) for each in ENDING] == before
