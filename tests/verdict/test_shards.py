"""The division of tests into shards."""

from __future__ import annotations

import random
from collections import defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_gaia.verdict.plan import PlannedTest, assign, groups, of_unplanned

SECONDS = st.one_of(st.just(0.0), st.floats(0.001, 1000, allow_nan=False))
TESTS = st.lists(st.tuples(st.sampled_from(["", "a", "b", "c"]), SECONDS), min_size=1, max_size=40).map(
    lambda found: [PlannedTest(f"t.py::test_{n}", group=group, seconds=s) for n, (group, s) in enumerate(found)]
)
COUNTS = st.integers(1, 8)


@given(TESTS, COUNTS)
def test_every_test_is_in_one_shard_and_groups_stay_together(tests: list[PlannedTest], count: int) -> None:
    assigned = assign(tests, count)

    assert set(assigned) == {test.node for test in tests}
    assert set(assigned.values()) <= set(range(1, count + 1))
    together: defaultdict[str, set[int]] = defaultdict(set)
    for test in tests:
        if test.group:
            together[test.group].add(assigned[test.node])
    assert all(len(shards) == 1 for shards in together.values())


@given(TESTS, COUNTS, st.randoms(use_true_random=False))
def test_the_division_does_not_depend_on_the_order(
    tests: list[PlannedTest], count: int, shuffler: random.Random
) -> None:
    shuffled = list(tests)
    shuffler.shuffle(shuffled)
    assert assign(shuffled, count) == assign(tests, count)


@given(TESTS, COUNTS)
def test_no_shard_is_longer_than_the_mean_and_the_longest_group(tests: list[PlannedTest], count: int) -> None:
    known = [test.seconds for test in tests if test.seconds]
    usual = sum(known) / len(known) if known else 1.0
    assigned = assign(tests, count)
    shards: defaultdict[int, float] = defaultdict(float)
    weights: defaultdict[str, float] = defaultdict(float)
    for test in tests:
        shards[assigned[test.node]] += test.seconds or usual
        weights[test.group or test.node] += test.seconds or usual
    assert max(shards.values()) <= sum(weights.values()) / count + max(weights.values()) + 1e-6


@given(TESTS, COUNTS)
def test_no_shard_is_empty_if_there_are_enough_groups(tests: list[PlannedTest], count: int) -> None:
    assert len(set(assign(tests, count).values())) == min(count, groups(tests))


def test_durations_balance_the_shards() -> None:
    tests = [PlannedTest("slow", seconds=9.0), *(PlannedTest(f"fast-{n}", seconds=1.0) for n in range(9))]
    assigned = assign(tests, 2)
    assert [node for node, shard in assigned.items() if shard == assigned["slow"]] == ["slow"]


@pytest.mark.parametrize("seconds", [-5.0, 0.0])
def test_an_impossible_duration_counts_as_the_mean(seconds: float) -> None:
    tests = [PlannedTest(name, seconds=1.0) for name in "abc"]
    assigned = assign([*tests, PlannedTest("d", seconds=seconds)], 2)
    assert sorted(assigned.values()) == [1, 1, 2, 2]


@given(st.text(), COUNTS)
def test_a_test_that_the_plan_lacks_belongs_to_one_shard(node: str, count: int) -> None:
    assert 1 <= of_unplanned(node, count) <= count
    assert of_unplanned(node, count) == of_unplanned(node, count)
