"""Formatting an expectation does not change its meaning."""

from __future__ import annotations

import tomllib
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_gaia.expectations.formatting import KEY_ORDER, document, formatted, setting, toml
from tests.expectations.build import EXPECTATION


def test_an_expectation_in_its_form_stays_as_it_is() -> None:
    assert formatted(EXPECTATION) == EXPECTATION


def test_keys_come_in_their_order_and_values_in_one_form() -> None:
    untidy = """
tests   = [ "suites/a",
            "suites/b" ]
match.status = 503
reason = 'not
 there'
max_failures=3
match.via = "gateway"
environments=["staging",]
"""
    untidy = untidy.replace("'not\n there'", "'not there'")

    assert formatted(untidy) == (
        'reason = "not there"\n'
        'environments = ["staging"]\n'
        'tests = ["suites/a", "suites/b"]\n'
        'match = { status = 503, via = "gateway" }\n'
        "max_failures = 3\n"
    )


def test_a_table_without_comments_becomes_a_line() -> None:
    assert formatted('[match]\nstatus = [404, 503]\n\n[when]\ncapability = "!chat"\n') == (
        'when = { capability = "!chat" }\nmatch = { status = [404, 503] }\n'
    )


def test_operations_follow_the_tests_and_conditions_become_a_line() -> None:
    text = '[when]\noffers = ["GET /v2/a",\n"!GET /b"]\n'

    assert formatted(f'expect = "removed"\noperations=[ "GET /v1/*" ]\nenvironments = ["dev"]\n{text}') == (
        'environments = ["dev"]\n'
        'operations = ["GET /v1/*"]\n'
        'expect = "removed"\n'
        'when = { offers = ["GET /v2/a", "!GET /b"] }\n'
    )


def test_a_long_list_has_one_value_a_line() -> None:
    tests = [f"suites/personas/test_crud.py::test_number_{n}" for n in range(4)]
    text = formatted(f"tests = {toml(tests)}\n")

    assert text.splitlines() == ["tests = [", *(f'    "{test}",' for test in tests), "]"]


def test_comments_stay_with_what_they_are_about() -> None:
    text = """\
# Personas: see the plan.

# how it looks
match = { message = "a # b", status = 503 } # both seen
tests = [
  "suites/b", # the second
  # and the first
  "suites/a",
]
# who asked
issue="GAIA-1"
# the end
"""

    assert (
        formatted(text)
        == """\
# Personas: see the plan.

# who asked
issue = "GAIA-1"
tests = [
  "suites/b", # the second
  # and the first
  "suites/a",
]
# how it looks
match = { message = "a # b", status = 503 } # both seen
# the end
"""
    )


def test_a_table_with_comments_stays_a_table_and_comes_last() -> None:
    text = '[match]\n# seen twice\nstatus = 503\n[when]\ncapability = "!chat"\n'

    assert formatted(text) == 'when = { capability = "!chat" }\n\n[match]\n# seen twice\nstatus = 503\n'


@pytest.mark.parametrize("text", ["", "\n", "# only a comment\n", "# one\n\n# two\n"])
def test_a_file_without_keys_is_left_to_its_comments(text: str) -> None:
    assert formatted(text) == "".join(f"{line}\n" for line in text.splitlines() if line)


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
values = st.one_of(
    texts,
    st.integers(-(10**6), 10**6),
    st.booleans(),
    st.dates(date(1, 1, 1)),
    st.lists(texts, max_size=6),
    st.dictionaries(st.sampled_from(["status", "via", "message"]), texts | st.lists(texts, max_size=3), max_size=3),
)
documents = st.dictionaries(st.sampled_from(KEY_ORDER), values)
comments = st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), max_size=12).map(lambda text: f"# {text}\n")


@given(documents)
def test_what_is_written_is_read_back(content: dict[str, object]) -> None:
    assert tomllib.loads(document(content)) == content


@given(documents, st.lists(comments, min_size=len(KEY_ORDER), max_size=len(KEY_ORDER)))
def test_formatting_keeps_meaning_and_comments_and_settles_at_once(
    content: dict[str, object], above: list[str]
) -> None:
    lines = [f"{comment}{setting(key, value)}\n" for comment, (key, value) in zip(above, content.items(), strict=False)]
    text = "".join(lines)
    once = formatted(text)

    assert tomllib.loads(once) == content
    assert formatted(once) == once
    assert [key for key in KEY_ORDER if key in content] == list(tomllib.loads(once))
    assert sorted(line for line in once.split("\n") if line.startswith("#")) == sorted(
        comment.strip() for comment in above[: len(content)]
    )


def test_old_names_are_replaced() -> None:
    old = 'why = "x" # comment\nadded = 2026-01-01\nexpect = "passes"\nmax_tests = 3\nwidened = "y"\n'

    assert formatted(old) == (
        'reason = "x" # comment\ncreated = 2026-01-01\nexpect = "pass"\nmax_failures = 3\njustification = "y"\n'
    )


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('match = {status=503,nats="X"}\n', 'match = { status = 503, reason = "X" }\n'),
        ('[match]\nnats = "nats = X" # why\n', '\n[match]\nreason = "nats = X" # why\n'),
        ('match.nats = "X" # why\n', 'match.reason = "X" # why\n'),
    ],
)
def test_old_names_in_a_signature_are_replaced(old: str, new: str) -> None:
    assert formatted(old) == new
