"""The comparison detects differences: a contract that accepts anything proves nothing."""

from __future__ import annotations

from typing import Any

import pytest

from tests.sandbox.contract.shapes import problems


@pytest.mark.parametrize(
    ("shape", "like", "unlike"),
    [
        ("str", "x", 1),
        ("int", 1, 1.0),
        ("int", 1, True),
        ("num", 1.0, 1),
        ("bool", False, 0),
        ("null", None, ""),
        ("uuid", "6a1a0000-0000-4000-8000-000000000001", "6a1a"),
        ("time", "2026-01-01T10:00:00.5", "2026-01-01T10:00:00Z"),
        ("zoned", "2026-01-01T10:00:00+00:00", "2026-01-01T10:00:00"),
        ("=x", "x", "xy"),
        ("^x", "xy", "yx"),
        ("=id {persona_id}", "id 7", "id 8"),
        ({"a": "int"}, {"a": 1}, {}),
        ({"a": "int"}, {"a": 1}, {"a": 1, "b": 1}),
        ({"a": "int"}, {"a": 1}, [1]),
        ({"*": "bool"}, {"any": True}, {"any": 1}),
        ({"*": "bool"}, {"any": True}, {}),
        ({}, {}, {"a": 1}),
        ([], [], [1]),
        (["int"], [1, 2], []),
        (["=a", "=b"], ["a", "b", "c"], ["b", "a"]),
        (["=a"], ["a", "a", "b"], ["a", "b"]),
        (["=a", "int"], ["a", 1, "x", 2], ["a", 1, None]),
        ({"exactly": ["a", "b"]}, ["a", "b"], ["b", "a"]),
        ([{"a": {"exactly": ["x"]}}], [{"a": ["x"]}, {"a": ["x"]}, {"a": ["y"]}], [{"a": ["x"]}, {"a": []}]),
    ],
)
def test_tells_like_from_unlike(shape: Any, like: Any, unlike: Any) -> None:
    values = {"persona_id": "7"}

    assert problems(shape, like, values) == []
    assert problems(shape, unlike, values) != []


def test_names_the_place() -> None:
    assert problems({"a": [{"b": "int"}]}, {"a": [{"b": "x"}]}, {}) == ["response.a.0.b: 'x' is not int"]
