"""Of several outcomes of one test, the worst is reported."""

from __future__ import annotations

from itertools import permutations

import pytest

from pytest_gaia.verdict.classify import Classification, worst_of_each

PASSED = Classification("a", "passed")
ACCEPTED = Classification("a", "expected failure")
BLOCKS = Classification("a", "crashed", blocks=True)
DESELECTED = Classification("a", "deselected")


@pytest.mark.parametrize("classifications", list(permutations((PASSED, ACCEPTED, BLOCKS, DESELECTED))))
def test_what_blocks_is_worse_than_what_does_not(classifications: tuple[Classification, ...]) -> None:
    assert worst_of_each(classifications) == [BLOCKS]


@pytest.mark.parametrize("classifications", list(permutations((PASSED, ACCEPTED, DESELECTED))))
def test_a_pass_is_better_than_all_else(classifications: tuple[Classification, ...]) -> None:
    assert worst_of_each(classifications) == [ACCEPTED]


def test_of_two_that_are_as_bad_the_first_is_told() -> None:
    other = Classification("a", "failed", blocks=True)

    assert worst_of_each([BLOCKS, other]) == [BLOCKS]
    assert worst_of_each([other, BLOCKS]) == [other]


def test_a_test_that_was_only_deselected_is_left_out() -> None:
    assert worst_of_each([DESELECTED]) == []


def test_tests_stay_in_the_order_in_which_they_came_first() -> None:
    other = Classification("b", "failed", blocks=True)

    assert worst_of_each([PASSED, other, BLOCKS]) == [BLOCKS, other]
