"""Conversion of pytest's reports to phases and results, and of outcomes back to reports; what a pass is based on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from inspect import currentframe
from operator import sub
from pathlib import Path
from traceback import walk_tb
from types import FrameType
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from pytest_gaia.clients.exchanges import Exchange
from pytest_gaia.clients.running import RunningTest, UnnoticedFailure
from pytest_gaia.collection.suites import Traits
from pytest_gaia.config.addresses import endpoints
from pytest_gaia.errors import NotApplicable, NotSent
from pytest_gaia.expectations.subjects import Subject
from pytest_gaia.plugin.masking import mask_report
from pytest_gaia.plugin.pytest_private import (
    ASKS_FOR_A_REPORT,
    REPLACES_A_FAILURE,
    RUNS_A_PHASE,
    Failed,
    Skipped,
    functions_calling_tests,
    has_replaced_fixtures,
    used_fixtures,
)
from pytest_gaia.plugin.terminal.outcomes import show_outcomes
from pytest_gaia.printable import without_colors
from pytest_gaia.report.layout import terms
from pytest_gaia.run.session import Run
from pytest_gaia.verdict.classify import PhaseOutcome, is_unnoticed
from pytest_gaia.verdict.evidence import Failure, Phase, TestRecord, Wire, until_teardown
from pytest_gaia.verdict.gathering import MESSAGE_LIMIT, failure_of

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


PASSES_ALONE = ("concurrent tests", "passes when run alone: other tests disturb something that it shares")
"""section of the report of a test that failed while others ran"""


class DoesNotApply(Skipped):
    """The environment lacks something that the test needs. A class, because a test can give any reason for a skip."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"not applicable: {reason}")
        self.reason = reason


class Masks:
    """Masks secrets in everything that a process reports about its tests.

    Loads the secrets with the first text, because a passing test may run before the sandbox is ready.
    """

    def __init__(self, run: Run, *, colours: bool = False) -> None:
        """``colours`` is True if pytest writes colors into reports."""
        self._run = run
        self._colours = colours

    def text(self, text: str) -> str:
        """Return ``text`` without secrets and colors, as results store it."""
        return self._run.shown(without_colors(text) if self._colours else text)

    def report(self, report: pytest.TestReport) -> None:
        """Mask every readable part of a report."""
        mask_report(report, partial(self._run.shown, colors=self._colours))


def phase_of(
    report: pytest.TestReport, call: pytest.CallInfo[None], raised: BaseException | None, masks: Masks
) -> Phase:
    """Return the phase of a test that did not pass, before it is classified.

    ``raised`` takes precedence over changes that hooks made to the report.
    """
    if isinstance(raised, DoesNotApply):
        return Phase(call.when, "not applicable", call.duration, reason=masks.text(raised.reason))
    if isinstance(raised, Skipped) or _was_not_run(raised, call.when):
        return Phase(call.when, "skipped", call.duration, reason=masks.text(str(raised)))
    if raised is None and report.skipped:
        return Phase(call.when, "skipped", call.duration, reason=masks.text(skip_reason(report)))
    if isinstance(raised, Unnoticed):
        return replace(raised.phase, duration=call.duration)
    known = failure_of(_expected_by_unittest(raised) or raised, masks.text) if raised else None
    failure = known or Failure("error", message=masks.text(str(report.longrepr)))
    return Phase(call.when, "failed", call.duration, failure)


def _expected_by_unittest(raised: BaseException) -> BaseException | None:
    """Return the failure behind ``unittest.expectedFailure``, which pytest replaces with an xfail without a reason."""
    frames = (step.f_locals for step, _ in walk_tb(raised.__traceback__) if step.f_code is REPLACES_A_FAILURE)
    return next((values["rawexcinfo"][1] for values in frames), None)


def _was_not_run(raised: BaseException | None, when: str) -> bool:
    """Whether pytest's own xfail kept the test from running, which is a skip."""
    return isinstance(raised, pytest.xfail.Exception) and (when == "setup" or str(raised).startswith("[NOTRUN]"))


class Unnoticed(Failed):
    """Raised for a phase that has ended well for pytest, with the failures that pytest has not noticed."""

    # pytest's summary then shows the text only.
    __module__ = "builtins"

    def __init__(self, text: str, phase: Phase) -> None:
        super().__init__(text, pytrace=False)
        self.phase = phase


def phase_of_unnoticed(unnoticed: UnnoticedFailure, call: pytest.CallInfo[None], headline: str, masks: Masks) -> Phase:
    """Return a phase of its own for a failure that pytest has not noticed."""
    known = Failure(unnoticed.kind) if unnoticed.error is None else failure_of(unnoticed.error, masks.text)
    failure = replace(known, kind=unnoticed.kind or known.kind, message=masks.text(headline)[:MESSAGE_LIMIT])
    return Phase(call.when, "failed", failure=failure)


