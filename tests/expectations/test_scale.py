"""Many tests under many rules: the work grows with the tests, not with tests times rules."""

from __future__ import annotations

import sys
import tracemalloc
from typing import TYPE_CHECKING

from pytest_gaia.expectations.expectation import ExpectationSet
from pytest_gaia.expectations.subjects import Match
from tests.expectations.build import context, expectation, subject

if TYPE_CHECKING:
    from pytest_gaia.expectations.expectation import Expectation

TESTS = [
    subject(f"suites/s{n % 50}/test_{n % 20}.py::TestA::test_{n % 97}[{n}]", markers=("a", "b"), services=("chat",))
    for n in range(10_000)
]


STEPS = 100
"""calls of functions a test"""


def many_expectations(count: int) -> list[Expectation]:
    texts = ("all", "service:chat", "suites/s{0}", "suites/s{0}/test_{1}.py", TESTS[0].node)
    return [
        expectation(f"r{n}", texts[n % 5].format(n % 50, n % 20), match=Match(status=(400 + n % 100,)))
        for n in range(count)
    ]


def calls(expectations: ExpectationSet) -> int:
    """Return how many functions are called to find the standing of every test: work that no load changes."""
    called = 0

    def count(_frame: object, event: str, _argument: object) -> None:
        nonlocal called
        called += event in ("call", "c_call")

    sys.setprofile(count)
    try:
        assert all(expectations.resolution(test, context()).effective for test in TESTS)
    finally:
        sys.setprofile(None)
    return called


def test_a_test_under_a_thousand_expectations_takes_few_steps() -> None:
    assert calls(ExpectationSet(many_expectations(1000))) / len(TESTS) < STEPS


def test_ten_times_the_expectations_do_not_take_ten_times_the_steps() -> None:
    few, many = (calls(ExpectationSet(many_expectations(count))) for count in (100, 1000))

    assert many < few * 2


def test_what_is_remembered_of_a_test_is_small() -> None:
    expectations = ExpectationSet(many_expectations(1000))
    tracemalloc.start()
    for test in TESTS:
        expectations.resolution(test, context())
    used, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert used / len(TESTS) < 1024
