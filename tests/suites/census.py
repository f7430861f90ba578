"""A plugin for the pytest that is run below: it writes down every collected check and what it says of itself."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_gaia.collection.needs import needs_of

if TYPE_CHECKING:
    import pytest

VARIABLE = "SUITES_CENSUS"
"""the variable that names the file to write"""


def pytest_collection_finish(session: pytest.Session) -> None:
    """Write one object for each check."""
    checks = [{"id": item.nodeid, **_plain(asdict(needs_of(item)))} for item in session.items]
    Path(os.environ[VARIABLE]).write_text(json.dumps(checks), encoding="utf-8")


def _plain(needs: dict[str, object]) -> dict[str, object]:
    return {name: sorted(value) if isinstance(value, frozenset) else value for name, value in needs.items()}
