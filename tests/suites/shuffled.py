"""A plugin for the pytest that is run below: it runs the checks in another order, the same in every process."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Shuffle the checks; xdist wants the same order from all workers, so chance has a fixed beginning."""
    random.Random(20).shuffle(items)
