"""The reports and failures of one test while it runs, and its outcome within its own process."""

from collections.abc import Iterable
from typing import NamedTuple

import pytest

from pytest_gaia.clients.exchanges import Exchange, Message, Statement
from pytest_gaia.clients.running import RunningTest
from pytest_gaia.config.tolerance import Tolerance
from pytest_gaia.plugin.checks.phases import skip_reason
from pytest_gaia.verdict.classify import ACCEPTED, Classification, Outcome

_ORDER: tuple[Outcome, ...] = (
    "failed",
    "error",
    "tolerated",
    "expected failure",
    "skipped",
    "not applicable",
    "without evidence",
    "unexpected pass",
)
"""outcomes of phases, in order of precedence: the first one found is the outcome of the test"""


class Failure(NamedTuple):
    """One failure, expected or not."""

    message: str
    trace: str


class Seen:
    """One test: the reports of its latest attempt, its failures, and its exchanges."""

    __slots__ = ("_conversation", "_reports", "called", "ended", "failures", "node", "reported", "retried", "started")

    def __init__(self, node: str) -> None:
        self.node = node
        self.ended = False
        """whether its teardown was reported"""
        self.called: tuple[int, int] | None = None
        """start and end of its latest call, in milliseconds"""
        self.retried = False
        self.started = 0
        """start of the latest attempt, in milliseconds"""
        self.reported = False
        """whether the result of this attempt was written"""
        self.failures: list[Failure] = []
        self._reports: list[pytest.TestReport] = []
        self._conversation: tuple[list[Exchange], tuple[Statement, ...], tuple[Message, ...]] | None = None

    @property
    def passed(self) -> bool:
        """Whether all reports so far passed."""
        return all(report.outcome == "passed" and "gaia_outcome" not in vars(report) for report in self._reports)

    def add(self, item: pytest.Item, report: pytest.TestReport, call: pytest.CallInfo[None]) -> None:
        """Keep a report and its failure. The report can still change: pytest applies xfail later."""
        if call.when == "setup" and self._reports:
            self._begin_again()
        self._reports.append(report)
        self.ended = call.when == "teardown"
        if call.when == "call":
            self.called = round(call.start * 1000), round(call.stop * 1000)
        if report.outcome == "failed":
            error = call.excinfo.exconly() if call.excinfo is not None else report.longreprtext
            self.failures.append(Failure(error, report.longreprtext))
        elif call.excinfo is not None and vars(report).get("gaia_outcome") in ACCEPTED:
            # The report contains the reason of the expectation instead of the failure.
            trace = pytest.TestReport.from_item_and_call(item, call).longreprtext
            self.failures.append(Failure(call.excinfo.exconly(), trace))

    def keep(self, test: RunningTest) -> None:
        """Keep the exchanges so far."""
        self._conversation = test.exchanges, test.statements, test.messages

    def conversation(self, test: RunningTest) -> tuple[list[Exchange], tuple[Statement, ...], tuple[Message, ...]]:
        """Return the exchanges; for a test that has not ended, those of ``test``."""
        return self._conversation or (test.exchanges, test.statements, test.messages)

    def classification(self, tolerance: Tolerance) -> Classification:
        """Return the preliminary outcome. The final evaluation happens at the end of the run."""
        if not self.ended:
            return Classification(
                self.node, "incomplete", reason="the run ended before the test did", retried=self.retried
            )
        found = {outcome: report for report in reversed(self._reports) if (outcome := _outcome(report, tolerance))}
        outcome = next((each for each in _ORDER if each in found), None)
        if outcome is None:
            why = "passed on another attempt" if self.retried else ""
            return Classification(self.node, "passed", reason=why, retried=self.retried)
        report = found[outcome]
        if outcome == "failed" and not self.failures:
            # A strict xfail that passed has no failure of its own.
            self.failures.append(Failure(report.longreprtext, ""))
        return Classification(
            self.node,
            outcome,
            reason=_why(report, outcome),
            expectations=_expectations(self._reports),
            retried=self.retried,
        )

    def _begin_again(self) -> None:
        self.retried, self.reported = True, False
        self.called = None
        self._reports.clear()
        self.failures.clear()
        self._conversation = None


def _outcome(report: pytest.TestReport, tolerance: Tolerance) -> Outcome | None:
    evaluated: Outcome | None = vars(report).get("gaia_outcome")
    if evaluated is not None:
        return evaluated
    if report.outcome == "passed":
        return None
    native = vars(report).get("wasxfail")
    if report.outcome == "skipped" and (native is None or str(native).startswith("[NOTRUN]")):
        return "skipped"
    if native is not None and tolerance.xfail == "expected":
        return "expected failure"
    return "failed" if report.when == "call" else "error"


def _why(report: pytest.TestReport, outcome: Outcome) -> str:
    if outcome == "skipped":
        return skip_reason(report)
    if outcome == "not applicable":
        return skip_reason(report).rpartition("not applicable: ")[2]
    if outcome == "expected failure":
        return f"xfail: {vars(report).get('wasxfail') or 'no reason given'}"
    if outcome == "unexpected pass":
        return f"expected to fail: {', '.join(_expectations([report]))}"
    # Why expectations did not match.
    return "\n".join(text for title, text in report.sections if title == "expectations")


def _expectations(reports: Iterable[pytest.TestReport]) -> tuple[str, ...]:
    said = (value for report in reports for name, value in report.user_properties if name == "gaia_rule")
    return tuple(dict.fromkeys(str(each) for each in said))
