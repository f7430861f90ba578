"""A Docker engine for the tests of this folder, one per process of pytest."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.docker.engine import running_engine

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.docker.engine import Engine


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    """A running engine with the image ``tiny``."""
    with running_engine() as started:
        yield started
