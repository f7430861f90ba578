"""How the terminal shows what a test came to, and what subtests say of themselves.

Each of these hooks costs every report of a run, so it is registered only where a test needs it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from _pytest.unittest import TestCaseFunction

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import pytest
    from _pytest.subtests import SubtestContext

_LETTERS = {"not applicable": "n", "expected failure": "e", "tolerated": "t", "unexpected pass": "U"}


class OutcomeHooks:
    """Outcomes that pytest does not know."""

    def pytest_report_teststatus(self, report: pytest.TestReport) -> tuple[str, str, str] | None:
        """Show an outcome of ours by its own name."""
        outcome = getattr(report, "gaia_outcome", None)
        # A test that does not apply, or fails as expected, still passes its other phases.
        return (outcome, _LETTERS[outcome], outcome.upper()) if outcome else None


class SubtestHooks:
    """What subtests call themselves."""

    def __init__(self, name: Callable[[str | None, Mapping[str, object]], None]) -> None:
        self._name = name

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """A subtest says its name only now, when its phase has been judged."""
        context: SubtestContext | None = getattr(report, "context", None)
        if context is not None:
            self._name(context.msg, context.kwargs)


def show_outcomes(config: pytest.Config) -> None:
    """From now on, show outcomes of ours."""
    if not config.pluginmanager.has_plugin("gaia-outcomes"):
        config.pluginmanager.register(OutcomeHooks(), "gaia-outcomes")


def has_subtests(item: pytest.Item) -> bool:
    """Whether a test may have parts that make reports of their own."""
    return "subtests" in getattr(item, "fixturenames", ()) or isinstance(item, TestCaseFunction)


def name_subtests(config: pytest.Config, name: Callable[[str | None, Mapping[str, object]], None]) -> None:
    """From now on, tell ``name`` what each subtest calls itself."""
    if not config.pluginmanager.has_plugin("gaia-subtests"):
        config.pluginmanager.register(SubtestHooks(name), "gaia-subtests")
