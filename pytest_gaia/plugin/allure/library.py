"""All imports of ``allure_commons``, all uses of its private members, and steps for exchanges."""

import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from itertools import chain
from typing import Any
from uuid import uuid4

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


def keep_items(listener: Any, items: object) -> bool:
    """Make allure-pytest's ``listener`` keep open items in ``items``. Other versions of it are not changed."""
    reporter: Any = getattr(listener, "allure_logger", None)
    known = hasattr(reporter, "_items")
    if known:
        reporter._items = items  # noqa: SLF001 - it has no other way in
    return known


_Open = tuple[str, ...]


class ContextItems:
    """Open items: steps belong to the context that opened them and to its tasks; tests and fixtures are global.

    Those of a test that is started early are visible in its context only.

    Replaces ``allure_commons.reporter.ThreadContextItems`` and has its methods.
    """

    def __init__(self) -> None:
        self._steps: dict[str, Any] = {}
        self._others: OrderedDict[str, Any] = OrderedDict()
        self._own: ContextVar[list[str] | None] = ContextVar("gaia_own_items", default=None)
        """keys of a test that was started early, and of its fixtures"""
        self._early: set[str] = set()
        """keys of all tests that were started early, and of their fixtures"""
        self._open: ContextVar[_Open | None] = ContextVar("gaia_open_steps", default=None)
        self._thread = threading.current_thread()
        self._latest: _Open = ()
        """steps that are open in the thread of the tests"""

    def __setitem__(self, key: str, value: Any) -> None:
        if not isinstance(value, TestStepResult):
            self._others[key] = value
            if (own := self._own.get()) is not None:
                own.append(key)
                self._early.add(key)
            return
        self._steps[key] = value
        self._now_open((*self._of_context(), key))

    def __getitem__(self, key: str) -> Any:
        return self._steps[key] if key in self._steps else self._others[key]

    def __iter__(self) -> Iterator[str]:
        return chain(self._visible(), self._of_context())

    def __reversed__(self) -> Iterator[str]:
        return chain(reversed(self._of_context()), reversed(self._visible()))

    def get(self, key: str) -> Any:
        """Return the open item with this key, or None."""
        return self._steps.get(key) or self._others.get(key)

    def pop(self, key: str) -> Any:
        """Close the item with this key."""
        if key not in self._steps:
            self._early.discard(key)
            return self._others.pop(key)
        self._now_open(tuple(each for each in self._of_context() if each != key))
        return self._steps.pop(key)

    def cleanup(self) -> None:
        """Do nothing: no items are kept per thread."""

    @contextmanager
    def of_early(self, key: str, value: Any) -> Iterator[None]:
        """Open an item for a test that is started early, whose context is a copy of this one."""
        token = self._own.set([])
        try:
            self[key] = value
            yield
        finally:
            self._own.reset(token)

    def _visible(self) -> list[str]:
        own = [key for key in self._own.get() or () if key in self._others]
        return own or [key for key in self._others if key not in self._early]

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


class EarlyTests:
    """What tests that are started early add to their results, and the containers of their fixtures."""

    def __init__(self, listener: Any, items: ContextItems) -> None:
        self._listener = listener
        self._items = items

    @contextmanager
    def starting(self) -> Iterator[TestResult]:
        """Open a result for a test that is started early, whose context is a copy of this one."""
        result = TestResult(uuid=str(uuid4()))
        with self._items.of_early(result.uuid, result):
            yield result

    def close(self, result: TestResult, *, add: bool) -> None:
        """Close this result; ``add`` adds what it contains to the result of the current test."""
        self._items.pop(result.uuid)
        current = next((each for key in self._items if isinstance(each := self._items[key], TestResult)), None)
        if not add or current is None:
            return
        for name in ("name", "description", "descriptionHtml"):
            if (value := getattr(result, name)) is not None:
                setattr(current, name, value)
        replaced = {each.name for each in result.parameters}
        current.parameters = [each for each in current.parameters if each.name not in replaced]
        known = {each.url for each in current.links}
        result.links = [each for each in result.links if each.url not in known]
        for name in ("steps", "attachments", "parameters", "labels", "links"):
            getattr(current, name).extend(getattr(result, name))

    def exchange_container(self, definition: object, container: str | None) -> str | None:
        """Replace the container of a fixture; return the one before."""
        containers: dict[int, str] = self._listener._cache._items  # noqa: SLF001 - by the identity of the definition
        before = containers.pop(id(definition), None)
        if container is not None:
            containers[id(definition)] = container
        return before


def keep_steps_in_context(listener: Any) -> EarlyTests | None:
    """Make allure-pytest's ``listener`` keep its steps per context. Other versions of it are not changed."""
    items = ContextItems()
    known = keep_items(listener, items) and hasattr(getattr(listener, "_cache", None), "_items")
    return EarlyTests(listener, items) if known else None
