"""What a selector covers, and how specific it is."""

from __future__ import annotations

import pytest

from pytest_gaia.expectations.subjects import keys_of, parse_selector
from tests.expectations.build import subject

NODE = "suites/personas/test_crud.py::TestCreate::test_name[a b]"


@pytest.mark.parametrize(
    "text",
    [
        "all",
        "suites",
        "suites/",
        "suites/personas",
        "suites/personas/test_crud.py",
        "suites/personas/test_crud.py::TestCreate",
        "suites/personas/test_crud.py::TestCreate::test_name",
        NODE,
        "service:chat",
        "marker:experimental",
    ],
)
def test_covers_what_it_names(text: str) -> None:
    assert parse_selector(text).covers(subject(NODE, markers=("experimental",), services=("chat", "nats")))


@pytest.mark.parametrize(
    "text",
    [
        "suites/persona",
        "suites/personas/test_crud",
        "suites/personas/test_crud.p",
        "personas",
        "suites/personas/test_crud.py::TestC",
        "suites/personas/test_crud.py::test_name",
        "suites/personas/test_crud.py::TestCreate::test_nam",
        "suites/personas/test_crud.py::TestCreate::test_name[a]",
        "suites/personas/test_crud.py::TestCreate::test_name[a b c]",
        "suites/personas/test_crud.py::TestCreate::test_name[A B]",
        "service:asset",
        "marker:experimenta",
        "marker:chat",
    ],
)
def test_covers_nothing_beyond_a_boundary(text: str) -> None:
    assert not parse_selector(text).covers(subject(NODE, markers=("experimental",), services=("chat",)))


@pytest.mark.parametrize(
    "parameters", ["a b", "[]", "]", "a[b]", "a/b", "a::b", "::", "GET /api/*", "ключ", "x]::test_y[z", "", "a?b", " "]
)
def test_what_stands_in_brackets_is_taken_as_it_is(parameters: str) -> None:
    test = subject(f"suites/x/test_y.py::test_z[{parameters}]")

    assert parse_selector(test.node).covers(test)
    assert parse_selector("suites/x/test_y.py::test_z").covers(test)
    assert parse_selector("suites/x/test_y.py").covers(test)
    assert not parse_selector(test.node).covers(subject("suites/x/test_y.py::test_z[other]"))
    assert not parse_selector(test.node).covers(subject("suites/x/test_y.py::test_z"))


def test_the_more_specific_selector_has_the_higher_rank() -> None:
    texts = [
        "all",
        "service:chat",
        "suites",
        "suites/personas",
        "suites/personas/test_crud.py",
        "suites/personas/test_crud.py::TestCreate",
        "suites/personas/test_crud.py::TestCreate::TestInner",
        "suites/personas/test_crud.py::TestCreate::TestInner::test_name",
        "suites/personas/test_crud.py::TestCreate::TestInner::test_name[a]",
    ]
    ranks = [parse_selector(text).rank for text in texts]

    assert ranks == sorted(ranks)
    assert len(set(ranks)) == len(ranks)
    assert parse_selector("service:chat").rank == parse_selector("marker:slow").rank


def test_keys_of_a_test_go_from_the_most_specific_to_all() -> None:
    keys = keys_of(subject(NODE, markers=("slow",), services=("chat",)))
    ranks = [parse_selector(key).rank for key in keys]

    assert keys[0] == NODE
    assert keys[-1] == "all"
    assert ranks == sorted(ranks, reverse=True)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "empty"),
        (" suites", "begins or ends with a space"),
        ("/suites/x", "absolute"),
        ("C:/suites", "absolute"),
        ("suites\\x", "backslash"),
        ("./suites", "'.'"),
        ("suites/../x", "'..'"),
        ("suites//x", "empty part"),
        ("suites/*", "wildcard"),
        ("suites/test_?.py", "wildcard"),
        ("suites/x.py::test_*", "wildcard"),
        ("suites/x.py::", "empty name"),
        ("suites/x.py::::test_a", "empty name"),
        ("::test_a", "empty part"),
        ("suites/x.py::test_a[b", "does not end with"),
        ("suites/x.py::[b]", "empty name"),
        ("service:", "has no name"),
        ("marker:", "has no name"),
    ],
)
def test_a_malformed_selector_says_what_is_wrong(text: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem.replace(".", r"\.").replace("'", ".")):
        parse_selector(text)
