"""How the terminal shows what a test came to, and what subtests say of themselves.

Each of these hooks costs every report of a run, so it is registered only where a test needs it.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TypeAlias

import pytest

from pytest_gaia.plugin.pytest_private import SubtestContext, is_unittest, show_in_red

Word: TypeAlias = "str | tuple[str, Mapping[str, bool]]"
"""what ``-v`` shows of a test, with the colours that are not pytest's own choice"""

_LETTERS = {"not applicable": "n", "expected failure": "x", "tolerated": "t", "unexpected pass": "X"}
_RED = "unexpected pass"
"""an outcome that says: somebody has to act. pytest would show what it does not know in yellow"""


class OutcomeHooks:
    """Outcomes that pytest does not know."""

    def pytest_report_teststatus(self, report: pytest.TestReport) -> tuple[str, str, Word] | None:
        """Show an outcome of ours by its own name, and with ``-v`` the rules that decided it."""
        outcome: str | None = getattr(report, "gaia_outcome", None)
        if outcome is None:
            # A test that does not apply, or fails as expected, still passes its other phases.
            return None
        expectations = dict.fromkeys(str(value) for name, value in report.user_properties if name == "gaia_rule")
        word = f"{outcome.upper()} ({', '.join(expectations)})" if expectations else outcome.upper()
        return outcome, _LETTERS[outcome], (word, {"red": True}) if outcome == _RED else word


class SubtestHooks:
    """What subtests call themselves."""

    def __init__(self, name: Callable[[str | None, Mapping[str, object]], None], redact: Callable[[str], str]) -> None:
        self._name = name
        self._redact = redact

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """A subtest says its name only now, when its phase has been judged."""
        context: SubtestContext | None = getattr(report, "context", None)
        if context is not None:
            # Everybody else hears of it only now: this part of the report was made after the rest was masked.
            report.sections = [(heading, self._redact(content)) for heading, content in report.sections]
            vars(report)["context"] = context = _masked(context, self._redact)
            self._name(context.msg, context.kwargs)


def _masked(context: SubtestContext, redact: Callable[[str], str]) -> SubtestContext:
    masked = replace(context, msg=context.msg and redact(context.msg))
    # It would quote them a second time.
    object.__setattr__(masked, "kwargs", {name: redact(value) for name, value in context.kwargs.items()})
    return masked


def show_outcomes(config: pytest.Config) -> None:
    """From now on, show outcomes of ours."""
    if not config.pluginmanager.has_plugin("gaia-outcomes"):
        config.pluginmanager.register(OutcomeHooks(), "gaia-outcomes")
        show_in_red(_RED)


def has_subtests(item: pytest.Item) -> bool:
    """Whether a test may have parts that make reports of their own."""
    return "subtests" in getattr(item, "fixturenames", ()) or is_unittest(item)


def name_subtests(
    config: pytest.Config, name: Callable[[str | None, Mapping[str, object]], None], redact: Callable[[str], str]
) -> None:
    """From now on, tell ``name`` what each subtest calls itself."""
    if not config.pluginmanager.has_plugin("gaia-subtests"):
        config.pluginmanager.register(SubtestHooks(name, redact), "gaia-subtests")
