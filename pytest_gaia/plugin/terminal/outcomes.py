"""How the terminal shows outcomes of tests and names of subtests.

These hooks cost time for every report, so they are registered only when a test needs them.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TypeAlias

import pytest

from pytest_gaia.plugin.pytest_private import SubtestContext, is_unittest, show_in_red

Word: TypeAlias = "str | tuple[str, Mapping[str, bool]]"
"""text that ``-v`` shows for a test, with colors that differ from pytest's"""

_LETTERS = {
    "not applicable": "n",
    "expected failure": "x",
    "tolerated": "t",
    "unexpected pass": "X",
    "without evidence": "e",
}
_NOT_SENT = "not sent"
"""word for a test that failed because it did not send a request; the summary has the reason, once for all"""
_RED = ("unexpected pass", "without evidence", _NOT_SENT)
"""words that need attention; pytest shows unknown ones in yellow"""


class OutcomeHooks:
    """Shows outcomes that pytest does not have."""

    def pytest_report_teststatus(self, report: pytest.TestReport) -> tuple[str, str, Word] | None:
        """Show an outcome by its name, and with ``-v`` the expectations that determined it."""
        if getattr(report, "gaia_not_sent", False):
            return _NOT_SENT, "N", (_NOT_SENT.upper(), {"red": True})
        outcome: str | None = getattr(report, "gaia_outcome", None)
        if outcome is None:
            # A skipped test, or an expected failure, still passes its other phases.
            return None
        expectations = dict.fromkeys(str(value) for name, value in report.user_properties if name == "gaia_rule")
        word = f"{outcome.upper()} ({', '.join(expectations)})" if expectations else outcome.upper()
        return outcome, _LETTERS[outcome], (word, {"red": True}) if outcome in _RED else word


class SubtestHooks:
    """Collects the names of subtests."""

    def __init__(self, name: Callable[[str | None, Mapping[str, object]], None], redact: Callable[[str], str]) -> None:
        self._name = name
        self._redact = redact

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take the name of a subtest, which is known only after its phase."""
        context: SubtestContext | None = getattr(report, "context", None)
        if context is not None:
            # This part of the report is created after the rest was masked.
            report.sections = [(heading, self._redact(content)) for heading, content in report.sections]
            vars(report)["context"] = context = _masked(context, self._redact)
            self._name(context.msg, context.kwargs)


def _masked(context: SubtestContext, redact: Callable[[str], str]) -> SubtestContext:
    masked = replace(context, msg=context.msg and redact(context.msg))
    # The constructor would quote the values again.
    object.__setattr__(masked, "kwargs", {name: redact(value) for name, value in context.kwargs.items()})
    return masked


def show_outcomes(config: pytest.Config) -> None:
    """Register the hooks for outcomes."""
    if not config.pluginmanager.has_plugin("gaia-outcomes"):
        config.pluginmanager.register(OutcomeHooks(), "gaia-outcomes")
        for word in _RED:
            show_in_red(word)


def show_not_sent(report: pytest.TestReport, config: pytest.Config) -> None:
    """Show a failed test as one that did not send a request, without a page of its own."""
    show_outcomes(config)
    vars(report)["gaia_not_sent"] = True


def has_subtests(item: pytest.Item) -> bool:
    """Whether a test can have subtests."""
    return "subtests" in getattr(item, "fixturenames", ()) or is_unittest(item)


def name_subtests(
    config: pytest.Config, name: Callable[[str | None, Mapping[str, object]], None], redact: Callable[[str], str]
) -> None:
    """Call ``name`` with the name of each subtest from now on."""
    if not config.pluginmanager.has_plugin("gaia-subtests"):
        config.pluginmanager.register(SubtestHooks(name, redact), "gaia-subtests")
