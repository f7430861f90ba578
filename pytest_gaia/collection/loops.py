"""Clients live in the session's event loop; the tests that use them must run in it too."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING

import pytest

from pytest_gaia.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable

CLIENT_FIXTURES = frozenset({"gateway", "auth", "asset", "chat", "nats", "postgres", "postgres_fresh"})
"""The fixtures that hold something which belongs to one event loop."""


def settle_loops(items: Iterable[pytest.Item]) -> None:
    """Move every asynchronous test that uses a client into the session's loop, unless it chose a loop itself.

    Raises :class:`ConfigError` for one that pytest-asyncio would not run at all (strict mode, no marker).
    """
    for item in items:
        if not _uses_client(item):
            continue
        marker = item.get_closest_marker("asyncio")
        if marker is None:
            raise ConfigError(
                f'{item.nodeid} is asynchronous, and nothing runs it. Set asyncio_mode = "auto" in pytest\'s '
                "configuration, with asyncio_default_fixture_loop_scope and asyncio_default_test_loop_scope = "
                '"session"; or mark the test: @pytest.mark.asyncio(loop_scope="session").'
            )
        if not marker.kwargs.get("loop_scope"):
            # In front, because the closest marker is the one that counts.
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


def _uses_client(item: pytest.Item) -> bool:
    if CLIENT_FIXTURES.isdisjoint(getattr(item, "fixturenames", ())):
        return False
    function = getattr(item, "obj", None)
    return inspect.iscoroutinefunction(inspect.unwrap(function) if function else None)
