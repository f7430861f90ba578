"""What was collected must be run, or be reported as deselected: nothing may vanish on the way."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class LedgerHooks:
    """Registered where tests are collected; tells ``report`` the node ids that a hook took out without a word."""

    def __init__(self, report: Callable[[list[str]], None]) -> None:
        self._report = report
        # By identity, because a hook may rename what it does not take out.
        self._open: dict[int, pytest.Item] = {}

    @pytest.hookimpl(tryfirst=True)
    def pytest_itemcollected(self, item: pytest.Item) -> None:
        """It was found."""
        self._open[id(item)] = item

    def pytest_deselected(self, items: Sequence[pytest.Item]) -> None:
        """It was left out, and whoever did that says so."""
        for item in items:
            self._open.pop(id(item), None)

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """What is not to be run now is missing."""
        for item in session.items:
            self._open.pop(id(item), None)
        missing = [item.nodeid for item in self._open.values()]
        self._open.clear()
        if missing:
            self._report(missing)
