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


def attach(report: pytest.TestReport, phase: Phase) -> None:
    """Put the evidence of one phase on its report. Plain values survive the way from an xdist worker."""
    vars(report)["gaia_phase"] = msgspec.to_builtins(phase)


def attach_pass(report: pytest.TestReport, call: pytest.CallInfo[None]) -> None:
    """Do the same for a phase that passed, as nearly all do: three values, and no way round."""
    vars(report)["gaia_phase"] = {"when": report.when, "outcome": "passed", "duration": call.duration}


def attached(report: pytest.TestReport) -> dict[str, Any] | None:
    """Return the evidence that :func:`attach` put on a report."""
    phase: dict[str, Any] | None = getattr(report, "gaia_phase", None)
    return phase


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


def note_native_xfail(report: pytest.TestReport) -> None:
    """After pytest's own xfail has spoken, keep in the evidence what it made of the phase."""
    phase = attached(report)
    if phase is None:
        return
    if reason := getattr(report, "wasxfail", None):
        phase["xfail"] = str(reason)
    if report.failed and phase["outcome"] == "passed":
        # A strict xfail that passed: for pytest, and for us, a failure of its own.
        failure = Failure("assertion", "XPASS", str(report.longrepr))
        phase.update(outcome="failed", failure=msgspec.to_builtins(failure))


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
