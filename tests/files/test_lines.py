"""The line on which a key of a TOML text stands."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_gaia.files.toml import broken_line, key_lines, nearest_line, shown

TEXT = '''\
# a comment = 1
title = "x"

[env]
"a.b" = { c = 1, d = { e = 2 } }
[env.staging]   # header
hosts = [
    "[not a header]",
    "key = 1",  # ]
]
note = """
[env.fake]
key = 1
"""
urls.gateway = "u"
[[list]]
x = 1
[env.staging.timeouts]
ready = 3
'''


@pytest.mark.parametrize(
    ("key", "line"),
    [
        (("title",), 2),
        (("env",), 4),
        (("env", "a.b"), 5),
        (("env", "a.b", "d", "e"), 5),
        (("env", "staging"), 6),
        (("env", "staging", "hosts"), 7),
        (("env", "staging", "note"), 11),
        (("env", "staging", "urls", "gateway"), 15),
        (("list", "x"), 17),
        (("env", "staging", "timeouts"), 18),
        (("env", "staging", "timeouts", "ready"), 19),
    ],
)
def test_a_key_is_found_on_the_line_on_which_it_starts(key: tuple[str, ...], line: int) -> None:
    assert key_lines(TEXT, "gaia.toml")[key] == line
    assert key_lines(TEXT.replace("\n", "\r\n"), "gaia.toml")[key] == line


def test_what_only_looks_like_a_key_is_none() -> None:
    assert ("env", "fake") not in key_lines(TEXT, "gaia.toml")
    assert ("env", "staging", "key") not in key_lines(TEXT, "gaia.toml")


def test_each_table_of_an_array_has_lines_of_its_own() -> None:
    text = "[[a.b]]\nx = 1\n[[a.b.c]]\ny = 1\n[[a.b.c]]\ny = 2\n[[a.b]]\nx = 2\n[[a.b.c]]\ny = 3\n[a.b.d]\nz = 1\n"

    found = key_lines(text, "gaia.toml")

    assert [found["a", "b", f"[{number}]", "x"] for number in (0, 1)] == [2, 8]
    assert [found["a", "b", "[0]", "c", f"[{number}]", "y"] for number in (0, 1)] == [4, 6]
    assert found["a", "b", "[1]", "c", "[0]", "y"] == 10
    assert found["a", "b", "[1]", "d", "z"] == 12
    assert shown(("a", "b", "[1]", "c", "[0]", "y")) == "a.b.c.y"


def test_a_key_that_is_not_there_is_shown_at_the_table_around_it() -> None:
    assert nearest_line(key_lines(TEXT, "gaia.toml"), ("env", "staging", "missing", "deep")) == 6
    assert nearest_line({}, ("x",)) == 1


NAMES = st.sampled_from(["a", "b", "c", "d-e"])
VALUES = st.sampled_from(["1", '"x"', '"""\nx = 1\n[y]\n"""', "[\n  1,\n]", "{ p = 1, q = [2] }", "'''\n'''"])


@given(st.lists(st.tuples(NAMES, st.dictionaries(NAMES, VALUES, max_size=3)), max_size=4, unique_by=lambda x: x[0]))
def test_every_key_of_any_document_has_the_line_that_it_was_written_on(
    tables: list[tuple[str, dict[str, str]]],
) -> None:
    lines: list[str] = []
    written: dict[tuple[str, ...], int] = {}
    for table, values in tables:
        lines += ["# comment", f"[{table}]"]
        written[table,] = len(lines)
        for key, value in values.items():
            written[table, key] = len(lines) + 1
            lines += f"{key} = {value}".split("\n")
    text = "\n".join(lines)
    tomllib.loads(text)

    found = key_lines(text, "gaia.toml")

    assert {key: found[key] for key in written} == written


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a = 1\nb = \nc = 3\n", 2),
        ("a = 1\n\nb = [1,\n2,\n", 3),
        ('a = 1\nb = """x\ny\n', 2),
        ("a = 1\n[x\n", 2),
        ("a = 1\na = 2\n", 2),
    ],
)
def test_a_malformed_text_is_shown_where_it_breaks(text: str, line: int) -> None:
    def loads() -> dict[str, Any]:
        return tomllib.loads(text)

    with pytest.raises(tomllib.TOMLDecodeError) as caught:
        loads()

    assert broken_line(text, caught.value) == line
