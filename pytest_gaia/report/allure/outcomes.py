"""The status, labels and note of a test outcome in Allure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from pytest_gaia.expectations.expectation import Expectation
from pytest_gaia.verdict.classify import ACCEPTED, Classification, Outcome

Status = Literal["failed", "broken", "passed", "skipped", "unknown"]
ExpectedAs = Literal["failed", "skipped"]
"""how non-blocking failures are shown: as failed and known, or as skipped, for Allure 2"""

_STATUSES: Mapping[Outcome, Status] = {
    "passed": "passed",
    "passed offline": "passed",
    "without evidence": "failed",
    "failed": "failed",
    "error": "broken",
    "crashed": "broken",
    "not collected": "broken",
    "expected failure": "failed",
    "tolerated": "failed",
    "unexpected pass": "failed",
    "skipped": "skipped",
    "not applicable": "skipped",
    "incomplete": "unknown",
    "deselected": "skipped",
}
_ALIKE: Mapping[Status, frozenset[Status]] = {
    "failed": frozenset(("failed", "broken")),
    "broken": frozenset(("failed", "broken")),
    "unknown": frozenset(("unknown", "broken")),
}
_LABELLED: frozenset[Outcome] = frozenset(
    ("expected failure", "tolerated", "unexpected pass", "not applicable", "without evidence")
)


@dataclass(frozen=True, slots=True)
class AllureOutcome:
    """What a result shows in addition to the output of the test."""

    outcome: Outcome
    status: Status
    note: str = ""
    """text below the failure; begins with ``gaia:``, which the categories match"""
    known: bool = False
    flaky: bool = False
    labels: tuple[tuple[str, str], ...] = ()
    issues: tuple[str, ...] = ()

    def agrees(self, status: str | None) -> bool:
        """Whether a result with this status agrees. "Broken" counts as failed."""
        if self.outcome in ("failed", "error", "incomplete"):
            return status in _ALIKE[self.status]
        return status == self.status


def allure_outcome(
    classification: Classification, expectations: Mapping[str, Expectation], expected_as: ExpectedAs
) -> AllureOutcome:
    """Return what Allure shows for one test; ``expectations`` are those of the run, by id."""
    outcome = classification.outcome
    decided = [expectations[each] for each in classification.expectations if each in expectations]
    return AllureOutcome(
        outcome,
        _status(classification, expected_as),
        _note(classification, decided),
        known=outcome == "expected failure",
        flaky=classification.retried,
        labels=_labels(outcome, classification.expectations),
        issues=tuple(dict.fromkeys(expectation.issue for expectation in decided)) if outcome in _LABELLED else (),
    )


def message(failure: str, note: str) -> str:
    """Return failure and note as one text."""
    return "\n\n".join(part for part in (failure, note) if part)


def _status(classification: Classification, expected_as: ExpectedAs) -> Status:
    if classification.outcome == "skipped" and classification.blocks:
        # A blocking result must not be gray.
        return "failed"
    if classification.outcome in ACCEPTED:
        return expected_as
    return _STATUSES[classification.outcome]


def _labels(outcome: Outcome, expectations: Iterable[str]) -> tuple[tuple[str, str], ...]:
    if outcome not in _LABELLED:
        return ()
    return (("outcome", outcome), *(("expectation", expectation) for expectation in expectations))


def _note(classification: Classification, expectations: Sequence[Expectation]) -> str:
    outcome, reason = classification.outcome, classification.reason
    if outcome == "expected failure":
        return (
            "\n".join(("gaia: expected failure", *map(_terms, expectations)))
            if expectations
            else f"gaia: expected failure: {reason}"
        )
    if outcome == "unexpected pass":
        head = f"gaia: unexpected pass: {reason or 'an expectation expects it to fail'}"
        return "\n".join((head, *map(_terms, expectations)))
    if outcome == "skipped":
        return (
            f"gaia: skipped, and no expectation covers that: {reason}"
            if classification.blocks
            else f"gaia: skipped: {reason}"
        )
    if outcome in ("passed", "passed offline"):
        return f"gaia: {reason}" if reason else ""
    if outcome in ("failed", "error") and not reason:
        return ""
    return f"gaia: {outcome}: {reason}" if reason else f"gaia: {outcome}"


def _terms(expectation: Expectation) -> str:
    return f"expectation: {expectation.id}: {expectation.reason}\nissue: {expectation.issue}\nowner: {expectation.owner}\nexpires: {expectation.expires.isoformat()}"
