"""Text from outside as it is shown: visible, on its line, and never a command."""

from __future__ import annotations

import io
import json
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_gaia.printable import SafeStream, colored, one_line, visible
from tests.hostile import HOSTILE, planted


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\x1b[31mb\x07\x7f", r"a\x1b[31mb\x07\u007f"),
        ("\u202eevil\u2066 a\u200bb\u00adc", r"\u202eevil\u2066 a\u200bb\u00adc"),
        ("\x9b1m\u2028\xa0", r"\u009b1m\u2028\u00a0"),
        ("rita\u3164\u115f\u2800\ufe0f\U000e0100", r"rita\u3164\u115f\u2800\ufe0f\udb40\udd00"),
        ("Zoë 🙂 日本\n\tδ", "Zoë 🙂 日本\n\tδ"),
        ("a\r\nb\rc", "a\nb\\x0dc"),
    ],
)
def test_every_character_can_be_seen(text: str, shown: str) -> None:
    assert visible(text) == shown
    assert visible(shown) == shown
    assert one_line(f" {text}\n \r\n{text}") == f" {one_line(text)} {one_line(text)}"


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_what_is_shown_of_a_document_is_the_same_document(text: str) -> None:
    document = json.dumps([text], ensure_ascii=False)

    assert json.loads(visible(document)) == [text]
    assert visible(document).replace("🙂", "").isprintable() or "\t" in document


def test_colours_stay_and_nothing_else_that_a_terminal_obeys() -> None:
    assert colored("\x1b[1m\x1b[31mred\x1b[39;49;00m") == "\x1b[1m\x1b[31mred\x1b[39;49;00m"
    assert colored("\x1b[8mhidden\x1b[2J\x1b[30;40m\x1b]8;;x\x07") == r"\x1b[8mhidden\x1b[2J\x1b[30;40m\x1b]8;;x\x07"


@pytest.mark.parametrize("size", [1, 2, 3, 7, 10_000])
@pytest.mark.parametrize(
    "text",
    [
        HOSTILE,
        "::a",
        " \t\x0b\u2003::a\n\r\x1b[1m ::a",
        "x\n:",
        "###[a] ####[a]",
        "\n" * 3 + "::\n::::",
        "a ::b:: #[c]",
    ],
)
def test_no_line_is_a_command_however_it_is_written(size: int, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    file = io.StringIO()
    stream = SafeStream(file, plain=True)

    for start in range(0, len(text), size):
        stream.write(text[start : start + size])

    assert planted(file.getvalue().replace("\x1b[1m", "").replace("\x1b[31m", "")) == []
    if size > len(text):
        written = file.getvalue().replace("\\u003a", ":").replace("\\u005b", "[")
        assert written == "\r".join(map(colored, text.split("\r")))


def test_our_own_commands_are_commands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    file = io.StringIO()
    stream = SafeStream(file)

    with stream.commands():
        stream.write("::notice title=gaia::a\n")
    stream.write("::notice title=gaia::b\n")

    assert file.getvalue() == "::notice title=gaia::a\n:\\u003anotice title=gaia::b\n"


def test_elsewhere_a_line_may_begin_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)
    file = io.StringIO()
    SafeStream(file).write("::a ##[b]")

    assert file.getvalue() == "::a ##[b]"


@pytest.mark.parametrize("text", ["\n", " ", ":", "#", "\x1b[0m", "\x1b[", "\x1b[1;1;1;1;", "\u202e"])
def test_a_megabyte_of_anything_is_written(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Anything worse than linear would not come to an end."""
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    stream = SafeStream(io.StringIO())
    long = text * (1_000_000 // len(text))

    stream.write(long)
    stream.write(one_line(long))
    for _ in range(1000):
        stream.write(text)


def test_what_python_calls_printable_is_looked_through() -> None:
    """Every character that Unicode wants ignored where it cannot be shown, and the blank one of Braille."""
    import unicodedata

    unseen = [
        sign
        for sign in map(chr, range(sys.maxunicode + 1))
        if sign.isprintable()
        and ("VARIATION SELECTOR" in (name := unicodedata.name(sign, "")) or ("HANGUL" in name and "FILLER" in name))
    ]
    assert len(unseen) > 256
    assert [sign for sign in [*unseen, "\u2800", "\u034f", "\u17b4"] if visible(sign) == sign] == []
