"""Of several judgements of one test, the worst is told."""

from __future__ import annotations

from itertools import permutations

import pytest

from pytest_gaia.verdict.judge import Judgement
from pytest_gaia.verdict.judged import worst_of_each

PASSED = Judgement("a", "passed")
EXCUSED = Judgement("a", "expected failure")
GATES = Judgement("a", "crashed", gates=True)
DESELECTED = Judgement("a", "deselected")


@pytest.mark.parametrize("judgements", list(permutations((PASSED, EXCUSED, GATES, DESELECTED))))
def test_what_gates_is_worse_than_what_does_not(judgements: tuple[Judgement, ...]) -> None:
    assert worst_of_each(judgements) == [GATES]


@pytest.mark.parametrize("judgements", list(permutations((PASSED, EXCUSED, DESELECTED))))
def test_a_pass_is_better_than_all_else(judgements: tuple[Judgement, ...]) -> None:
    assert worst_of_each(judgements) == [EXCUSED]


def test_of_two_that_are_as_bad_the_first_is_told() -> None:
    other = Judgement("a", "failed", gates=True)

    assert worst_of_each([GATES, other]) == [GATES]
    assert worst_of_each([other, GATES]) == [other]


def test_a_test_that_was_only_deselected_is_left_out() -> None:
    assert worst_of_each([DESELECTED]) == []


def test_tests_stay_in_the_order_in_which_they_came_first() -> None:
    other = Judgement("b", "failed", gates=True)

    assert worst_of_each([PASSED, other, GATES]) == [GATES, other]
