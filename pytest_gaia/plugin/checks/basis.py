"""What the pass of a test is based on: what it, or a fixture that it uses, exchanged with a service."""

from __future__ import annotations

from collections.abc import Iterator
from operator import sub
from pathlib import Path
from typing import Any

import pytest

from pytest_gaia.clients.running import RunningTest
from pytest_gaia.plugin.pytest_private import functions_calling_tests, has_replaced_fixtures, used_fixtures

_BY_PYTEST = ("_xunit_", "_unittest_")
"""beginnings of the names of the fixtures by which pytest calls functions such as ``setup_module``"""


class Basis:
    """Finds out whether a test that passed has evidence: a completed exchange, statement or message.

    Fixtures that every test gets (``autouse=True``) are no evidence of a test that does not name them.
    """

    def __init__(self, rootdir: Path) -> None:
        self._rootdir = rootdir
        self._callers: list[str] | None = None
        """what calls the tests instead of pytest"""
        self._shared: set[object] = set()
        """definitions of fixtures of a wider scope than function with evidence"""

    def begin_fixture(self, test: RunningTest) -> list[int]:
        """Note that a fixture is set up for ``test``; return what :meth:`end_fixture` needs."""
        test.depth += 1
        return test.completed.copy()

    def end_fixture(self, test: RunningTest, definition: pytest.FixtureDef[Any], before: list[int]) -> None:
        """Note what the set-up of a fixture completed."""
        test.depth -= 1
        evident = test.evident if definition.scope == "function" else self._shared
        if test.completed == before:
            evident.discard(definition)
            return
        evident.add(definition)
        if not test.depth:
            made = map(sub, test.completed, before)
            test.of_fixtures = [sum(each) for each in zip(test.of_fixtures, made, strict=True)]

    def fixtures(self, item: pytest.Item, test: RunningTest) -> tuple[str, ...]:
        """Return the names of the fixtures that ``item`` uses and that have evidence."""
        evident = self._shared | test.evident
        used = used_fixtures(item, _BY_PYTEST) if evident else {}
        return tuple(sorted(name for name, definitions in used.items() if not evident.isdisjoint(definitions)))

    def why_none(self, item: pytest.Item, test: RunningTest) -> str:
        """Return why a test has no evidence: what replaces its call or a fixture, or that it exchanged nothing."""
        if self._callers is None:
            functions = functions_calling_tests(item.config)
            own = [function for function in functions if not _is_installed(function)]
            self._callers = [f"its call is made by {self._place(each)} (pytest_pyfunc_call)" for each in own]
        reasons = [*self._callers, *self._replaced(item)]
        if test.exchanges and not test.of_fixtures[0]:
            reasons.append("no request got a response")
        return "; ".join(reasons) or "it exchanged nothing with a service"

    def _replaced(self, item: pytest.Item) -> Iterator[str]:
        # Nearly no test has any, and looking for the fixtures that it uses takes time.
        used = used_fixtures(item, _BY_PYTEST) if has_replaced_fixtures(item) else {}
        for name, definitions in used.items():
            first, *_, last = (*definitions[:1], *definitions)
            if first.func.__module__.startswith("pytest_gaia.") and not last.func.__module__.startswith("pytest_gaia."):
                yield f"fixture {name} is that of {self._place(last.func)}, not of pytest-gaia"

    def _place(self, function: Any) -> str:
        code = function.__code__
        path = Path(code.co_filename)
        inside = path.is_relative_to(self._rootdir)
        return f"{(path.relative_to(self._rootdir) if inside else path).as_posix()}:{code.co_firstlineno}"


def _is_installed(function: Any) -> bool:
    parts = Path(function.__code__.co_filename).parts
    return "site-packages" in parts or "dist-packages" in parts or function.__module__.startswith("pytest_gaia.")


def has_own(test: RunningTest) -> bool:
    """Whether the test itself, and not only its fixtures, has completed something until the end of its call."""
    return test.called is not None and test.called != test.of_fixtures
