"""Read ``.env`` files strictly: ``KEY=VALUE`` lines, each value with its line."""

import re
from collections.abc import Mapping
from pathlib import Path

from pytest_gaia.errors import ConfigError

DOTENV_FILE = ".env"

_ENTRY = re.compile(
    r"""
    [ \t]* (?: export [ \t]+ )?
    (?P<name> [A-Za-z_][A-Za-z0-9_.]* ) [ \t]* = [ \t]*
    (?: '(?P<single> [^']* )'                  # literal, may go over several lines
      | "(?P<double> (?: [^"\\] | \\. )* )"    # with \n, \t, \", \\ and \$
      | (?P<plain> [^\s'"\#][^\n]*? | )        # up to the end of the line or to ' #'
    )
    [ \t]* (?: (?<=\s)\#[^\n]* )? \r? (?: \n | \Z )
    """,
    re.VERBOSE | re.DOTALL,
)
_BLANK = re.compile(r"[ \t]*(?:#[^\n]*)?\r?(?:\n|\Z)")
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_ESCAPED = {"n": "\n", "t": "\t", "r": "\r"}


def read_dotenv(path: Path) -> Mapping[str, tuple[str, int]]:
    """Return name → (value, line) of the file at ``path``; empty without a file.

    ``$NAME`` is not expanded. Raises ``ConfigError`` with the line, but never with the value.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        return {}
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path.name}: not UTF-8 (byte {error.start}); save the file as UTF-8.") from None
    except OSError as error:
        raise ConfigError(f"{path.name}: cannot be read: {error.strerror}.") from None
    return dotenv_entries(text, path.name)


def dotenv_entries(text: str, file: str) -> dict[str, tuple[str, int]]:
    """Return name → (value, line) of ``text``, which messages call ``file``. Raises ``ConfigError`` as ``read_dotenv`` does."""
    found: dict[str, tuple[str, int]] = {}
    position = 0
    while position < len(text):
        blank = _BLANK.match(text, position)
        if blank:
            position = blank.end()
            continue
        line = text.count("\n", 0, position) + 1
        entry = _ENTRY.match(text, position)
        if entry is None:
            raise ConfigError(
                f"{file}:{line}: expected KEY=VALUE, with closed quotes. "
                "The line is not shown, because it may contain a secret."
            )
        found[entry["name"]] = (_value(entry), line)
        position = entry.end()
    return found


def _value(entry: re.Match[str]) -> str:
    if entry["single"] is not None:
        return entry["single"]
    if entry["double"] is not None:
        return _ESCAPE.sub(lambda match: _ESCAPED.get(match[1], match[1]), entry["double"])
    return entry["plain"].strip()
