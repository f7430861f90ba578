"""Words that every layer shows alike."""

from __future__ import annotations


def counted(count: int, thing: str) -> str:
    """Return ``count`` of ``thing``, whose plural takes an s, such as ``1 day`` and ``3 days``."""
    return f"{count} {thing}" if count == 1 else f"{count} {thing}s"
