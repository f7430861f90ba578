"""Digests computed from names, so that tests can predict them."""

from __future__ import annotations

import hashlib


def digest_of(*parts: str) -> str:
    """Return a digest that depends only on ``parts``."""
    return "sha256:" + hashlib.sha256("\0".join(parts).encode()).hexdigest()
