"""What a look at the rules has found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Level = Literal["error", "warning"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong with one rule, or may be."""

    level: Level
    check: str
    """name of the check, such as ``unused``"""
    rule: str
    """id of the rule"""
    place: str
    """its file"""
    text: str


def sort_key(finding: Finding) -> tuple[bool, str, str, str]:
    """Errors first, then by file."""
    return finding.level != "error", finding.place, finding.check, finding.text
