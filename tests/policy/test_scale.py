"""Many tests under many rules: the work grows with the tests, not with tests times rules."""

from __future__ import annotations

import time
import tracemalloc
from typing import TYPE_CHECKING

from pytest_gaia.policy.ruleset import RuleSet
from pytest_gaia.policy.selectors import Match
from tests.policy.build import context, rule, subject

if TYPE_CHECKING:
    from pytest_gaia.policy.rules import Rule

TESTS = [
    subject(f"suites/s{n % 50}/test_{n % 20}.py::TestA::test_{n % 97}[{n}]", markers=("a", "b"), services=("chat",))
    for n in range(10_000)
]


def many_rules(count: int) -> list[Rule]:
    texts = ("all", "service:chat", "suites/s{0}", "suites/s{0}/test_{1}.py", TESTS[0].node)
    return [
        rule(f"r{n}", texts[n % 5].format(n % 50, n % 20), match=Match(status=(400 + n % 100,))) for n in range(count)
    ]


def seconds(rules: RuleSet) -> float:
    began = time.perf_counter()
    assert all(rules.standing(test, context()).winners for test in TESTS)
    return time.perf_counter() - began


def test_ten_thousand_tests_under_a_thousand_rules_take_a_fraction_of_a_second() -> None:
    assert min(seconds(RuleSet(many_rules(1000))) for _ in range(3)) < 0.5


def test_ten_times_the_rules_do_not_take_ten_times_as_long() -> None:
    few, many = (min(seconds(RuleSet(many_rules(count))) for _ in range(3)) for count in (100, 1000))

    assert many < few * 4


def test_what_is_remembered_of_a_test_is_small() -> None:
    rules = RuleSet(many_rules(1000))
    tracemalloc.start()
    for test in TESTS:
        rules.standing(test, context())
    used, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert used / len(TESTS) < 1024
