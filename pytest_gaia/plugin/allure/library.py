"""All imports of ``allure_commons``, all uses of its private members, and steps for exchanges."""

import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextvars import ContextVar
from itertools import chain
from typing import Any

from allure_commons import hookimpl, plugin_manager
from allure_commons.logger import AllureFileLogger
from allure_commons.model2 import (
    Attachment,
    ExecutableItem,
    Globals,
    Label,
    Link,
    Parameter,
    StatusDetails,
    TestResult,
    TestResultContainer,
    TestStepResult,
)
from allure_commons.types import ParameterMode

__all__ = [
    "Attachment",
    "ExecutableItem",
    "Globals",
    "Label",
    "Link",
    "Parameter",
    "ParameterMode",
    "StatusDetails",
    "TestResult",
    "TestResultContainer",
    "TestStepResult",
    "hookimpl",
    "plugin_manager",
]


def file_logger() -> Any | None:
    """Return Allure's logger, which writes its files in this process; None without one."""
    return next((each for each in plugin_manager.get_plugins() if isinstance(each, AllureFileLogger)), None)


def keep_items(listener: Any, items: object) -> None:
    """Make allure-pytest's ``listener`` keep open items in ``items``. Other versions of it are not changed."""
    reporter: Any = getattr(listener, "allure_logger", None)
    if hasattr(reporter, "_items"):
        reporter._items = items  # noqa: SLF001 - it has no other way in


_Open = tuple[str, ...]


class ContextItems:
    """Open items: tests and fixtures are global, steps belong to the context that opened them and to its tasks.

    Replaces ``allure_commons.reporter.ThreadContextItems`` and has its methods.
    """

    def __init__(self) -> None:
        self._steps: dict[str, Any] = {}
        self._others: OrderedDict[str, Any] = OrderedDict()
        self._open: ContextVar[_Open | None] = ContextVar("gaia_open_steps", default=None)
        self._thread = threading.current_thread()
        self._latest: _Open = ()
        """steps that are open in the thread of the tests"""

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
        """Return the open item with this key, or None."""
        return self._steps.get(key) or self._others.get(key)

    def pop(self, key: str) -> Any:
        """Close the item with this key."""
        if key not in self._steps:
            return self._others.pop(key)
        self._now_open(tuple(each for each in self._of_context() if each != key))
        return self._steps.pop(key)

    def cleanup(self) -> None:
        """Do nothing: no items are kept per thread."""

    def _of_context(self) -> _Open:
        known = self._open.get()
        if known is None and threading.current_thread() is not self._thread:
            # A thread created by the test has an empty context and belongs to the steps open in the thread of the tests.
            known = self._latest
        # A step can be closed in another context, such as the step around the yield of a fixture.
        return tuple(each for each in known or () if each in self._steps)

    def _now_open(self, steps: _Open) -> None:
        self._open.set(steps)
        if threading.current_thread() is self._thread:
            self._latest = steps


def keep_steps_in_context(listener: Any) -> None:
    """Make allure-pytest's ``listener`` keep its steps per context. Other versions of it are not changed."""
    keep_items(listener, ContextItems())
