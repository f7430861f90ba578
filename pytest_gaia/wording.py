"""Words that every layer shows alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def counted(count: int, thing: str) -> str:
    """Return ``count`` of ``thing``, whose plural takes an s, such as ``1 day`` and ``3 days``."""
    return f"{count} {thing}" if count == 1 else f"{count} {thing}s"


def listed(names: Sequence[str], shown: int = 5) -> str:
    """Return ``names`` as a list in a sentence; of many, the first and how many more there are."""
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(names[:shown]) + more
