"""Rewrite a result before Allure writes it: its outcome, labels, and links to issues.

The reports and failures of a test while it runs, and its outcome within its own process, are the source.
"""

import uuid
from collections.abc import Callable, Generator, Iterable
from typing import NamedTuple

import pytest

from pytest_gaia.clients.exchanges import Exchange, Message, Statement
from pytest_gaia.clients.running import RunningTest
from pytest_gaia.config.tolerance import Tolerance
from pytest_gaia.errors import ConfigError
from pytest_gaia.plugin.allure.files import Masks, mask_result
from pytest_gaia.plugin.allure.library import (
    Attachment,
    Label,
    Link,
    Parameter,
    ParameterMode,
    StatusDetails,
    TestResult,
    hookimpl,
    plugin_manager,
)
from pytest_gaia.plugin.checks.phases import skip_reason
from pytest_gaia.plugin.checks.result import Evaluator
from pytest_gaia.report.allure.exchanges import attached
from pytest_gaia.report.allure.results import (
    AllureOutcome,
    Identity,
    allure_outcome,
    environment_name,
    epic_of,
    hidden,
    history_id,
    message,
    missing,
    of_project,
    origin,
    test_case_id,
)
from pytest_gaia.run.session import Run
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
    # Why expectations did not match, or why a pass has no evidence.
    return "\n".join(text for title, text in report.sections if title in ("expectations", "evidence"))


def _expectations(reports: Iterable[pytest.TestReport]) -> tuple[str, ...]:
    said = (value for report in reports for name, value in report.user_properties if name == "gaia_rule")
    return tuple(dict.fromkeys(str(each) for each in said))


class ResultRewriter:
    """Registered with pytest and with Allure in every process that runs tests."""

    def __init__(self, config: pytest.Config, run: Run, evaluating: Evaluator) -> None:
        self._run = run
        self._evaluating = evaluating
        self._expectations = {expectation.id: expectation for expectation in evaluating.expectations.expectations}
        self._expected_as = config.option.gaia_allure_expected
        self._rootdir = config.rootpath
        self._epic = epic_of(run.declared.platform.name, config.rootpath)
        self._environment = environment_name(run.declared.name, simulated=run.declared.simulated)
        self._link = links(config)
        self._redact = Masks(run)
        self._seen: Seen | None = None

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> None:
        """Begin a test."""
        self._seen = Seen(item.nodeid)

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Keep a report. This is the innermost wrapper: the outcome is known, and the failure is still available."""
        report = yield
        if (seen := self._seen) is not None:
            seen.add(item, report, call)
            if seen.ended and not seen.passed:
                # The recorder forgets the exchanges after this report.
                seen.keep(self._run.recorder.current)
        return report

    @hookimpl(tryfirst=True)
    def report_result(self, result: TestResult) -> None:
        """Rewrite the result of the test that has just ended, and mask all text in it."""
        # Further results were created by the test itself.
        if self._seen is not None and not self._seen.reported:
            self._seen.reported = True
            self._rewrite(result, self._seen)
        mask_result(result, self._redact)

    def _rewrite(self, result: TestResult, seen: Seen) -> None:
        identity = Identity.of(seen.node)
        classification = seen.classification(self._evaluating.context.tolerance)
        shown = allure_outcome(classification, self._expectations, self._expected_as)
        self._identify(result, identity)
        if seen.called is not None:
            # A concurrent test was called before its turn.
            result.start, result.stop = seen.called
        if seen.retried:
            # The latest attempt is the one with the latest start, and two attempts can start in the same millisecond.
            result.start = max(result.start, seen.started + 1)
            result.stop = max(result.stop, result.start)
        seen.started = result.start
        self._label(result, identity, shown)
        if classification.outcome == "passed" and not seen.retried:
            return
        self._explain(result, seen, shown)
        self._attach(result, seen)

    def _identify(self, result: TestResult, identity: Identity) -> None:
        result.historyId = history_id(identity.node, self._environment)
        # Missing if the setup failed; and allure-pytest interprets "[a::b]" as a class.
        result.fullName, result.titlePath = identity.full_name, identity.title_path
        result.testCaseId = test_case_id(identity.full_name)
        for parameter in result.parameters:
            # Values can look equal after masking, and some differ in each run: the node id distinguishes the tests.
            parameter.excluded = True
        for name, value in hidden(identity, self._environment):
            result.parameters.append(Parameter(name, value, mode=ParameterMode.HIDDEN.value))

    def _label(self, result: TestResult, identity: Identity, shown: AllureOutcome) -> None:
        # Each attempt at a test adds its labels again.
        labels = dict.fromkeys((label.name, label.value) for label in result.labels)
        if "::" in identity.case:
            labels.pop(("subSuite", " > ".join(identity.node.split("::")[1:-1])), None)
        names = {name for name, _ in labels}
        if "framework" not in names or "::" in identity.case:
            labels.update(dict.fromkeys(missing(names, origin(identity))))
        added = of_project(identity, self._environment, self._rootdir, self._run.roots, self._epic)
        labels.update(dict.fromkeys((*missing(names, added), *shown.labels)))
        result.labels = [Label(name, value) for name, value in labels]
        result.links = list({(link.type, link.url): link for link in result.links}.values())
        result.links += [Link("issue", self._link(each), each) for each in shown.issues]

    def _explain(self, result: TestResult, seen: Seen, shown: AllureOutcome) -> None:
        # The test during which the run ended did start.
        interrupted = shown.outcome == "incomplete"
        broken = result.status == "broken" and shown.outcome in ("failed", "error")
        result.status = "broken" if interrupted or broken else shown.status
        result.statusDetails = StatusDetails(
            known=shown.known or None,
            flaky=shown.flaky or None,
            message=message("\n\n".join(each.message for each in seen.failures), shown.note),
            trace="\n\n".join(each.trace for each in seen.failures) or None,
        )

    def _attach(self, result: TestResult, seen: Seen) -> None:
        for each in attached(*seen.conversation(self._run.recorder.current)):
            file_name = f"{uuid.uuid4()}-attachment.{each.extension}"
            plugin_manager.hook.report_attached_data(body=each.body, file_name=file_name)
            result.attachments.append(Attachment(each.name, file_name, each.type))


def links(config: pytest.Config) -> Callable[[str], str]:
    """Return a function from an issue to its address, using ``--allure-link-pattern`` if it is given.

    Raises :class:`~pytest_gaia.errors.ConfigError` for an invalid pattern, which allure-pytest would detect only in the
    middle of the run.
    """
    given: list[tuple[str, str]] = config.option.allure_link_pattern
    for kind, pattern in given:
        _try(kind, pattern)
    issues = dict(given).get("issue", "{}")

    def address(issue: str) -> str:
        # An expectation can name an issue by its full address.
        return issue if "://" in issue else issues.format(issue)

    return address


def _try(kind: str, pattern: str) -> None:
    try:
        pattern.format("KEY-1")
    except (ValueError, LookupError, AttributeError, TypeError):
        raise ConfigError(
            f"--allure-link-pattern={kind}:{pattern}: invalid pattern. Write {{}} once for the key of the issue, and {{{{ or }}}} "
            "for a literal brace, as in Python's str.format."
        ) from None