def with_native_xfail(phase: Phase, report: pytest.TestReport, masks: Masks) -> Phase:
    """Return ``phase`` with the effect of pytest's own xfail."""
    if phase.failure is not None and (phase.failure.kind == NotSent.kind or is_unnoticed(phase)):
        # This is not what the mark expects.
        report.outcome = "failed"
        vars(report).pop("wasxfail", None)
        return phase
    reason = getattr(report, "wasxfail", None)
    if reason is not None:
        phase = replace(phase, xfail=masks.text(str(reason)))
        if phase.outcome == "failed" and phase.when != "call":
            # An xfail is about the call of a test; a broken fixture is an error.
            report.outcome = "failed"
            del report.wasxfail
    if report.failed and phase.outcome == "passed":
        # pytest reports a strict xfail that passes as a failure.
        failure = Failure("assertion", "XPASS", masks.text(str(report.longrepr)))
        phase = replace(phase, outcome="failed", failure=failure, passed_against_xfail=True)
    return phase


SKIPS = (Skipped, NotApplicable)
NO_FAILURES = (*SKIPS, pytest.xfail.Exception)


def raised_in(call: pytest.CallInfo[None], not_sent: Mapping[str, str]) -> pytest.ExceptionInfo[BaseException] | None:
    """Return what a phase raised, as a skip if a client or a fixture reported that the environment lacks something.

    This applies to the setup and the call of a test only. If code of the project raised ``NotApplicable``, the test is skipped.
    An exception in a subtest fails the subtest. A test that passes or skips although a request was ``not_sent``
    (service → reason) has caught an error that counts.
    """
    raised = call.excinfo
    caught = call.when == "call" if raised is None else isinstance(raised.value, NO_FAILURES)
    if not_sent and caught:
        return info_of(NotSent(*next(iter(not_sent.items()))))
    if raised is None or call.when == "teardown" or not isinstance(raised.value, NotApplicable):
        return raised
    if raised.tb.tb_frame.f_code is not RUNS_A_PHASE:
        return raised
    *_, (frame, _) = walk_tb(raised.tb)
    if frame.f_globals.get("__name__", "").partition(".")[0] != "pytest_gaia":
        # Only the environment can lack something.
        return pytest.ExceptionInfo.from_exception(Skipped(str(raised.value)).with_traceback(raised.tb))
    return pytest.ExceptionInfo.from_exception(DoesNotApply(str(raised.value)).with_traceback(raised.tb))


def info_of(error: BaseException) -> pytest.ExceptionInfo[BaseException]:
    """Return pytest's information about an error that nothing has raised yet."""
    try:
        raise error
    except type(error):
        return pytest.ExceptionInfo.from_current()


def under_way() -> bool:
    """Whether a test is still in its phase while a report is made, which is then the report of a subtest."""
    frame: FrameType | None = currentframe()
    while frame is not None and frame.f_code is not ASKS_FOR_A_REPORT:
        if frame.f_code is RUNS_A_PHASE:
            return True
        frame = frame.f_back
    return False


@dataclass(frozen=True, slots=True)
class Showing:
    """How a report shows an outcome."""

    outcome: str
    """name of the outcome"""
    reason: str | None = None
    """why it does not block, which makes pytest show a skip; None leaves pytest's report as it is"""
    expectations: tuple[str, ...] = ()
    """those that determined the outcome"""

    def apply(self, item: pytest.Item, report: pytest.TestReport) -> None:
        """Change the report, and add the expectations to the properties in JUnit."""
        show_outcomes(item.config)
        if self.reason is not None:
            path, line, _ = item.location
            report.outcome = "skipped"
            report.longrepr = (path, (line or 0) + 1, self.reason)
        vars(report)["gaia_outcome"] = self.outcome
        properties = [
            ("gaia_outcome", self.outcome),
            *(("gaia_rule", expectation) for expectation in self.expectations),
        ]
        # JUnit takes the properties of the last phase; its report copies them from the item.
        item.user_properties.extend(properties)
        report.user_properties.extend(properties)


def showing_of(
    phase: Phase, report: pytest.TestReport, classify_phase: PhaseOutcome, *, tolerated: bool
) -> Showing | None:
    """Return how to show a failed phase that does not block; None if it blocks."""
    if (expectation := classify_phase.expectation) is not None:
        return Showing(
            "expected failure", f"{expectation.reason} ({expectation.id}, {terms(expectation)})", (expectation.id,)
        )
    return Showing("tolerated", in_short(phase) or report.longreprtext) if tolerated else None


def in_short(phase: Phase) -> str:
    """Return the exception class of a failed phase, and the first line of its message."""
    failure = phase.failure
    if failure is None:
        return ""
    return f"{failure.exception}: {failure.message.strip().partition(chr(10))[0]}".strip(": ")


