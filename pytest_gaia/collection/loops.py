"""Clients live in the session's event loop; the tests that use them must run in it too."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from pytest_asyncio import is_async_test

if TYPE_CHECKING:
    from collections.abc import Iterable

LOOP_FIXTURE = "gaia_loop"
"""the fixture that all fixtures request which hold something that belongs to the session's event loop"""


def settle_loops(items: Iterable[pytest.Item]) -> None:
    """Move the tests that pytest-asyncio runs and that use a client into the session's loop, unless they choose a loop.

    All other asynchronous tests belong to whatever runs them: unittest, anyio, trio, another plugin, or nothing at all.
    """
    for item in items:
        if LOOP_FIXTURE not in getattr(item, "fixturenames", ()) or not is_async_test(item):
            continue
        marker = item.get_closest_marker("asyncio")
        if marker is not None and not (marker.kwargs.get("loop_scope") or marker.kwargs.get("scope")):
            # In front, because only the closest marker counts.
            item.add_marker(pytest.mark.asyncio(**{**marker.kwargs, "loop_scope": "session"}), append=False)
