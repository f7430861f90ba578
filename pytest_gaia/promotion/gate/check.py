"""One line of a decision: what had to be shown, whether it was, and what to do if not."""

from dataclasses import dataclass
from typing import Any, Literal

from pytest_gaia.promotion.gate.situation import Evidence

Status = Literal["passed", "approved", "waived", "pending", "expired", "failed"]
Group = Literal["pre-deploy", "post-deploy"]
"""``edge``: before the bundle may be deployed there; ``stage``: after it was"""

GOOD: frozenset[Status] = frozenset({"passed", "approved", "waived"})


@dataclass(frozen=True, slots=True)
class Finding:
    """What the evidence comes to for one item."""

    status: Status
    reason: str
    evidence: tuple[str, ...] = ()
    """SHA-256 of each envelope that it rests on"""
    next: str = ""
    """the command that mends it, where one does"""


@dataclass(frozen=True, slots=True)
class Check:
    """One item of a gate."""

    id: str
    title: str
    group: Group
    finding: Finding
    in_pipeline: bool = False
    """whether it is one of the pipeline's eleven, which can be waived"""

    @property
    def good(self) -> bool:
        """Whether it holds nothing up."""
        return self.finding.status in GOOD

    @property
    def property_name(self) -> str:
        """Its name among the properties of a summary (SVR), such as ``GAIA_ROLLBACK_READY``."""
        return f"GAIA_{self.id.replace('-', '_').upper()}"


def passed(reason: str, *evidence: Evidence[Any]) -> Finding:
    """Return that it holds, and by what."""
    return Finding("passed", reason, tuple(each.sha256 for each in evidence))


def failed(reason: str, *evidence: Evidence[Any], next: str = "") -> Finding:  # noqa: A002  # the field's name
    """Return that evidence says the contrary."""
    return Finding("failed", reason, tuple(each.sha256 for each in evidence), next)


def pending(reason: str, next: str = "") -> Finding:  # noqa: A002  # the field's name
    """Return that there is no evidence either way."""
    return Finding("pending", reason, (), next)


def expired(reason: str, *evidence: Evidence[Any], next: str = "") -> Finding:  # noqa: A002  # the field's name
    """Return that there was evidence, and that it is too old."""
    return Finding("expired", reason, tuple(each.sha256 for each in evidence), next)
