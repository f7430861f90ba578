"""From pytest's reports to phases and evidence, and back: what happened, and how a report shows what it came to."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from inspect import currentframe
from traceback import walk_tb
from types import FrameType

import msgspec
import pytest
from msgspec.structs import replace

from pytest_gaia.clients.exchanges import Exchange
from pytest_gaia.collection.suites import Traits
from pytest_gaia.config.addresses import endpoints
from pytest_gaia.errors import NotApplicable
from pytest_gaia.expectations.subjects import Subject
from pytest_gaia.plugin.masking import mask_report
from pytest_gaia.plugin.pytest_private import ASKS_FOR_A_REPORT, REPLACES_A_FAILURE, RUNS_A_PHASE, Skipped
from pytest_gaia.plugin.terminal.outcomes import show_outcomes
from pytest_gaia.printable import colourless
from pytest_gaia.report.layout import terms
from pytest_gaia.run.session import Run
from pytest_gaia.verdict.classify import PhaseOutcome
from pytest_gaia.verdict.evidence import Failure, Phase, TestRecord, Wire
from pytest_gaia.verdict.gathering import failure_of


class DoesNotApply(Skipped):
    """The environment does not have what the test needs. A class of its own, because any test can give any reason."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"not applicable: {reason}")
        self.reason = reason


class Masks:
    """What masks everything that a process says of its tests.

    What is secret is asked for with the first text: a test that passes may run before the sandbox is there.
    """

    def __init__(self, run: Run, *, colours: bool = False) -> None:
        """``colours`` says whether pytest writes colours into reports."""
        self._run = run
        self._colours = colours

    def text(self, text: str) -> str:
        """Return ``text`` as evidence holds it: without secrets, and without colours."""
        return self._run.shown(colourless(text) if self._colours else text)

    def report(self, report: pytest.TestReport) -> None:
        """Mask everything in a report that people read."""
        mask_report(report, partial(self._run.shown, colours=self._colours))


def phase_of(
    report: pytest.TestReport, call: pytest.CallInfo[None], raised: BaseException | None, masks: Masks
) -> Phase:
    """Return what happened in a phase that did not pass, before anything is judged.

    What was ``raised`` counts, whatever a hook has made of the report.
    """
    if isinstance(raised, DoesNotApply):
        return Phase(call.when, "not applicable", call.duration, reason=masks.text(raised.reason))
    if isinstance(raised, Skipped) or _was_not_run(raised, call.when):
        return Phase(call.when, "skipped", call.duration, reason=masks.text(str(raised)))
    if raised is None and report.skipped:
        return Phase(call.when, "skipped", call.duration, reason=masks.text(skip_reason(report)))
    known = failure_of(_expected_by_unittest(raised) or raised, masks.text) if raised else None
    failure = known or Failure("error", message=masks.text(str(report.longrepr)))
    return Phase(call.when, "failed", call.duration, failure)


def _expected_by_unittest(raised: BaseException) -> BaseException | None:
    """Return the failure behind ``unittest.expectedFailure``, in whose place pytest raises an xfail without a reason."""
    frames = (step.f_locals for step, _ in walk_tb(raised.__traceback__) if step.f_code is REPLACES_A_FAILURE)
    return next((values["rawexcinfo"][1] for values in frames), None)


def _was_not_run(raised: BaseException | None, when: str) -> bool:
    """Whether pytest's own xfail kept the test from running: that is a skip by another name."""
    return isinstance(raised, pytest.xfail.Exception) and (when == "setup" or str(raised).startswith("[NOTRUN]"))


def with_native_xfail(phase: Phase, report: pytest.TestReport, masks: Masks) -> Phase:
    """After pytest's own xfail has spoken, return ``phase`` with what it made of it."""
    reason = getattr(report, "wasxfail", None)
    if reason is not None:
        phase = replace(phase, xfail=masks.text(str(reason)))
        if phase.outcome == "failed" and phase.when != "call":
            # What a test expects to fail is its call: a broken fixture is an error.
            report.outcome = "failed"
            del report.wasxfail
    if report.failed and phase.outcome == "passed":
        # A strict xfail that passed: for pytest, and for us, a failure of its own.
        failure = Failure("assertion", "XPASS", masks.text(str(report.longrepr)))
        phase = replace(phase, outcome="failed", failure=failure, passed_against_xfail=True)
    return phase


