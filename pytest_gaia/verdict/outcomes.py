"""What a run came to: counts of outcomes, and the verdict that follows from them alone."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

PASSED, FAILED, ERROR, SKIPPED = "passed", "failed", "error", "skipped"
NOT_APPLICABLE = "not applicable"
KNOWN_DEFECT = "known defect"

EXIT_FAILED, EXIT_NO_EVIDENCE, EXIT_INFRA = 1, 11, 12


@dataclass(slots=True)
class Outcomes:
    """Outcomes of one run as they come in; reasons of what did not run, and defects that were met, with counts."""

    counts: Counter[str] = field(default_factory=Counter)
    not_applicable: Counter[str] = field(default_factory=Counter)
    """reason → checks"""
    defects: Counter[str] = field(default_factory=Counter)
    """defect id → checks that ran into it"""
    unavailable: bool = False
    """whether nothing was run because the environment is out of reach"""

    def add(self, outcome: str, *, reason: str = "") -> None:
        """Count one test's outcome; ``reason`` says why it does not apply, or names the defect."""
        self.counts[outcome] += 1
        if outcome == NOT_APPLICABLE:
            self.not_applicable[reason] += 1
        elif outcome == KNOWN_DEFECT:
            self.defects[reason] += 1

    @property
    def verdict(self) -> Verdict:
        """The verdict: only an explicit pass, and nothing that gates, is a PASS."""
        if self.unavailable:
            return Verdict("INFRA", EXIT_INFRA, "the environment is out of reach; nothing was run")
        if broken := self.counts[FAILED] + self.counts[ERROR]:
            return Verdict("FAIL", EXIT_FAILED, f"{broken} failed")
        if not self.counts[PASSED]:
            return Verdict("NO EVIDENCE", EXIT_NO_EVIDENCE, "no check passed, so nothing is known")
        return Verdict("PASS", 0, f"{self.counts[PASSED]} passed")


@dataclass(frozen=True, slots=True)
class Verdict:
    """The word, the exit code and the reason."""

    word: str
    exit_code: int
    why: str
