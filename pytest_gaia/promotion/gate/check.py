"""A release check: its title, its state, and the command that resolves it."""

from dataclasses import dataclass
from typing import Any, Literal

from pytest_gaia.promotion.gate.situation import Evidence

Status = Literal["passed", "approved", "waived", "pending", "expired", "failed"]
Group = Literal["pre-deploy", "post-deploy"]
"""whether the check applies before or after the deployment"""

GOOD: frozenset[Status] = frozenset({"passed", "approved", "waived"})


@dataclass(frozen=True, slots=True)
class Finding:
    """The state of a check, from the evidence."""

    status: Status
    reason: str
    evidence: tuple[str, ...] = ()
    """SHA-256 of each envelope that the state rests on"""
    next: str = ""
    """the command that resolves it; empty if there is none"""
    names: tuple[str, ...] = ()
    """everything that it is about, if the reason names only the first"""


@dataclass(frozen=True, slots=True)
class Check:
    """One check of a gate."""

    id: str
    title: str
    group: Group
    finding: Finding
    in_pipeline: bool = False
    """whether it is one of the checks of the pipeline, which can be waived"""

    @property
    def good(self) -> bool:
        """Whether it does not block the release."""
        return self.finding.status in GOOD

    @property
    def property_name(self) -> str:
        """Its name among the properties of a summary (SVR), such as ``GAIA_ROLLBACK_READY``."""
        return f"GAIA_{self.id.replace('-', '_').upper()}"


def passed(reason: str, *evidence: Evidence[Any]) -> Finding:
    """Return a finding for a condition that the evidence proves."""
    return Finding("passed", reason, tuple(each.sha256 for each in evidence))


def failed(reason: str, *evidence: Evidence[Any], next: str = "") -> Finding:  # noqa: A002  # the field's name
    """Return a finding for a condition that the evidence contradicts."""
    return Finding("failed", reason, tuple(each.sha256 for each in evidence), next)


def pending(reason: str, next: str = "") -> Finding:  # noqa: A002  # the field's name
    """Return a finding without evidence."""
    return Finding("pending", reason, (), next)


def expired(reason: str, *evidence: Evidence[Any], next: str = "") -> Finding:  # noqa: A002  # the field's name
    """Return a finding whose evidence is too old."""
    return Finding("expired", reason, tuple(each.sha256 for each in evidence), next)
