"""Shapes are strict about kinds, and report where a response has another one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_gaia.clients.exchanges import Exchange, ReceivedResponse, SentRequest
from pytest_gaia.clients.http.responses import Headers, Response
from pytest_gaia.errors import UnexpectedResponse
from suites.shapes import (
    AMOUNT,
    COUNT,
    DAY,
    FLAG,
    MOMENT,
    NOTHING,
    OBJECT,
    PATH,
    PERCENT,
    SHARE,
    STRING,
    TEXT,
    UUID,
    VERSION,
    each,
    equal,
    holding,
    like,
    maybe,
    mismatches,
    named,
    one_of,
    shaped,
    some,
)

if TYPE_CHECKING:
    from suites.shapes import Shape

GOOD = [
    (TEXT, "a"),
    (STRING, ""),
    (FLAG, False),
    (COUNT, 0),
    (AMOUNT, 0.5),
    (AMOUNT, 3),
    (PERCENT, 100),
    (SHARE, 1),
    (MOMENT, "2026-11-23T14:00:00"),
    (MOMENT, "2026-11-23T14:00:00.123456+00:00"),
    (MOMENT, "2026-11-23T14:00:00Z"),
    (DAY, "2026-11-23"),
    (UUID, "00000000-0000-4000-8000-000000000000"),
    (NOTHING, None),
    (OBJECT, {}),
    (VERSION, "v0.2"),
    (VERSION, "1.12.3"),
    (PATH, "/"),
    (holding("no key", "denied"), "Access Denied."),
    (equal("a"), "a"),
    (one_of("a", "b"), "b"),
    (like(r"\d{4}"), "4242"),
    (maybe(TEXT), None),
    (maybe(TEXT), "a"),
    (each(TEXT), []),
    (some(TEXT), ["a"]),
    (named(COUNT), {"a": 1}),
    ({"a": COUNT}, {"a": 1, "more": "is fine"}),
]

BAD = [
    (TEXT, " ", "the response: expected text, got ' '"),
    (TEXT, None, "the response: expected text, got null"),
    (STRING, 1, "the response: expected a string, got 1"),
    (FLAG, 1, "the response: expected true or false, got 1"),
    (COUNT, True, "the response: expected a count, got true"),
    (COUNT, 1.0, "the response: expected a count, got 1.0"),
    (COUNT, -1, "the response: expected a count, got -1"),
    (AMOUNT, "1", "the response: expected a number of at least 0, got '1'"),
    (AMOUNT, float("nan"), "the response: expected a number of at least 0, got nan"),
    (PERCENT, 100.5, "the response: expected a percentage, got 100.5"),
    (SHARE, 1.5, "the response: expected a share of 1, got 1.5"),
    (MOMENT, "2026-11-23", "the response: expected a moment in ISO 8601, got '2026-11-23'"),
    (MOMENT, 1795440000, "the response: expected a moment in ISO 8601, got 1795440000"),
    (DAY, "20261123", "the response: expected a day, as YYYY-MM-DD, got '20261123'"),
    (UUID, "zzz", "the response: expected a UUID, got 'zzz'"),
    (NOTHING, 0, "the response: expected null, got 0"),
    (OBJECT, [], "the response: expected an object, got []"),
    (VERSION, "latest", "the response: expected a version, got 'latest'"),
    (PATH, "docs", "the response: expected a path, got 'docs'"),
    (holding("no key", "denied"), "", "the response: expected text with 'no key' or 'denied', got ''"),
    (equal(1), True, "the response: expected 1, got true"),
    (one_of("a", "b"), "c", "the response: expected one of a, b, got 'c'"),
    (like(r"\d{4}"), "42420", r"the response: expected text like \d{4}, got '42420'"),
    (maybe(COUNT), "1", "the response: expected a count, got '1'"),
    (some(TEXT), [], "the response: expected a list of at least 1, got []"),
    (each(TEXT), {}, "the response: expected a list, got {}"),
    (each({"id": TEXT}), [{"id": "a"}, {}], "1.id: missing"),
    (named({"n": COUNT}), {"a": {"n": "1"}}, "a.n: expected a count, got '1'"),
    (named(COUNT, least=1), {}, "the response: expected an object of at least 1 names, got {}"),
    ({"a": {"b": COUNT}}, {"a": None}, "a: expected an object, got null"),
]


@pytest.mark.parametrize(("shape", "value"), GOOD)
def test_a_value_of_the_kind_fits(shape: Shape, value: object) -> None:
    assert list(mismatches(value, shape)) == []


@pytest.mark.parametrize(("shape", "value", "problem"), BAD)
def test_a_value_of_another_kind_is_told_with_its_place(shape: Shape, value: object, problem: str) -> None:
    assert list(mismatches(value, shape)) == [problem]


def test_a_long_value_is_not_shown_whole() -> None:
    (problem,) = mismatches("x" * 500, COUNT)
    assert len(problem) < 120


def test_every_mismatch_of_a_response_is_told_with_the_exchange() -> None:
    exchange = Exchange(
        service="gateway",
        via="direct",
        route="/things/{id}",
        request=SentRequest("GET", "http://127.0.0.1/things/7", {}),
        response=ReceivedResponse(200, {}, '{"a": "1"}'),
        error=None,
        started=0.0,
        elapsed=0.1,
    )
    response = Response(200, Headers([("content-type", "application/json")]), b'{"a": "1"}', '{"a": "1"}', exchange)
    assert shaped(response, {"a": TEXT}) == {"a": "1"}
    with pytest.raises(UnexpectedResponse) as caught:
        shaped(response, {"a": COUNT, "b": TEXT})
    message = str(caught.value)
    assert "a: expected a count, got '1'; b: missing" in message
    assert "/things/{id}" in message
    assert caught.value.exchange is exchange
