"""Failures that are expected in one environment and not in another."""

from __future__ import annotations

from pytest_gaia.expectations.expectation import ExpectationSet, differences
from pytest_gaia.expectations.subjects import Match
from tests.expectations.build import context, expectation, subject

TESTS = [subject(f"suites/personas/test_crud.py::test_{name}") for name in "ab"]


def test_what_is_accepted_in_both_is_no_difference() -> None:
    expectations = ExpectationSet([expectation("both", "suites/personas", environments=("dev", "staging"))])

    assert differences(expectations, TESTS, context("staging"), context("dev")) == []


def test_each_expectation_is_named_with_its_tests_and_reason_it_does_not_hold_there() -> None:
    here_alone = expectation("here-alone", "suites/personas/test_crud.py::test_a")
    elsewhere = expectation("elsewhere", "suites/personas", environments=("dev",))
    carve_out = expectation("carve-out", TESTS[1].node, expect="pass", match=Match())
    found = differences(
        ExpectationSet([here_alone, elsewhere, carve_out]), TESTS, context("staging"), context("production")
    )

    assert [(each.expectation.id, each.reason, each.nodes) for each in found] == [
        ("here-alone", "production has strict tolerance", (TESTS[0].node,))
    ]


def test_a_capability_makes_a_difference() -> None:
    expectations = ExpectationSet([expectation("bound", "suites/personas", when=(("chat", False),))])
    (found,) = differences(expectations, TESTS, context("staging"), context("staging", "chat"))

    assert found.reason == "requires !chat, and chat was observed"
    assert found.nodes == tuple(test.node for test in TESTS)
