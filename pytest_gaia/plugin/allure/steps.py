"""Steps that stay in their own task.

allure-python keeps the steps that are open in one list a thread. Tasks of one event loop share a thread, so under
``asyncio.gather`` a step, and what is attached in it, would end up in whichever step was opened last. Here the steps that
are open are part of the context, which every task and every ``asyncio.to_thread`` takes along.
"""

import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextvars import ContextVar
from itertools import chain
from typing import Any

from pytest_gaia.plugin.allure.library import TestStepResult, keep_items

_Open = tuple[str, ...]


class ContextItems:
    """What is open: tests and fixtures for everybody, steps for those who opened them and whom they started.

    Has the methods of ``allure_commons.reporter.ThreadContextItems``, in whose place it stands.
    """

    def __init__(self) -> None:
        self._steps: dict[str, Any] = {}
        self._others: OrderedDict[str, Any] = OrderedDict()
        self._open: ContextVar[_Open | None] = ContextVar("gaia_open_steps", default=None)
        self._thread = threading.current_thread()
        self._latest: _Open = ()
        """those that are open in the thread of the tests"""

    def __setitem__(self, key: str, value: Any) -> None:
        if not isinstance(value, TestStepResult):
            self._others[key] = value
            return
        self._steps[key] = value
        self._now_open((*self._of_context(), key))

    def __getitem__(self, key: str) -> Any:
        return self._steps[key] if key in self._steps else self._others[key]

    def __iter__(self) -> Iterator[str]:
        return chain(list(self._others), self._of_context())

    def __reversed__(self) -> Iterator[str]:
        return chain(reversed(self._of_context()), reversed(list(self._others)))

    def get(self, key: str) -> Any:
        """Return what is open under ``key``, or None."""
        return self._steps.get(key) or self._others.get(key)

    def pop(self, key: str) -> Any:
        """Close what is open under ``key``."""
        if key not in self._steps:
            return self._others.pop(key)
        self._now_open(tuple(each for each in self._of_context() if each != key))
        return self._steps.pop(key)

    def cleanup(self) -> None:
        """Nothing is kept of a thread that has ended."""

    def _of_context(self) -> _Open:
        known = self._open.get()
        if known is None and threading.current_thread() is not self._thread:
            # A thread of the test's own making has an empty context, and belongs to what is open where it began.
            known = self._latest
        # What was opened here can have been closed elsewhere, as the step around a fixture's yield is.
        return tuple(each for each in known or () if each in self._steps)

    def _now_open(self, steps: _Open) -> None:
        self._open.set(steps)
        if threading.current_thread() is self._thread:
            self._latest = steps


def keep_steps_in_context(listener: Any) -> None:
    """Let ``listener`` (allure-pytest's) keep its steps by context. A version of it that keeps them otherwise is left."""
    keep_items(listener, ContextItems())
