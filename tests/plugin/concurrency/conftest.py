"""A server that counts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.plugin.concurrency.runs import Server

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def counting() -> Iterator[Server]:
    """A server that counts its requests."""
    server = Server()
    yield server
    server.close()
