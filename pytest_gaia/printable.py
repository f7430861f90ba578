"""Make text from outside safe to print: every character is visible, and no line is a command to CI.

Responses and names in files appear on terminals, in CI logs and in reports. A control character could overwrite other lines,
a bidirectional character could change the order of text, and GitHub Actions treats lines that begin with ``::`` or contain
``##[`` as commands.
"""

from __future__ import annotations

import os
import re
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

_BLANK = frozenset(
    chr(code)
    for first, last in (
        (0x034F, 0x034F),
        (0x115F, 0x1160),
        (0x17B4, 0x17B5),
        (0x180B, 0x180F),
        (0x2800, 0x2800),
        (0x3164, 0x3164),
        (0xFE00, 0xFE0F),
        (0xFFA0, 0xFFA0),
        (0xE0100, 0xE01EF),
    )
    for code in range(first, last + 1)
)
"""invisible characters that Python calls printable: fillers, joiners, variation selectors"""
_KEPT = "\n\t"
_BREAK = re.compile(r"(?<![ \t])[ \t]*+[\n\r\v\f\x1c-\x1e\x85\u2028\u2029][ \t\n\r\v\f\x1c-\x1e\x85\u2028\u2029]*+|\t")
_CODE = "(?:0?[0124]|2[2-4]|3[1-79]|49|9[0-7])"
_COLOR = re.compile(rf"(\x1b\[(?:{_CODE}(?:;{_CODE}){{0,4}})?m)")
"""color codes of pytest and its libraries, without codes that hide text"""


def visible(text: str) -> str:
    """Return ``text`` with invisible characters as escapes, except line ends and tabs.

    >>> visible("1.0\\x1b[31m \\u202e")
    '1.0\\\\x1b[31m \\\\u202e'
    """
    if text.isascii() and text.isprintable():
        return text
    text = text.replace("\r\n", "\n")
    hidden = {
        ord(sign): _escape(ord(sign))
        for sign in set(text)
        if sign in _BLANK or not (sign.isprintable() or sign in _KEPT)
    }
    return text.translate(hidden) if hidden else text


def one_line(text: str) -> str:
    """Return ``text`` as :func:`visible` does, on one line, for cells and sentences."""
    return visible(_BREAK.sub(" ", text))


def colored(text: str) -> str:
    """Return ``text`` as :func:`visible` does, with its colors."""
    if "\x1b" not in text:
        return visible(text)
    return "".join(part if _COLOR.fullmatch(part) else visible(part) for part in _COLOR.split(text))


def without_colors(text: str) -> str:
    """Return ``text`` without colors."""
    return _COLOR.sub("", text) if "\x1b" in text else text


def _escape(code: int) -> str:
    """Return the escape of a character, as in JSON, because the output may be JSON. Control characters have ``\\x`` escapes."""
    if code < 0x20:
        return f"\\x{code:02x}"
    if code > 0xFFFF:
        high, low = divmod(code - 0x10000, 0x400)
        return f"\\u{0xD800 + high:04x}\\u{0xDC00 + low:04x}"
    return f"\\u{code:04x}"


class SafeStream:
    """A text stream for untrusted text; other methods are those of the stream.

    On GitHub Actions, no line is a command. Control characters other than colors become escapes, unless the stream is a
    terminal and not ``plain``.
    """

    def __init__(self, stream: Any, *, plain: bool = False) -> None:
        self.stream = stream
        self._plain = plain
        # Once, because tests can change the environment of their process.
        self._read_by_actions = os.environ.get("GITHUB_ACTIONS") == "true"
        self._line = ""
        """the line that is being written, as far as it may become a command"""

    def write(self, text: str) -> int:
        """Write ``text``; return how much of it that was: all."""
        self.stream.write(self.safe(text))
        return len(text)

    def writelines(self, lines: Any) -> None:
        """Write them one by one."""
        for line in lines:
            self.write(line)

    def safe(self, text: str) -> str:
        """Return ``text`` as it is written now."""
        # The letter of a test that passes must cost nothing.
        if not (text.isascii() and text.isprintable()) and (self._plain or not self.stream.isatty()):
            # Progress is shown in lines that are written over.
            text = "\r".join(map(colored, text.split("\r")))
        return self._without_commands(text) if self._read_by_actions else text

    @contextmanager
    def commands(self) -> Iterator[None]:
        """As the function."""
        before, self._read_by_actions, self._line = self._read_by_actions, False, ""
        try:
            yield
        finally:
            self._read_by_actions = before

    def _without_commands(self, text: str) -> str:
        written = self._line
        whole = written + text
        begun = whole[max(whole.rfind("\n"), whole.rfind("\r")) + 1 :]
        if _BEGUN.fullmatch(begun):
            self._line = " :" if begun.endswith(":") else ""
        else:
            self._line = f"x{'#' * min(2, len(begun) - len(begun.rstrip('#')))}"
        # What is written already stays: only the last character of what begins a command is another one.
        return _COMMAND.sub(_escaped_command, whole)[len(written) :]

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


def commands(stream: object) -> AbstractContextManager[None]:
    """Return a context in which lines written to ``stream`` may be commands: those that this package makes."""
    return stream.commands() if isinstance(stream, SafeStream) else nullcontext()


_GAP = r"(?:[^\S\n\r]|\x1b\[[0-9;]*m)*"
_COMMAND = re.compile(rf"(?:^|(?<=[\n\r])){_GAP}::|\#\#\[")
_BEGUN = re.compile(rf"{_GAP}:?")


def _escaped_command(found: re.Match[str]) -> str:
    text = found[0]
    return f"{text[:-1]}{_escape(ord(text[-1]))}"
