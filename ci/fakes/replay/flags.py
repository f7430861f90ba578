"""Flags as Go's pflag reads them, with its error messages."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

DURATION = re.compile(r"^(?:\d+(?:\.\d+)?(?:ns|us|ms|s|m|h))+$|^0$")


class Usage(Exception):
    """A usage error with the message of the real tool."""


class Flag(NamedTuple):
    """One flag of a command."""

    name: str
    short: str = ""
    kind: str = "string"
    """string, bool, int, duration or list"""

    def read(self, text: str) -> Any:
        """Return the value of ``text``."""
        if self.kind == "bool":
            if text.lower() not in ("true", "false", "1", "0", "t", "f"):
                raise Usage(self._refusal(text, f'strconv.ParseBool: parsing "{text}": invalid syntax'))
            return text.lower() in ("true", "1", "t")
        if self.kind == "int" and not re.fullmatch(r"[+-]?\d+", text):
            raise Usage(self._refusal(text, f'strconv.ParseInt: parsing "{text}": invalid syntax'))
        if self.kind == "duration" and not DURATION.match(text):
            raise Usage(self._refusal(text, f'time: invalid duration "{text}"'))
        return int(text) if self.kind == "int" else text

    def _refusal(self, text: str, why: str) -> str:
        short = f"-{self.short}, " if self.short else ""
        return f'invalid argument "{text}" for "{short}--{self.name}" flag: {why}'


class Line:
    """A parsed command line."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}
        self.arguments: list[str] = []

    def get(self, name: str, default: Any = None) -> Any:
        """Return the value of a flag."""
        return self.values.get(name, default)

    def put(self, flag: Flag, text: str) -> None:
        """Set a flag, or extend one of kind ``list``."""
        value = flag.read(text)
        if flag.kind == "list":
            self.values.setdefault(flag.name, []).append(value)
        else:
            self.values[flag.name] = value


def flags(text: str) -> list[Flag]:
    """Parse a compact declaration: ``app/a config/c json/j:bool wait-timeout:duration``."""
    declared = []
    for word in text.split():
        names, _, kind = word.partition(":")
        name, _, short = names.partition("/")
        declared.append(Flag(name, short, kind or "string"))
    return declared


def parse(words: list[str], declared: list[Flag], *, interspersed: bool = True) -> Line:
    """Parse a command line. Without ``interspersed``, the first argument ends the flags. Raise ``Usage``."""
    long = {flag.name: flag for flag in declared}
    short = {flag.short: flag for flag in declared if flag.short}
    line, rest = Line(), list(words)
    while rest:
        word = rest.pop(0)
        if word == "--":
            line.arguments += rest
            break
        if word.startswith("--"):
            _long(word, rest, long, line)
        elif word.startswith("-") and word != "-":
            _short(word, rest, short, line)
        else:
            line.arguments.append(word)
            if not interspersed:
                line.arguments += rest
                break
    return line


def _long(word: str, rest: list[str], known: dict[str, Flag], line: Line) -> None:
    name, equals, value = word[2:].partition("=")
    flag = known.get(name)
    if flag is None:
        raise Usage(f"unknown flag: --{name}")
    if not equals:
        if flag.kind == "bool":
            value = "true"
        elif not rest:
            raise Usage(f"flag needs an argument: --{name}")
        else:
            value = rest.pop(0)
    line.put(flag, value)


def _short(word: str, rest: list[str], known: dict[str, Flag], line: Line) -> None:
    letters = word[1:]
    while letters:
        letter, letters = letters[0], letters[1:]
        flag = known.get(letter)
        if flag is None:
            raise Usage(f"unknown shorthand flag: '{letter}' in {word}")
        if flag.kind == "bool" and not letters.startswith("="):
            line.put(flag, "true")
            continue
        value = letters.removeprefix("=") or (rest.pop(0) if rest else None)
        if value is None:
            raise Usage(f"flag needs an argument: '{letter}' in {word}")
        line.put(flag, value)
        return
