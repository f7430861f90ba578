"""Names of what checks make, by which anybody can tell where it comes from."""

from __future__ import annotations

import uuid

PREFIX = "gaia-test-"
"""Whatever a check makes in an environment has a name that begins like this."""


def new_name() -> str:
    """Return a name that no other run uses."""
    return f"{PREFIX}{uuid.uuid4().hex[:12]}"
