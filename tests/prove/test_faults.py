"""Faults are lines of text, generated from responses."""

from __future__ import annotations

import json

import pytest

from pytest_gaia.errors import ConfigError
from pytest_gaia.prove.faults import FIELDS, FURTHER, Fault, Route, Seen, another, faults_of, fields_of, parse

ROUTE = Route("gateway", "GET", "/api/v0.2/usage/{user_id}")

LINES = [
    "gateway GET /usage reset",
    "gateway GET /usage slow 0.5",
    "gateway GET /usage status 500",
    "gateway GET /usage status 200 {}",
    "gateway GET /usage drop limits.*.tier",
    'gateway GET /usage set limits.tier "another tier"',
    "gateway GET /usage set limits.tier null",
]


@pytest.mark.parametrize("line", LINES)
def test_a_fault_is_a_line_and_back(line: str) -> None:
    assert str(parse(line, "--fault")) == line


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("gateway GET /usage", "expected SERVICE METHOD ROUTE KIND"),
        ("", "expected SERVICE METHOD ROUTE KIND"),
        ("gateway GET /usage dropp tier", "did you mean drop?"),
        ("gateway GET /usage drop", "expected drop FIELD"),
        ("gateway GET /usage set tier", "expected set FIELD JSON"),
        ("gateway GET /usage set tier gold", "'gold' is not JSON; a text needs quotes"),
        ("gateway GET /usage reset now", "expected reset:"),
        ("gateway GET /usage status", r"expected status STATUS \[JSON\]"),
        ("gateway GET /usage status ok", "'ok' is not a number"),
        ("gateway GET /usage slow true", "'true' is not a number"),
    ],
)
def test_a_wrong_line_is_one_message_with_its_place(line: str, problem: str) -> None:
    with pytest.raises(ConfigError, match=f"^faults.txt:7: .*{problem}"):
        parse(line, "faults.txt:7")


def test_each_route_has_faults_of_the_whole_response_and_of_each_field() -> None:
    found = [
        str(fault).removeprefix(f"{ROUTE} ")
        for fault in faults_of(Seen(ROUTE, fields={"tier": '"free"', "end": "null"}))
    ]

    assert found == [
        "status 500",
        "status 200 {}",
        "reset",
        "slow 0.5",
        "drop tier",
        "set tier null",
        'set tier "another"',
        "drop end",
        'set end "another"',
    ]


def test_further_kinds_are_generated_on_demand() -> None:
    seen = Seen(ROUTE, fields={"items": "[1]", "none": "[]"}, denied=True, changes=True)
    found = [str(fault).removeprefix(f"{ROUTE} ") for fault in faults_of(seen, FURTHER)]

    assert found == ["accept_any_key", "stale", 'header content-type "text/plain"', "shorten items", "double items"]
    assert [str(parse(f"{ROUTE} {line}", "here")).removeprefix(f"{ROUTE} ") for line in found] == found
    assert faults_of(Seen(ROUTE), FURTHER) == []


@pytest.mark.parametrize("value", ["text", "another", 3, 2.5, True, False, [1], [], {"a": 1}, {}])
def test_another_value_has_the_same_type(value: object) -> None:
    other = another(value)

    assert other != value
    assert type(other) is type(value)


def test_fields_near_the_root_come_first_and_items_of_lists_are_stars() -> None:
    content = {"a": {"b": {"c": 1}}, "items": [{"id": 1}, {"id": 2}], "z": None, "with space": 1, "with.dot": {"x": 1}}

    assert list(fields_of(content)) == ["a", "items", "z", "a.b", "items.*.id", "a.b.c"]
    assert list(fields_of([{"id": 1}])) == ["*.id"]
    assert fields_of("text") == {}
    assert len(fields_of({str(number): number for number in range(40)})) == FIELDS


def test_arguments_are_those_of_the_sandbox() -> None:
    fault = parse('gateway post /usage status 418 {"a": [1]}', "here")

    assert fault == Fault(Route("gateway", "POST", "/usage"), "status", value="418", body='{"a": [1]}')
    assert fault.arguments == {"route": "/usage", "method": "POST", "status": 418, "body": {"a": [1]}}
    assert parse("gateway GET /usage set a null", "here").arguments["value"] is None
    assert json.dumps(parse("gateway GET /usage slow 0.25", "here").arguments["delay"]) == "0.25"
