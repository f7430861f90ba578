"""Hostile text, which imitates other output or commands CI, and patterns that must never be shown."""

from __future__ import annotations

import re

from pytest_gaia.printable import visible

HOSTILE = (
    "1.0\n::error file=planted::planted\r\n\t ::add-mask::passed\r::stop-commands::planted\n\x1b[31m::planted::\n"
    "\x1b]0;title\x07\x1b[8m\u202eevil\u2066 \u200bzero\u00ad \u009b1m \u2028 \u3164\u115f\u2800\ufe0f "
    "##[error]planted @planted www.planted.example https://planted.example :planted: #1 <b>planted</b> | `x` [a](b)"
)
"""only characters that XML allows"""
_OWN = re.compile(r"::(?:error|warning|notice) (?:file=(?!planted)|title=)")


def planted(text: str) -> list[str]:
    """Return the lines of ``text`` in which :data:`HOSTILE` has an effect."""
    # Split lines as the runner of GitHub Actions does.
    return [line for line in re.split(r"\r\n|\n|\r", text) if _is_command(line) or visible(line) != line]


def _is_command(line: str) -> bool:
    if _OWN.match(line):
        return False
    return line.lstrip().startswith("::") or "##[" in line
