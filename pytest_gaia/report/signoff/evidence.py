"""What the charts of the sign-off page are drawn of."""

from __future__ import annotations

from dataclasses import dataclass

from pytest_gaia.report.terms import remaining


@dataclass(frozen=True, slots=True)
class Objective:
    """One service level objective, as it was measured in one environment."""

    environment: str
    route: str
    percentile: float
    samples: int
    measured_ms: float | None
    warn_ms: float | None
    fail_ms: float
    status: str
    why: str
    median_ms: float | None = None
    """from the record of the run, where that is at hand"""
    slowest_ms: float | None = None


@dataclass(frozen=True, slots=True)
class RunPoint:
    """One run of the ledger, of this release or an earlier one."""

    environment: str
    when: str
    release: str
    this: bool
    """whether it is a run of this release"""
    verdict: str
    passed: int
    excused: int
    failed: int
    other: int
    """not applicable, blocked or not run"""


@dataclass(frozen=True, slots=True)
class RuleAge:
    """How old a rule is, and how long it still holds."""

    rule: str
    age_days: int
    days_left: int
    used: bool
    """whether it excused a failure on this page"""

    @property
    def left(self) -> str:
        """How much longer it holds, in words."""
        return remaining(self.days_left)
