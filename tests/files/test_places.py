"""Where a key stands in TOML, and which comment is on which line."""

from __future__ import annotations

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_gaia.files.toml import toml_comments, toml_places

TEXT = '''\
a = 1
[[t]]            # first
k = { x = 1, list = [{ y = 1 }, { y = 2 }] }
[[t.u]]
v = "#"
[[t.u]]
w = """
# not a comment
"""              # a comment
[t.plain]
z = '#'
[[t]]
k = 2 # '
[[t.u]]
v = 3
'''


@pytest.mark.parametrize(
    ("key", "line"),
    [
        ("a", 1),
        ("t", 2),
        ("t[0]", 2),
        ("t[0].k.x", 3),
        ("t[0].k.list[1].y", 3),
        ("t[0].u[0].v", 5),
        ("t[0].u[1]", 6),
        ("t[0].u[1].w", 7),
        ("t[0].plain.z", 11),
        ("t[1]", 12),
        ("t[1].k", 13),
        ("t[1].u[0].v", 15),
        ("t.u.v", 5),
        ("t.k", 3),
    ],
)
def test_every_key_is_found_by_number_and_the_first_without(key: str, line: int) -> None:
    tomllib.loads(TEXT)

    assert toml_places(TEXT, "f")[key].line == line


def test_the_key_of_a_place_is_as_people_write_it() -> None:
    assert toml_places(TEXT, "f")["t[0].u[1].w"].key == "t.u.w"


def test_comments_stand_on_their_lines_and_none_in_a_string() -> None:
    assert toml_comments(TEXT) == {2: "first", 9: "a comment", 13: "'"}


@pytest.mark.parametrize(
    "text",
    [
        'a = "\\"#" # c',
        "a = '''\n#'''# c",
        'a = """"#"""" # c',
        "a = '\\' # c",
        "# c",
        'a."#b" = 1 # c',
        "a = [\n  1,\n  2,\n] # c",
    ],
)
def test_no_string_hides_or_makes_a_comment(text: str) -> None:
    tomllib.loads(text)

    assert toml_comments(text) == {text.count("\n") + 1: "c"}


@given(st.text(alphabet="\"'#\\ax\n =[]{}1", max_size=40))
def test_any_valid_text_has_places_and_comments_on_lines_of_it(text: str) -> None:
    try:
        tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return
    lines = range(1, text.count("\n") + 2)

    assert {place.line for place in toml_places(text, "f").values()} <= set(lines)
    assert set(toml_comments(text)) <= set(lines)