def wires(exchanges: Sequence[Exchange], run: Run, own_trace: str = "") -> tuple[Wire, ...]:
    """Return exchanges for the results log, without bodies, in the order in which they were sent.

    A test that sends several at a time records them as they end, so their order would differ between runs. ``own_trace`` is
    the trace ID of the test.
    """
    if not exchanges:
        return ()
    urls = run.environment.urls
    return tuple(
        Wire(
            each.request.method,
            each.route,
            each.service,
            each.via,
            each.elapsed,
            each.status,
            each.error,
            each.attempt,
            _elsewhere(each, urls),
            each.request_id,
            "" if (trace_id := each.trace_id) == own_trace else trace_id,
        )
        for each in sorted(exchanges, key=lambda exchange: exchange.started)
    )


def _elsewhere(exchange: Exchange, urls: Mapping[str, str]) -> str:
    """Return the address of a request if it is not the environment's; tests can create clients of their own."""
    own = urls.get(exchange.service if exchange.via == "direct" else exchange.via)
    asked = exchange.request.url
    return "" if own and asked.startswith(f"{own}/") else str(endpoints(asked)[0])


def skip_reason(report: pytest.TestReport | pytest.CollectReport) -> str:
    """Return the reason of a skip."""
    text = str(report.longrepr[2]) if isinstance(report.longrepr, tuple) else str(report.longrepr)
    return text.removeprefix("Skipped: ")


# gc=False: its fields contain no cycles, and there are tens of thousands of instances.
class Evidence(msgspec.Struct, gc=False):
    """The results of one test: phases of this attempt, and failures of earlier attempts."""

    subject: Subject
    traits: Traits
    phases: tuple[Phase, ...] = ()
    earlier: tuple[Phase, ...] = ()
    attempts: int = 0
    """number of attempts that were handed over"""
    clean: bool = True
    """whether every phase of this attempt passed"""
    must_fail: bool = False
    """whether an expectation requires a failure"""
    operations: tuple[str, ...] | None = None
    """operations that the test declares, at the services that receive its requests; None if it declares none"""
    started: RunningTest | None = None
    """this attempt, if it was started early"""
    fixtures: tuple[str, ...] = ()
    """fixtures that are evidence of this attempt, if it has none of its own"""
    no_evidence: str = ""
    """why this attempt has no evidence"""

    def add(self, phase: Phase) -> None:
        """Add a phase."""
        self.phases += (phase,)
        self.clean = self.clean and phase.outcome == "passed"

    def name_subtest(self, message: str | None, values: Mapping[str, object]) -> None:
        """Add the name of the subtest to the latest phase."""
        *before, latest = self.phases
        named = ", ".join(f"{name}={value}" for name, value in values.items())
        self.phases = (*before, replace(latest, subtest=" ".join(part for part in (message, named) if part)))

    def hand_over(
        self, node: str, attempt: int, exchanges: tuple[Wire, ...], running: RunningTest, worker: str
    ) -> TestRecord:
        """Return the record of this attempt, and keep only what the next attempt needs.

        ``attempt`` is its number, if the plugin that runs a test again counts attempts.
        """
        self.attempts += 1
        subject, (markers, services) = self.subject, self.traits.listed
        _, statements, messages = map(sub, running.called or running.of_fixtures, running.of_fixtures)
        record = TestRecord(
            node,
            "ran",
            self.phases,
            exchanges,
            markers,
            services,
            self.traits.needs.core,
            max(attempt, self.attempts),
            self.earlier,
            worker,
            subject="" if subject.node == node else subject.node,
            operations=self.operations,
            not_sent=running.not_sent,
            in_flight=running.others,
            offline=self.traits.needs.offline,
            statements=statements,
            messages=messages,
            of_fixtures=running.of_fixtures[0],
            fixtures=self.fixtures,
            no_evidence=self.no_evidence,
            unread=self._unread(running),
            trace_id=running.trace_id,
            began=min((each.started for each in running.exchanges), default=0.0),
        )
        if not self.clean:
            self.earlier += tuple(phase for phase in self.phases if phase.outcome == "failed")
            self.clean = True
        self.phases, self.started = (), None
        self.fixtures, self.no_evidence = (), ""
        return record

    def _unread(self, running: RunningTest) -> tuple[str, ...]:
        """Return the requests of a passed test of whose responses it has read nothing, without those of its teardown."""
        if not running.unread or not self.clean:
            return ()
        unread = [each for each in running.exchanges[: until_teardown(self.phases)] if id(each) in running.unread]
        return tuple(f"{each.request.method} {each.route} of {each.service}, {each.status}" for each in unread)


EVIDENCE: pytest.StashKey[Evidence] = pytest.StashKey()
"""on every collected test"""
