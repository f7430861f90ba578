"""Rewrite a result before Allure writes it: its outcome, labels, and links to issues."""

import uuid
from collections.abc import Callable, Generator

import pytest

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
from pytest_gaia.plugin.allure.seen import Seen
from pytest_gaia.plugin.checks.result import Evaluator
from pytest_gaia.report.allure.exchanges import attached
from pytest_gaia.report.allure.outcomes import AllureOutcome, allure_outcome, message
from pytest_gaia.report.allure.results import (
    Identity,
    environment_name,
    epic_of,
    hidden,
    history_id,
    missing,
    of_project,
    origin,
    test_case_id,
)
from pytest_gaia.run.session import Run


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
