"""From pytest's reports to evidence, and back: what a report carries from the process that runs a test."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from _pytest.outcomes import Skipped

from pytest_gaia.verdict.evidence import Failure, Phase, Wire
from pytest_gaia.verdict.symptoms import failure_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from pytest_gaia.clients.exchanges import Exchange


class DoesNotApply(Skipped):
    """The environment does not have what the test needs. A class of its own, because any test can give any reason."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"not applicable: {reason}")
        self.reason = reason


def phase_of(
    report: pytest.TestReport,
    call: pytest.CallInfo[None],
    raised: BaseException | None,
    redact: Callable[[str], str],
) -> Phase:
    """Return what happened in a phase that did not pass, before anything is judged.

    What was ``raised`` counts, whatever a hook has made of the report.
    """
    if isinstance(raised, DoesNotApply):
        return Phase(call.when, "not applicable", call.duration, reason=redact(raised.reason))
    if isinstance(raised, Skipped) or _was_not_run(raised, call.when):
        return Phase(call.when, "skipped", call.duration, reason=redact(str(raised)))
    if raised is None and report.skipped:
        return Phase(call.when, "skipped", call.duration, reason=redact(skip_reason(report)))
    known = failure_of(raised, redact) if raised else None
    failure = known or Failure("error", message=redact(str(report.longrepr)))
    return Phase(call.when, "failed", call.duration, failure)


def _was_not_run(raised: BaseException | None, when: str) -> bool:
    """Whether pytest's own xfail kept the test from running: that is a skip by another name."""
    return isinstance(raised, pytest.xfail.Exception) and (when == "setup" or str(raised).startswith("[NOTRUN]"))


class Evidence:
    """What a test's reports have shown so far, as plain values, which survive the way from an xdist worker."""

    __slots__ = ("earlier", "phases")

    def __init__(self) -> None:
        self.phases: list[dict[str, Any]] = []
        self.earlier: tuple[dict[str, Any], ...] = ()
        """what failed in attempts before"""

    def add(self, phase: Phase) -> None:
        """Add a phase that did not pass."""
        self.phases.append(msgspec.to_builtins(phase))

    def add_pass(self, when: str, duration: float) -> None:
        """Add a phase that passed, as nearly all do: three values, and no way round."""
        self.phases.append({"when": when, "outcome": "passed", "duration": duration})

    def hand_over(self) -> dict[str, Any]:
        """Return what this attempt has shown, and keep only what the next one has to know of it."""
        given = {"phases": self.phases, "earlier": self.earlier}
        self.earlier += tuple(phase for phase in self.phases if phase["outcome"] == "failed")
        self.phases = []
        return given

    def note_native_xfail(self, report: pytest.TestReport, redact: Callable[[str], str]) -> None:
        """After pytest's own xfail has spoken, keep what it made of the latest phase."""
        phase = self.phases[-1]
        reason = getattr(report, "wasxfail", None)
        if reason is not None:
            phase["xfail"] = redact(str(reason))
            if phase["outcome"] == "failed" and phase["when"] != "call":
                # What a test expects to fail is its call: a broken fixture is an error.
                report.outcome = "failed"
                del report.wasxfail
        if report.failed and phase["outcome"] == "passed":
            # A strict xfail that passed: for pytest, and for us, a failure of its own.
            failure = Failure("assertion", "XPASS", redact(str(report.longrepr)))
            phase.update(outcome="failed", failure=msgspec.to_builtins(failure), passed_against_xfail=True)

    def name_subtest(self, message: str | None, values: Mapping[str, object]) -> None:
        """Say of which subtest the latest phase was."""
        if self.phases:
            named = ", ".join(f"{name}={value}" for name, value in values.items())
            self.phases[-1]["subtest"] = " ".join(part for part in (message, named) if part)

    @property
    def passed(self) -> bool:
        """Whether nothing but passes has been seen in this attempt."""
        return all(phase["outcome"] == "passed" for phase in self.phases)


def name_outcome(item: pytest.Item, report: pytest.TestReport, outcome: str, rules: Iterable[str] = ()) -> None:
    """Show the report under ``outcome``, and say in JUnit which rules decided it."""
    vars(report)["gaia_outcome"] = outcome
    properties: list[tuple[str, object]] = [("gaia_outcome", outcome), *(("gaia_rule", rule) for rule in rules)]
    # JUnit takes the properties of the last phase, whose report copies them from the item.
    item.user_properties.extend(properties)
    report.user_properties.extend(properties)


def excuse_report(item: pytest.Item, report: pytest.TestReport, reason: str) -> None:
    """Turn a failed report into a skipped one, which is what a failure that does not gate is to pytest."""
    path, line, _ = item.location
    report.outcome = "skipped"
    report.longrepr = (path, (line or 0) + 1, reason)


def wires(exchanges: Iterable[Exchange]) -> list[Any]:
    """Return exchanges as plain values, without bodies."""
    return [
        msgspec.to_builtins(
            Wire(
                each.request.method,
                each.route,
                each.service,
                each.via,
                each.elapsed,
                each.status,
                each.error,
                each.attempt,
            )
        )
        for each in exchanges
    ]


def skip_reason(report: pytest.TestReport | pytest.CollectReport) -> str:
    """Return what was given as the reason of a skip."""
    text = str(report.longrepr[2]) if isinstance(report.longrepr, tuple) else str(report.longrepr)
    return text.removeprefix("Skipped: ")
