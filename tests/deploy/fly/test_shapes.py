from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_gaia.deploy.fly import shapes
from pytest_gaia.deploy.fly.shapes import NotJson, find_json

MACHINES = [{"id": "m1", "config": {"env": {"GREETING": "[hello]\n{world}"}}}, {"id": "m2"}]
PRINTED = json.dumps(MACHINES, indent=4)


@pytest.mark.parametrize(
    "text",
    [
        PRINTED,
        json.dumps(MACHINES),
        f"Update available 0.4.87 -> v0.4.88.\n{PRINTED}\n",
        f"{PRINTED}\nWARN {{see the docs}}\n",
        f"{{not json, [really\n{PRINTED}\n",
        f"[info] waiting\n[1]\n{PRINTED}\n[done]\n",
        f'{{"level": "info"}}\n{PRINTED}\n',
    ],
)
def test_the_answer_is_found_among_other_lines(text: str) -> None:
    assert find_json(text) == MACHINES


@pytest.mark.parametrize("text", ["", "No managed postgres clusters found in organization gaia", "{not json", "\n"])
def test_text_is_no_json(text: str) -> None:
    with pytest.raises(NotJson, match="no JSON in its output"):
        find_json(text)


@pytest.mark.parametrize("depth", [5_000, 200_000])
def test_json_that_is_nested_without_end_is_no_crash(depth: int) -> None:
    with pytest.raises(NotJson):
        find_json("[" * depth + "\n")


@given(st.text())
def test_any_text_is_an_answer_or_an_error(text: str) -> None:
    with suppress(NotJson):
        find_json(text)


def test_null_is_an_empty_list() -> None:
    assert shapes.releases(find_json("null\n")) == ()


def test_releases_come_newest_first() -> None:
    values = [
        {"Version": 3, "Status": "failed", "ImageRef": "a:3", "Metadata": None},
        {"Version": 4, "Status": "complete"},
    ]

    found = shapes.releases(values)

    assert [(release.version, release.complete) for release in found] == [(4, True), (3, False)]


def test_secrets_are_known_by_name_alone() -> None:
    values = [
        {"name": "DATABASE_URL", "digest": "b1946ac9", "status": "Deployed"},
        {"name": "API_KEY", "digest": "591785b7"},
    ]

    assert shapes.secret_names(values) == {"DATABASE_URL", "API_KEY"}


@pytest.mark.parametrize(
    ("stdout", "version"),
    [
        ('Watch your deployment\n{"id":"x","version":42,"image_ref":"a:1"}\n\nVisit your app\n', 42),
        ('{"id":"x","version":41,"image_ref":"a:1"}\n{"id":"y","version":42,"image_ref":"a:2"}\n{"msg":"bye"}\n', 42),
        ("nothing\n{}\n{broken\n", None),
        ('{"id":"x","version":"42","image_ref":"a:1"}\n', None),
    ],
)
def test_the_release_is_on_the_last_line_that_is_one(stdout: str, version: int | None) -> None:
    emitted = shapes.emitted(stdout)

    assert (emitted and emitted.version) == version


@pytest.mark.parametrize(
    ("read", "value"),
    [
        (shapes.status, {"Name": 3}),
        (shapes.status, []),
        (shapes.releases, {"data": []}),
        (shapes.releases, [{"Vercion": 1}]),
        (shapes.secret_names, [1]),
        (shapes.log_line, {"message": 1}),
    ],
)
def test_another_shape_is_an_error(read: Any, value: Any) -> None:
    with pytest.raises(NotJson):
        read(value)
