"""Digests that follow from what they are of, so that a test can say which it wants."""

from __future__ import annotations

import hashlib


def digest_of(*parts: str) -> str:
    """Return a digest that follows from ``parts`` alone."""
    return "sha256:" + hashlib.sha256("\0".join(parts).encode()).hexdigest()
