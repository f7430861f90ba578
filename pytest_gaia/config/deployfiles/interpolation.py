"""Variables in a compose file: ``${NAME:-default}`` becomes its default, and one without a default stays as it is written.

The values of whoever reads the file do not count. They differ from machine to machine, and may be secrets. Those of a
``.env`` that is committed beside the file are the same for everybody, and do.
"""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING, Any

from pytest_gaia.config.dotenv import DOTENV_FILE, dotenv_entries
from pytest_gaia.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_VARIABLE = re.compile(
    r"\$(?:\$|\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?P<rest>[^{}$]*)\}|(?P<plain>[A-Za-z_][A-Za-z0-9_]*))"
)
_OPEN = re.compile(r"\$(?:\{[^{}]*\}|[A-Za-z_][A-Za-z0-9_]*)")
_DEFAULT = re.compile(r":?-(?P<default>.*)", re.DOTALL)
_DEEPEST = 10
"""defaults within defaults"""
_PATIENCE = 10.0
"""seconds that git may take"""


def interpolated(value: Any, known: Mapping[str, str]) -> Any:
    """Return ``value`` with the variables in its texts resolved, those of ``known`` included; keys are left alone."""
    if isinstance(value, dict):
        return {key: interpolated(each, known) for key, each in value.items()}
    if isinstance(value, list):
        return [interpolated(each, known) for each in value]
    return _resolved(value, known) if isinstance(value, str) and "$" in value else value


def committed_variables(folder: Path) -> Mapping[str, str]:
    """Return what the ``.env`` in ``folder`` gives, as it was committed last; nothing where it is not committed.

    Of one that cannot be understood nothing is known.
    """
    if not (folder / DOTENV_FILE).is_file():
        return {}
    command = ("git", "-C", str(folder), "show", f"HEAD:./{DOTENV_FILE}")
    try:
        # The words are fixed, and no shell sees them.
        shown = subprocess.run(command, capture_output=True, timeout=_PATIENCE, check=True).stdout  # noqa: S603
        found = dotenv_entries(shown.decode("utf-8-sig"), DOTENV_FILE)
    except (OSError, subprocess.SubprocessError, UnicodeDecodeError, ConfigError):
        return {}
    return {name: value for name, (value, _) in found.items()}


def is_open(text: str) -> bool:
    """Return whether ``text`` holds a variable whose value is not known."""
    return "${" in text or re.search(r"\$[A-Za-z_]", text) is not None


def without_variables(text: str, stand_in: str) -> str:
    """Return ``text`` with ``stand_in`` for each variable whose value is not known."""
    return _OPEN.sub(stand_in, text)


def _resolved(text: str, known: Mapping[str, str]) -> str:
    def replacement(match: re.Match[str]) -> str:
        name = match["name"] or match["plain"]
        if name is None:
            return "\0"
        rest = match["rest"] or ""
        # An empty value counts as one only where no colon asks for more.
        if known.get(name) or (name in known and not rest.startswith(":")):
            return known[name].replace("$", "\0")
        default = _DEFAULT.fullmatch(rest)
        return match[0] if default is None else default["default"]

    for _ in range(_DEEPEST):
        # From the innermost outward: a default may hold a variable with a default.
        changed = _VARIABLE.sub(replacement, text)
        if changed == text:
            break
        text = changed
    return text.replace("\0", "$")
