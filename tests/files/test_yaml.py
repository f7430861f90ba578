"""YAML: values by YAML 1.2, lines, merges, and texts that mean harm."""

from __future__ import annotations

from textwrap import dedent
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from pytest_gaia.errors import ConfigError
from pytest_gaia.files.yaml import MOST_CHARACTERS, read_yaml, yaml_comments


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("2222:22", "2222:22"),
        ("0777", "0777"),
        ("0o17", 15),
        ("0x1f", 31),
        ("12", 12),
        ("-3", -3),
        ("1_000", "1_000"),
        ("1.5", 1.5),
        ("1e3", 1000.0),
        ("yes", "yes"),
        ("on", "on"),
        ("true", True),
        ("False", False),
        ("tRUE", "tRUE"),
        ("null", None),
        ("~", None),
        ("", None),
        ('"12"', "12"),
        ("'true'", "true"),
        ("!!str 12", "12"),
        ("2024-01-31", "2024-01-31"),
        ("9" * 40, "9" * 40),
    ],
)
def test_a_value_means_what_yaml_1_2_says(written: str, value: Any) -> None:
    document, _ = read_yaml(f"a: {written}\n", "f")

    assert document == {"a": value}
    assert type(document["a"]) is type(value)


def test_merges_are_laid_below_and_the_first_of_several_wins() -> None:
    document, places = read_yaml(
        dedent(
            """\
            a: &a {x: 1, y: 1}
            b: &b {y: 2, z: 2}
            c:
              z: 3
              <<: [*a, *b]
            """
        ),
        "f",
    )

    assert document["c"] == {"x": 1, "y": 1, "z": 3}
    assert (places["c.x"].line, places["c.z"].line) == (1, 4)


def test_a_quoted_merge_sign_is_a_key() -> None:
    assert read_yaml('a: {"<<": 1}\n', "f")[0] == {"a": {"<<": 1}}


def test_elements_of_lists_have_numbers() -> None:
    _, places = read_yaml("a:\n  - x: 1\n  -\n    x: 2\n  - [3, 4]\n", "f")

    assert (places["a[0].x"].line, places["a[1].x"].line, places["a[2][1]"].line) == (2, 4, 5)
    assert places["a[1].x"].key == "a.x"


def test_an_empty_text_is_nothing() -> None:
    assert read_yaml("# nothing\n", "f") == (None, {})


LAUGHS = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 10)
)
MERGES = "a0: &a0 {x: 1}\n" + "".join(f"a{n}: &a{n}\n  <<: [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 12))

HARM = {
    "a billion laughs": (LAUGHS, "f:1: not a deploy file: its aliases expand to more values"),
    "a billion merges": (MERGES, "its aliases expand to more values"),
    "a list of itself": ("a: &a [*a]\n", "nested too deep"),
    "a table of itself": ("a: &a {b: *a}\n", "its aliases expand to more values"),
    "a table merged into itself": ("a: &a {<<: *a}\n", "its aliases expand to more values"),
    "a tower": ("[" * 1200, "nested too deep"),
    "a text without end": ("a: " + "x" * MOST_CHARACTERS, "characters are more than a deploy file can have"),
    "a key given twice": ("a: 1\nb: 2\na: 3\n", "f:3: not a deploy file: the key 'a' is duplicated."),
    "a key that is a list": ("[a, b]: 1\n", "f:1: not a deploy file: a key must be plain text."),
    "an alias of nothing": ("a: *b\n", "f:1: not valid YAML: found undefined alias 'b'."),
    "two documents": ("a: 1\n---\nb: 2\n", "f:2: not valid YAML: but found another document."),
    "an open bracket": ("a: [1,\nb: 2\n", "not valid YAML"),
    "a tab": ("a:\n\tb: 1\n", "f:2: not valid YAML: found character '\\t' that cannot start any token."),
    "a control character": ("a: 1\nb: \x00\n", "f:2: not valid YAML: it contains a control character."),
    "a merge of a word": ("a: {<<: b}\n", "f:1: not a deploy file: only a table can be merged with '<<'."),
}


@pytest.mark.parametrize(("text", "message"), HARM.values(), ids=HARM.keys())
def test_a_text_that_is_broken_or_means_harm_is_refused_with_its_line(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        read_yaml(text, "f")

    assert str(error.value).startswith("f")
    assert message in str(error.value)


def test_no_tag_makes_an_object() -> None:
    document, _ = read_yaml("a: !!python/object/apply:os.system ['exit 1']\nb: !reset null\n", "f")

    assert document == {"a": ["exit 1"], "b": None}


def test_comments_stand_on_their_lines_and_none_in_a_value() -> None:
    text = dedent(
        """\
        # head
        a: b # one
        c: "# no" # two
        d: x#no
        e: |   # three
          # no
          text
        f: [1, 2] # four
        g: 'a
          # no
          b' # five
        """
    )

    assert yaml_comments(text) == {1: "head", 2: "one", 3: "two", 5: "three", 8: "four", 11: "five"}


@given(st.text(alphabet="ab:-[]{}'\"#&*|>!\n ,1<", max_size=40))
def test_any_text_is_read_or_refused_with_a_message(text: str) -> None:
    try:
        _, places = read_yaml(text, "f")
    except ConfigError:
        return
    lines = range(1, text.count("\n") + 2)

    assert {place.line for place in places.values()} <= set(lines)
    assert set(yaml_comments(text)) <= set(lines)
    yaml.compose(text)
