"""Of several judgements of one test, the worst is told."""

from __future__ import annotations

from itertools import permutations

import pytest

from pytest_gaia.verdict.classify import Classification
from pytest_gaia.verdict.evaluated import worst_of_each

PASSED = Classification("a", "passed")
EXCUSED = Classification("a", "expected failure")
GATES = Classification("a", "crashed", gates=True)
DESELECTED = Classification("a", "deselected")


@pytest.mark.parametrize("classifications", list(permutations((PASSED, EXCUSED, GATES, DESELECTED))))
def test_what_gates_is_worse_than_what_does_not(classifications: tuple[Classification, ...]) -> None:
    assert worst_of_each(classifications) == [GATES]


@pytest.mark.parametrize("classifications", list(permutations((PASSED, EXCUSED, DESELECTED))))
def test_a_pass_is_better_than_all_else(classifications: tuple[Classification, ...]) -> None:
    assert worst_of_each(classifications) == [EXCUSED]


def test_of_two_that_are_as_bad_the_first_is_told() -> None:
    other = Classification("a", "failed", gates=True)

    assert worst_of_each([GATES, other]) == [GATES]
    assert worst_of_each([other, GATES]) == [other]


def test_a_test_that_was_only_deselected_is_left_out() -> None:
    assert worst_of_each([DESELECTED]) == []


def test_tests_stay_in_the_order_in_which_they_came_first() -> None:
    other = Classification("b", "failed", gates=True)

    assert worst_of_each([PASSED, other, GATES]) == [GATES, other]