def raised_in(call: pytest.CallInfo[None]) -> pytest.ExceptionInfo[BaseException] | None:
    """Return what a phase raised: a skip, where a client or a fixture found that the environment lacks something.

    Only what ended the set-up or the call of a test is one. What ends a subtest did not come through the whole test,
    and fails it.
    """
    raised = call.excinfo
    if raised is None or call.when == "teardown" or not isinstance(raised.value, NotApplicable):
        return raised
    if raised.tb.tb_frame.f_code is not RUNS_A_PHASE:
        return raised
    return pytest.ExceptionInfo.from_exception(DoesNotApply(str(raised.value)).with_traceback(raised.tb))


def under_way() -> bool:
    """Whether the phase of a test is under way whose report is being made: then the report is that of a subtest."""
    frame: FrameType | None = currentframe()
    while frame is not None and frame.f_code is not ASKS_FOR_A_REPORT:
        if frame.f_code is RUNS_A_PHASE:
            return True
        frame = frame.f_back
    return False


@dataclass(frozen=True, slots=True)
class Showing:
    """How a report is shown that was judged."""

    outcome: str
    """the name of what it came to"""
    reason: str | None = None
    """why it does not gate: to pytest, that is a skip; None leaves the report as pytest has made it"""
    expectations: tuple[str, ...] = ()
    """those that decided it"""

    def apply(self, item: pytest.Item, report: pytest.TestReport) -> None:
        """Change the report, and say in JUnit which rules decided it."""
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
        # JUnit takes the properties of the last phase, whose report copies them from the item.
        item.user_properties.extend(properties)
        report.user_properties.extend(properties)


def showing_of(
    phase: Phase, report: pytest.TestReport, classify_phase: PhaseOutcome, *, tolerated: bool
) -> Showing | None:
    """Return how a phase is shown that failed and does not gate; None where it gates."""
    if (expectation := classify_phase.expectation) is not None:
        return Showing(
            "expected failure", f"{expectation.reason} ({expectation.id}, {terms(expectation)})", (expectation.id,)
        )
    return Showing("tolerated", in_short(phase) or report.longreprtext) if tolerated else None


def in_short(phase: Phase) -> str:
    """Return the class of what a phase failed with, and the first line that it said."""
    failure = phase.failure
    if failure is None:
        return ""
    return f"{failure.exception}: {failure.message.strip().partition(chr(10))[0]}".strip(": ")


def wires(exchanges: Sequence[Exchange], run: Run) -> tuple[Wire, ...]:
    """Return exchanges as a record holds them, without bodies."""
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
        )
        for each in exchanges
    )


def _elsewhere(exchange: Exchange, urls: Mapping[str, str]) -> str:
    """Return the address that was asked, if it is not the environment's: of a client that a check has made itself."""
    own = urls.get(exchange.service) or urls.get("gateway", "")
    asked = exchange.request.url
    return "" if own and asked.startswith(f"{own}/") else str(endpoints(asked)[0])


def skip_reason(report: pytest.TestReport | pytest.CollectReport) -> str:
    """Return what was given as the reason of a skip."""
    text = str(report.longrepr[2]) if isinstance(report.longrepr, tuple) else str(report.longrepr)
    return text.removeprefix("Skipped: ")


# gc=False: it refers to nothing that could refer back, and there are tens of thousands.
class Evidence(msgspec.Struct, gc=False):
    """One test: its phases in this attempt, and what failed in those before."""

    subject: Subject
    traits: Traits
    phases: tuple[Phase, ...] = ()
    earlier: tuple[Phase, ...] = ()
    attempts: int = 0
    """how often it has handed over what an attempt has shown"""
    clean: bool = True
    """whether nothing but passes has been seen in this attempt"""
    must_fail: bool = False
    """whether a rule expects it to fail"""

    def add(self, phase: Phase) -> None:
        """Add a phase."""
        self.phases += (phase,)
        self.clean = self.clean and phase.outcome == "passed"

    def name_subtest(self, message: str | None, values: Mapping[str, object]) -> None:
        """Say of which subtest the latest phase was."""
        *before, latest = self.phases
        named = ", ".join(f"{name}={value}" for name, value in values.items())
        self.phases = (*before, replace(latest, subtest=" ".join(part for part in (message, named) if part)))

    def hand_over(self, node: str, attempt: int, exchanges: tuple[Wire, ...], worker: str) -> TestRecord:
        """Return what this attempt has shown, and keep only what the next one has to know of it.

        ``attempt`` is its number as far as the process knows that began it; a plugin may run a test again without a number.
        """
        self.attempts += 1
        subject, (markers, services) = self.subject, self.traits.listed
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
        )
        if not self.clean:
            self.earlier += tuple(phase for phase in self.phases if phase.outcome == "failed")
            self.clean = True
        self.phases = ()
        return record


EVIDENCE: pytest.StashKey[Evidence] = pytest.StashKey()
"""on every collected test"""
