"""From pytest's reports to evidence, and back: what a report carries from the process that runs a test."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from pytest_gaia.verdict.evidence import Failure, Phase, Wire
from pytest_gaia.verdict.symptoms import failure_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import pytest

    from pytest_gaia.clients.exchanges import Exchange

NOT_APPLICABLE = "not applicable: "
"""how the reason of a skip begins that means: the environment does not have what the check needs"""


def phase_of(report: pytest.TestReport, call: pytest.CallInfo[None], redact: Callable[[str], str]) -> Phase:
    """Return what happened in a phase that did not pass, before anything is judged."""
    if report.skipped:
        reason = _skip_reason(report)
        applies = not reason.startswith(NOT_APPLICABLE)
        outcome = "skipped" if applies else "not applicable"
        return Phase(report.when or "call", outcome, call.duration, reason=reason.removeprefix(NOT_APPLICABLE))  # type: ignore[arg-type]  # one of the two literals
    known = failure_of(call.excinfo.value, redact) if call.excinfo else None
    failure = known or Failure("error", message=redact(str(report.longrepr)))
    return Phase(report.when or "call", "failed", call.duration, failure)


class Evidence:
    """What a test's reports have shown so far, as plain values, which survive the way from an xdist worker."""

    def __init__(self) -> None:
        self.phases: list[dict[str, Any]] = []
        self.earlier: list[dict[str, Any]] = []
        """what failed in attempts before"""

    def add(self, phase: Phase) -> None:
        """Add a phase that did not pass."""
        self.phases.append(msgspec.to_builtins(phase))

    def add_pass(self, when: str, duration: float) -> None:
        """Add a phase that passed, as nearly all do: three values, and no way round."""
        self.phases.append({"when": when, "outcome": "passed", "duration": duration})

    def begin(self) -> None:
        """An attempt begins; what failed in those before is kept apart."""
        self.earlier += [phase for phase in self.phases if phase["outcome"] == "failed"]
        self.phases.clear()

    def note_native_xfail(self, report: pytest.TestReport) -> None:
        """After pytest's own xfail has spoken, keep what it made of the latest phase."""
        phase = self.phases[-1]
        if reason := getattr(report, "wasxfail", None):
            phase["xfail"] = str(reason)
        if report.failed and phase["outcome"] == "passed":
            # A strict xfail that passed: for pytest, and for us, a failure of its own.
            failure = Failure("assertion", "XPASS", str(report.longrepr))
            phase.update(outcome="failed", failure=msgspec.to_builtins(failure))


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


def _skip_reason(report: pytest.TestReport) -> str:
    text = str(report.longrepr[2]) if isinstance(report.longrepr, tuple) else str(report.longrepr)
    return text.removeprefix("Skipped: ")
