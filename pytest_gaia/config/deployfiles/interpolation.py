"""Variables in a compose file: ``${NAME:-default}`` becomes its default, and one without a default stays as it is written.

The values of whoever reads the file do not count. They differ from machine to machine, and may be secrets.
"""

from __future__ import annotations

import re
from typing import Any

_VARIABLE = re.compile(r"\$(?:\$|\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?P<rest>[^{}$]*)\})")
_DEFAULT = re.compile(r":?-(?P<default>.*)", re.DOTALL)
_DEEPEST = 10
"""defaults within defaults"""


def interpolated(value: Any) -> Any:
    """Return ``value`` with the variables in its texts resolved; keys are left alone, as compose does."""
    if isinstance(value, dict):
        return {key: interpolated(each) for key, each in value.items()}
    if isinstance(value, list):
        return [interpolated(each) for each in value]
    return _resolved(value) if isinstance(value, str) and "$" in value else value


def is_open(text: str) -> bool:
    """Return whether ``text`` holds a variable whose value is not known."""
    return "${" in text or re.search(r"\$[A-Za-z_]", text) is not None


def _resolved(text: str) -> str:
    for _ in range(_DEEPEST):
        # From the innermost outward: a default may hold a variable with a default.
        changed = _VARIABLE.sub(_replacement, text)
        if changed == text:
            break
        text = changed
    return text.replace("\0", "$")


def _replacement(match: re.Match[str]) -> str:
    if match["name"] is None:
        return "\0"
    default = _DEFAULT.fullmatch(match["rest"])
    return match[0] if default is None else default["default"]
