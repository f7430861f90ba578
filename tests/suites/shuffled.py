"""A plugin for the inner run of pytest: run the tests in another order, which is the same in every process."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Shuffle the tests with a fixed seed, because xdist needs the same order in all workers."""
    random.Random(20).shuffle(items)
