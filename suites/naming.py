"""Names for objects that tests create, which show their origin."""

from __future__ import annotations

import uuid

PREFIX = "gaia-test-"
"""prefix of the names of objects that tests create"""


def new_name() -> str:
    """Return a unique name."""
    return f"{PREFIX}{uuid.uuid4().hex[:12]}"
