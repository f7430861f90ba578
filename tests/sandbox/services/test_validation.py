"""Errors with status 422 in FastAPI's format."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pytest_gaia.sandbox._services.app import HttpError
from pytest_gaia.sandbox._services.validation import OPTIONAL_STRING, STRING, Field, validated

FIELDS = {
    "name": STRING,
    "note": OPTIONAL_STRING,
    "kind": Field((str,), "string", optional=True, choices=("a", "b", "c")),
}


def problems(content: dict[str, object]) -> list[dict[str, Any]]:
    try:
        validated(json.dumps(content).encode(), FIELDS)
    except HttpError as error:
        return list(error.detail) if isinstance(error.detail, list) and error.status_code == 422 else [vars(error)]
    return []


@pytest.mark.parametrize(
    ("content", "kinds"),
    [
        ({"name": "n"}, []),
        ({"name": "n", "note": None, "kind": "b", "more": 1}, []),
        ({}, [("missing", "name", "Field required")]),
        ({"name": 5}, [("string_type", "name", "Input should be a valid string")]),
        ({"name": True}, [("string_type", "name", "Input should be a valid string")]),
        ({"name": "n", "kind": "d"}, [("enum", "kind", "Input should be 'a', 'b' or 'c'")]),
        (
            {"note": 1},
            [("missing", "name", "Field required"), ("string_type", "note", "Input should be a valid string")],
        ),
    ],
)
def test_problems_are_listed(content: dict[str, object], kinds: list[tuple[str, str, str]]) -> None:
    assert [(one["type"], one["loc"][1], one["msg"]) for one in problems(content)] == kinds


def test_problem_quotes_what_was_given() -> None:
    with pytest.raises(HttpError) as error:
        validated(b'{"name": 5}', FIELDS)

    assert error.value.detail == [
        {"type": "string_type", "loc": ["body", "name"], "msg": "Input should be a valid string", "input": 5}
    ]
