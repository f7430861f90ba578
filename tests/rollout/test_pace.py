"""Waits that grow, and never too far."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as some

from pytest_gaia.rollout.step import Pace


def test_each_wait_is_twice_the_one_before_and_spread_out() -> None:
    asked: list[tuple[float, float]] = []

    def most(least: float, longest: float) -> float:
        asked.append((least, longest))
        return longest

    pace = Pace(spread=most)

    assert [pace.before_attempt(attempt) for attempt in range(2, 9)] == [2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0]
    assert asked[0] == (1.0, 2.0)


@given(some.integers(2, 10_000))
def test_no_wait_is_too_long_or_none(attempt: int) -> None:
    assert 0.5 <= Pace().before_attempt(attempt) <= 30.0


def test_observations_are_further_apart_than_the_api_wants_them() -> None:
    assert all(2.0 <= Pace().between_looks() <= 3.0 for _ in range(100))


def test_the_real_clock_goes_on_while_it_waits() -> None:
    pace = Pace()
    before = pace.clock()

    pace.wait(0.01)

    assert pace.clock() > before
