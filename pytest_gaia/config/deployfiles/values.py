"""Values in deploy files: tables with the place of every key, and variables in compose files."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_gaia.config.variables import DOTENV_FILE, dotenv_entries
from pytest_gaia.errors import ConfigError, nearest
from pytest_gaia.files.toml import Place, nearest_place
from pytest_gaia.system.processes import git

_VARIABLE = re.compile(
    r"\$(?:\$|\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?P<rest>[^{}$]*)\}|(?P<plain>[A-Za-z_][A-Za-z0-9_]*))"
)
_OPEN = re.compile(r"\$(?:\{[^{}]*\}|[A-Za-z_][A-Za-z0-9_]*)")
_DEFAULT = re.compile(r":?-(?P<default>.*)", re.DOTALL)
_DEEPEST = 10
"""levels of nested defaults"""
_GIT_SECONDS = 10.0
"""time limit of git, in seconds"""


def interpolated(value: Any, known: Mapping[str, str]) -> Any:
    """Return ``value`` with variables in its strings replaced by ``known`` values or defaults; keys stay unchanged."""
    if isinstance(value, dict):
        return {key: interpolated(each, known) for key, each in value.items()}
    if isinstance(value, list):
        return [interpolated(each, known) for each in value]
    return _resolved(value, known) if isinstance(value, str) and "$" in value else value


def committed_variables(folder: Path) -> Mapping[str, str]:
    """Return the variables in the last committed ``.env`` of ``folder``; none if it is not committed or not valid."""
    if not (folder / DOTENV_FILE).is_file():
        return {}
    try:
        shown = git(folder, "show", f"HEAD:./{DOTENV_FILE}", seconds=_GIT_SECONDS)
        shown.check_returncode()
        found = dotenv_entries(shown.stdout.decode("utf-8-sig"), DOTENV_FILE)
    except (OSError, subprocess.SubprocessError, UnicodeDecodeError, ConfigError):
        return {}
    return {name: value for name, (value, _) in found.items()}


def is_open(text: str) -> bool:
    """Return whether ``text`` contains a variable without a known value."""
    return "${" in text or re.search(r"\$[A-Za-z_]", text) is not None


def without_variables(text: str, placeholder: str) -> str:
    """Return ``text`` with ``placeholder`` for each variable without a known value."""
    return _OPEN.sub(placeholder, text)


def _resolved(text: str, known: Mapping[str, str]) -> str:
    def replacement(match: re.Match[str]) -> str:
        name = match["name"] or match["plain"]
        if name is None:
            return "\0"
        rest = match["rest"] or ""
        # After a colon, an empty value counts as not set.
        if known.get(name) or (name in known and not rest.startswith(":")):
            return known[name].replace("$", "\0")
        default = _DEFAULT.fullmatch(rest)
        return match[0] if default is None else default["default"]

    for _ in range(_DEEPEST):
        # From the innermost outward, because a default may contain a variable with a default.
        changed = _VARIABLE.sub(replacement, text)
        if changed == text:
            break
        text = changed
    return text.replace("\0", "$")


_MEGABYTE = 1024 * 1024
_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]?)i?b?\s*", re.IGNORECASE)
_DURATION_PART = re.compile(r"(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)")
_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


@dataclass(frozen=True, slots=True)
class Table:
    """A table of a deploy file. Every method raises ``ConfigError`` with file, line and key."""

    file: str
    values: Mapping[str, Any]
    places: Mapping[str, Place]
    """places of all keys of the file"""
    step: tuple[str, ...] = ()
    """key of this table"""
    interpolated: bool = False
    """whether strings may contain variables; a value that depends on an unknown variable is None"""

    def place(self, *key: str) -> Place:
        """Return the place of ``key`` in this table, or of the closest table around it."""
        return nearest_place(self.places, (*self.step, *key)) or Place(self.file, 1)

    def error(self, key: str, problem: str) -> ConfigError:
        """Return an error about ``key``."""
        place = self.place(key)
        return ConfigError(f"{place}: {problem}" if place.key else f"{place}: {key}: {problem}")

    def text(self, key: str) -> str | None:
        """Return a string."""
        value = self.values.get(key)
        if value is None or isinstance(value, str):
            return value
        raise self.error(key, f"expected a string, got {shown_type(value)}.")

    def known(self, key: str) -> Any:
        """Return the value of ``key``; None if it depends on an unknown variable."""
        value = self.values.get(key)
        return None if self.interpolated and isinstance(value, str) and is_open(value) else value

    def flag(self, key: str) -> bool | None:
        """Return true or false."""
        value = self.known(key)
        if value is None or isinstance(value, bool):
            return value
        raise self.error(key, f"expected true or false, got {shown_type(value)}.")

    def whole(self, key: str) -> int | None:
        """Return a whole number of 0 or more; the tools also accept it in quotes."""
        value = self.known(key)
        if value is None:
            return None
        if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
            return value
        if isinstance(value, str) and value.isascii() and value.isdigit():
            return int(value)
        raise self.error(key, f"expected a whole number of 0 or more, got {shown_value(value)}.")

    def choice(self, key: str, known: tuple[str, ...]) -> str | None:
        """Return one of the words ``known``."""
        value = self.text(key) if self.known(key) is not None else None
        if value is not None and value not in known:
            raise self.error(key, f"unknown value {value!r}; {nearest(value, known)}")
        return value

    def table(self, key: str) -> Table:
        """Return a nested table; empty if it is missing."""
        value = self.values.get(key)
        if value is None:
            value = {}
        if not isinstance(value, dict):
            raise self.error(key, f"expected a table, got {shown_type(value)}.")
        return self.below(value, key)

    def tables(self, key: str) -> list[Table]:
        """Return a list of tables; a single table counts as a list of one."""
        value = self.values.get(key)
        if value is None:
            return []
        if isinstance(value, dict):
            return [self.below(value, key)]
        if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
            raise self.error(key, f"expected a list of tables, got {shown_type(value)}.")
        return [self.below(each, f"{key}[{number}]") for number, each in enumerate(value)]

    def list(self, key: str) -> Sequence[Any]:
        """Return a list of any values."""
        value = self.values.get(key)
        if value is None:
            return ()
        if isinstance(value, list):
            return value
        raise self.error(key, f"expected a list, got {shown_type(value)}.")

    def names(self, key: str) -> tuple[str, ...]:
        """Return a list of names, or the keys of a table."""
        value = self.values.get(key)
        return tuple(value) if isinstance(value, dict) else tuple(map(written_out, self.list(key)))

    def texts(self, key: str) -> dict[str, str]:
        """Return a table of strings; numbers and booleans are converted as the tools do."""
        table = self.table(key)
        for name, value in table.values.items():
            if isinstance(value, dict | list):
                raise table.error(name, f"expected a string, got {shown_type(value)}.")
        return {name: written_out(value) for name, value in table.values.items()}

    def duration(self, key: str, unit: float) -> float | None:
        """Return seconds; the unit of a plain number is ``unit`` seconds."""
        value = self.known(key)
        if value is None or value == "":
            return None
        if isinstance(value, int | float) and not isinstance(value, bool):
            return value * unit
        if isinstance(value, str) and re.fullmatch(rf"({_DURATION_PART.pattern})+", value):
            return sum(float(count) * _SECONDS[name] for count, name in _DURATION_PART.findall(value))
        raise self.error(key, f'expected a duration, such as "15s" or "1m30s", got {shown_value(value)}.')

    def megabytes(self, key: str, *, bare: float = 1.0) -> int | None:
        """Return a size such as ``"2gb"`` in MB (1024 · 1024 bytes); the unit of a plain number is ``bare`` MB."""
        value = self.known(key)
        if value is None:
            return None
        found = _SIZE.fullmatch(str(value)) if isinstance(value, int | float | str) else None
        if found is None or isinstance(value, bool):
            raise self.error(key, f'expected a size, such as "512mb" or "2gb", got {shown_value(value)}.')
        factors = {"": bare, "k": 1 / 1024, "m": 1.0, "g": 1024.0, "t": _MEGABYTE}
        # "512b" is in bytes; "512" is in the unit of the tool.
        unit = found[2].lower()
        factor = 1 / _MEGABYTE if not unit and str(value).strip().lower().endswith("b") else factors[unit]
        return int(float(found[1]) * factor)

    def below(self, values: Mapping[str, Any], step: str) -> Table:
        """Return ``values`` as a table at ``step`` below this one."""
        return Table(self.file, values, self.places, (*self.step, step), self.interpolated)


def written_out(value: object) -> str:
    """Return a plain value as the tools write it into environment variables."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)


def shown_type(value: object) -> str:
    """Return the kind of ``value`` in plain words."""
    words: dict[type, str] = {
        bool: "true or false",
        str: "a string",
        int: "a number",
        float: "a number",
        list: "a list",
        dict: "a table",
        type(None): "nothing",
    }
    return words.get(type(value), "a date" if hasattr(value, "isoformat") else type(value).__name__)


def shown_value(value: object) -> str:
    """Return a short plain ``value`` itself, and the kind of any other."""
    return repr(value) if isinstance(value, str | int | float) and len(str(value)) <= 40 else shown_type(value)
