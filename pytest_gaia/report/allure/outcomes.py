"""From what a test came to, to what Allure shows of it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from pytest_gaia.expectations.expectation import Expectation
from pytest_gaia.verdict.classify import ACCEPTED, Classification, Outcome

Status = Literal["failed", "broken", "passed", "skipped", "unknown"]
ExpectedAs = Literal["failed", "skipped"]
"""how failures that do not gate are shown: red and known, or as Allure 2 counts them, out of the way"""

_STATUSES: Mapping[Outcome, Status] = {
    "passed": "passed",
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
_LABELLED: frozenset[Outcome] = frozenset(("expected failure", "tolerated", "unexpected pass", "not applicable"))


@dataclass(frozen=True, slots=True)
class Telling:
    """What a result says beside what the test itself has left."""

    outcome: Outcome
    status: Status
    note: str = ""
    """stands below the failure; begins with ``gaia:``, by which categories know it"""
    known: bool = False
    flaky: bool = False
    labels: tuple[tuple[str, str], ...] = ()
    issues: tuple[str, ...] = ()

    def agrees(self, status: str | None) -> bool:
        """Whether a result of this status says the same. A test that breaks has failed, to whoever judges it."""
        if self.outcome in ("failed", "error", "incomplete"):
            return status in _ALIKE[self.status]
        return status == self.status


def tell(classification: Classification, expectations: Mapping[str, Expectation], expected_as: ExpectedAs) -> Telling:
    """Return what Allure is told of one judgement; ``rules`` are those of the run, by id."""
    outcome = classification.outcome
    decided = [expectations[each] for each in classification.expectations if each in expectations]
    return Telling(
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
        # Nobody looks for the reason of a red verdict among what is grey.
        return "failed"
    if classification.outcome in ACCEPTED:
        return expected_as
    return _STATUSES[classification.outcome]


def _labels(outcome: Outcome, expectations: Iterable[str]) -> tuple[tuple[str, str], ...]:
    if outcome not in _LABELLED:
        return ()
    return (("expectation", outcome), *(("rule", expectation) for expectation in expectations))


def _note(classification: Classification, expectations: Sequence[Expectation]) -> str:
    outcome, why = classification.outcome, classification.reason
    if outcome == "expected failure":
        return (
            "\n".join(("gaia: expected failure", *map(_terms, expectations)))
            if expectations
            else f"gaia: expected failure: {why}"
        )
    if outcome == "unexpected pass":
        head = f"gaia: unexpected pass: {why or 'a rule expects it to fail'}"
        return "\n".join((head, *map(_terms, expectations)))
    if outcome == "skipped":
        return f"gaia: skipped, and no rule allows that: {why}" if classification.blocks else f"gaia: skipped: {why}"
    if outcome == "passed":
        return f"gaia: {why}" if why else ""
    if outcome in ("failed", "error") and not why:
        return ""
    return f"gaia: {outcome}: {why}" if why else f"gaia: {outcome}"


def _terms(expectation: Expectation) -> str:
    return f"rule: {expectation.id}: {expectation.reason}\nissue: {expectation.issue}\nowner: {expectation.owner}\nexpires: {expectation.expires.isoformat()}"
