"""Narrower in silence, wider only with a reason."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from pytest_gaia.expectations.ratchet import ratchet, widenings
from pytest_gaia.expectations.subjects import Match, parse_selector
from tests.expectations import strategies as some
from tests.expectations.build import EXPIRES, expectation, offers, operation, removal

if TYPE_CHECKING:
    from pytest_gaia.expectations.subjects import Context

OLD = expectation(
    "old",
    "suites/personas",
    "service:chat",
    match=Match(status=(404, 503), via=("gateway",), message=("unavailable",)),
    when=(("chat", False), ("gateway", True)),
    offers=offers("!GET /v2/personas/{id}"),
    max_failures=8,
    environments=("dev", "staging"),
)


def changed(**fields: Any) -> Any:
    if "tests" in fields:
        fields["selectors"] = tuple(map(parse_selector, fields.pop("tests")))
    return replace(OLD, **fields)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"tests": ["suites/personas"]},
        {"tests": ["suites/personas/test_crud.py::test_a[b c]", "service:chat"]},
        {"environments": ("staging",)},
        {"expires": EXPIRES - timedelta(1)},
        {"max_failures": 3},
        {"when": (("chat", False), ("gateway", True), ("nats", True))},
        {"offers": offers("!GET /v2/personas/{name}", "chat: GET /chat")},
        {"match": Match(status=(503,), via=("gateway",), message=("unavailable",))},
        {"match": Match(status=(404, 503), via=("gateway",), message=("persona is UNAVAILABLE",))},
        {"match": Match(status=(404,), via=("gateway",), message=("unavailable",), kind=("http",))},
        {"expect": "pass", "match": Match(), "max_failures": None},
        {"reason": "said better", "owner": "@others", "issue": "GAIA-2"},
    ],
)
def test_what_accepts_the_same_or_less_passes(fields: dict[str, Any]) -> None:
    assert widenings(OLD, changed(**fields)) == []


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"tests": ["suites/personas", "service:chat", "suites/chat"]}, "tests: suites/chat is new"),
        ({"tests": ["suites"]}, "tests: suites is new"),
        ({"tests": ["service:asset"]}, "tests: service:asset is new"),
        ({"tests": ["all"]}, "tests: all is new"),
        ({"environments": ("dev", "staging", "sandbox")}, "environments: sandbox is new"),
        ({"expires": EXPIRES + timedelta(1)}, "expires: 2026-03-29 is later than 2026-03-28"),
        ({"max_failures": 9}, "max_failures: was 8, is 9"),
        ({"max_failures": None}, "max_failures: was 8, is not set"),
        ({"phases": frozenset({"call", "setup"})}, "phase: setup is new"),
        ({"when": (("gateway", True),)}, "when: !chat was removed"),
        ({"when": (("chat", True), ("gateway", True))}, "when: !chat was removed"),
        ({"offers": ()}, "when: !gateway: GET /v2/personas/{id} was removed"),
        ({"offers": offers("GET /v2/personas/{id}")}, "when: !gateway: GET /v2/personas/{id} was removed"),
        ({"expect": "flaky"}, "expect: was fail, is flaky"),
        (
            {"match": Match(status=(404, 500, 503), via=("gateway",), message=("unavailable",))},
            "match.status: 500 is new",
        ),
        ({"match": Match(status=(404, 503), message=("unavailable",))}, "match.via was removed"),
        (
            {"match": Match(status=(404, 503), via=("gateway",), message=("available",))},
            "match.message: available is new",
        ),
    ],
)
def test_what_accepts_more_is_named(fields: dict[str, Any], said: str) -> None:
    assert widenings(OLD, changed(**fields)) == [said]


def test_the_less_a_carve_out_covers_the_more_is_accepted() -> None:
    carve_out = expectation("carve-out", "suites/personas", "suites/chat", expect="pass", match=Match())
    narrower = expectation("carve-out", "suites/chat", expect="pass", match=Match())

    assert widenings(carve_out, narrower) == [
        "tests: suites/personas is removed; this is an exception (expect = 'pass')"
    ]
    assert widenings(narrower, carve_out) == []
    assert widenings(carve_out, expectation("carve-out", "suites/chat")) == ["expect: was pass, is fail"]
    assert [each.check for each in ratchet({"carve-out": carve_out}, {})] == ["removed-exception"]


GONE = removal("gone", "GET /v1/*", "* /v2/{id}", max_failures=4)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"operations": ("GET /v1/a/{id}", "GET /v1/b*", "POST /v2/{name}")}, None),
        ({"max_failures": 3}, None),
        ({"operations": ("* /v1/*",)}, "operations: gateway: * /v1/* is new"),
        ({"operations": ("GET /v1*",)}, "operations: gateway: GET /v1* is new"),
        ({"operations": ("POST /v1/a",)}, "operations: gateway: POST /v1/a is new"),
        ({"operations": ("chat: GET /v1/a",)}, "operations: chat: GET /v1/a is new"),
        ({"operations": ("* /v2/*",)}, "operations: gateway: * /v2/* is new"),
        ({"max_failures": None}, "max_failures: was 4, is not set"),
        ({"environments": ("staging", "production")}, "environments: production is new"),
    ],
)
def test_a_removal_is_broader_if_it_covers_more_operations(fields: dict[str, Any], said: str | None) -> None:
    if "operations" in fields:
        fields = {"operations": tuple(map(operation, fields["operations"]))}
    assert widenings(GONE, replace(GONE, **fields)) == ([said] if said else [])


def test_an_expectation_that_becomes_a_removal_is_broader() -> None:
    flaky = expectation("gone", "suites/personas", expect="flaky")

    assert widenings(flaky, removal("gone", "GET /v1/a")) == ["expect: was flaky, is removed"]
    assert widenings(GONE, expectation("gone", "suites/personas")) == ["expect: was removed, is fail"]


def test_an_exception_with_another_condition_covers_less() -> None:
    carve_out = expectation("carve-out", "suites/chat", expect="pass", match=Match())

    assert widenings(carve_out, replace(carve_out, offers=offers("GET /a"))) == [
        "when: gateway: GET /a was added; this is an exception (expect = 'pass')"
    ]


def test_a_reason_lets_one_widening_through_and_not_the_next() -> None:
    said = changed(max_failures=20, justification="a second service moved")

    assert ratchet({"old": OLD}, {"old": said}) == []
    assert [
        each.text
        for each in ratchet({"old": said}, {"old": changed(max_failures=30, justification=said.justification)})
    ] == ["max_failures: was 20, is 30"]


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


@given(some.contexts, st.data())
def test_what_passes_without_a_reason_accepts_no_removal_that_was_not_accepted_before(
    circumstances: Context, data: st.DataObject
) -> None:
    old, new = (data.draw(some.removals(circumstances)) for _ in range(2))
    if not widenings(old, new):
        for each in (f"gateway: {text}" for text in some.OPERATIONS):
            if new.covers(each) and new.inapplicable(circumstances) is None:
                assert old.covers(each)
                assert old.inapplicable(circumstances) is None
