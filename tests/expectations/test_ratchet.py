"""Narrower in silence, wider only with a reason."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from pytest_gaia.expectations.ratchet import ratchet, widenings
from pytest_gaia.expectations.selectors import Match, parse
from tests.expectations import strategies as some
from tests.expectations.build import EXPIRES, expectation

OLD = expectation(
    "old",
    "suites/personas",
    "service:chat",
    match=Match(status=(404, 503), via=("gateway",), message=("unavailable",)),
    when=(("chat", False), ("gateway", True)),
    max_tests=8,
    environments=("dev", "staging"),
)


def changed(**fields: Any) -> Any:
    if "tests" in fields:
        fields["selectors"] = tuple(map(parse, fields.pop("tests")))
    return replace(OLD, **fields)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"tests": ["suites/personas"]},
        {"tests": ["suites/personas/test_crud.py::test_a[b c]", "service:chat"]},
        {"environments": ("staging",)},
        {"expires": EXPIRES - timedelta(1)},
        {"max_tests": 3},
        {"when": (("chat", False), ("gateway", True), ("nats", True))},
        {"match": Match(status=(503,), via=("gateway",), message=("unavailable",))},
        {"match": Match(status=(404, 503), via=("gateway",), message=("persona is UNAVAILABLE",))},
        {"match": Match(status=(404,), via=("gateway",), message=("unavailable",), kind=("http",))},
        {"expect": "passes", "match": Match(), "max_tests": None},
        {"reason": "said better", "owner": "@others", "issue": "GAIA-2"},
    ],
)
def test_what_accepts_the_same_or_less_passes(fields: dict[str, Any]) -> None:
    assert widenings(OLD, changed(**fields)) == []


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"tests": ["suites/personas", "service:chat", "suites/chat"]}, "tests: suites/chat is new in it"),
        ({"tests": ["suites"]}, "tests: suites is new in it"),
        ({"tests": ["service:asset"]}, "tests: service:asset is new in it"),
        ({"tests": ["all"]}, "tests: all is new in it"),
        ({"environments": ("dev", "staging", "sandbox")}, "environments: sandbox is new in it"),
        ({"expires": EXPIRES + timedelta(1)}, "expires: 2026-03-29 is later than 2026-03-28"),
        ({"max_tests": 9}, "max_tests: was 8 and is 9"),
        ({"max_tests": None}, "max_tests: was 8 and is not set"),
        ({"phases": frozenset({"call", "setup"})}, "phase: setup is new in it"),
        ({"when": (("gateway", True),)}, "when: !chat is asked for no more"),
        ({"when": (("chat", True), ("gateway", True))}, "when: !chat is asked for no more"),
        ({"expect": "flaky"}, "expect: was fails and is flaky"),
        (
            {"match": Match(status=(404, 500, 503), via=("gateway",), message=("unavailable",))},
            "match.status: 500 is new in it",
        ),
        ({"match": Match(status=(404, 503), message=("unavailable",))}, "match.via is gone"),
        (
            {"match": Match(status=(404, 503), via=("gateway",), message=("available",))},
            "match.message: available is new in it",
        ),
    ],
)
def test_what_accepts_more_is_named(fields: dict[str, Any], said: str) -> None:
    assert widenings(OLD, changed(**fields)) == [said]


def test_the_less_a_carve_out_covers_the_more_is_accepted() -> None:
    carve_out = expectation("carve-out", "suites/personas", "suites/chat", expect="passes", match=Match())
    narrower = expectation("carve-out", "suites/chat", expect="passes", match=Match())

    assert widenings(carve_out, narrower) == ["tests: suites/personas is gone from it; it is a carve-out"]
    assert widenings(narrower, carve_out) == []
    assert widenings(carve_out, expectation("carve-out", "suites/chat")) == ["expect was passes and is fails"]
    assert [each.check for each in ratchet({"carve-out": carve_out}, {})] == ["carve-out"]


def test_a_reason_lets_one_widening_through_and_not_the_next() -> None:
    said = changed(max_tests=20, justification="a second service moved")

    assert ratchet({"old": OLD}, {"old": said}) == []
    assert [
        each.text for each in ratchet({"old": said}, {"old": changed(max_tests=30, justification=said.justification)})
    ] == ["max_tests: was 20 and is 30"]


def test_new_and_removed_expectations_pass() -> None:
    assert ratchet({}, {"old": OLD}) == []
    assert ratchet({"old": OLD}, {}) == []


def test_an_expectation_that_cannot_be_compared_needs_a_reason() -> None:
    (only,) = ratchet({}, {"old": OLD}, {"old": "x.toml:1: the key `owner` is missing."})

    assert only.text == "cannot be compared: x.toml:1: the key `owner` is missing."
    assert ratchet({}, {"old": changed(justification="it had no owner")}, {"old": "x"}) == []


@given(some.failures, st.data())
def test_what_passes_without_a_reason_accepts_no_failure_that_was_not_accepted_before(
    failed: some.Failed, data: st.DataObject
) -> None:
    old = data.draw(some.expectations(failed))
    new = data.draw(some.expectations(failed))
    if not widenings(old, new) and some.accepting([new], failed):
        assert some.accepting([old], failed)
