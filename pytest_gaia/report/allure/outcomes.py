"""From what a test came to, to what Allure shows of it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from pytest_gaia.policy.rules import Rule
from pytest_gaia.verdict.judge import EXCUSED, Judgement, Outcome

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


def tell(judgement: Judgement, rules: Mapping[str, Rule], expected_as: ExpectedAs) -> Telling:
    """Return what Allure is told of one judgement; ``rules`` are those of the run, by id."""
    outcome = judgement.outcome
    decided = [rules[each] for each in judgement.rules if each in rules]
    return Telling(
        outcome,
        _status(judgement, expected_as),
        _note(judgement, decided),
        known=outcome == "expected failure",
        flaky=judgement.retried,
        labels=_labels(outcome, judgement.rules),
        issues=tuple(dict.fromkeys(rule.issue for rule in decided)) if outcome in _LABELLED else (),
    )


def message(failure: str, note: str) -> str:
    """Return failure and note as one text."""
    return "\n\n".join(part for part in (failure, note) if part)


def _status(judgement: Judgement, expected_as: ExpectedAs) -> Status:
    if judgement.outcome == "skipped" and judgement.gates:
        # Nobody looks for the reason of a red verdict among what is grey.
        return "failed"
    if judgement.outcome in EXCUSED:
        return expected_as
    return _STATUSES[judgement.outcome]


def _labels(outcome: Outcome, rules: Iterable[str]) -> tuple[tuple[str, str], ...]:
    if outcome not in _LABELLED:
        return ()
    return (("expectation", outcome), *(("rule", rule) for rule in rules))


def _note(judgement: Judgement, rules: Sequence[Rule]) -> str:
    outcome, why = judgement.outcome, judgement.why
    if outcome == "expected failure":
        return "\n".join(("gaia: expected failure", *map(_terms, rules))) if rules else f"gaia: expected failure: {why}"
    if outcome == "unexpected pass":
        head = f"gaia: unexpected pass: {why or 'a rule expects it to fail'}"
        return "\n".join((head, *map(_terms, rules)))
    if outcome == "skipped":
        return f"gaia: skipped, and no rule allows that: {why}" if judgement.gates else f"gaia: skipped: {why}"
    if outcome == "passed":
        return f"gaia: {why}" if why else ""
    if outcome in ("failed", "error") and not why:
        return ""
    return f"gaia: {outcome}: {why}" if why else f"gaia: {outcome}"


def _terms(rule: Rule) -> str:
    return f"rule: {rule.id}: {rule.why}\nissue: {rule.issue}\nowner: {rule.owner}\nexpires: {rule.expires.isoformat()}"
