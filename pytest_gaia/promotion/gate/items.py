"""One line of a decision: what had to be shown, whether it was, and what to do if not."""

from dataclasses import dataclass
from typing import Any, Literal

from pytest_gaia.promotion.gate.situation import Evidence

Status = Literal["proved", "signed", "waived", "missing", "stale", "failed"]
Group = Literal["edge", "stage"]
"""``edge``: before the bundle may be deployed there; ``stage``: after it was"""

GOOD: frozenset[Status] = frozenset({"proved", "signed", "waived"})


@dataclass(frozen=True, slots=True)
class Finding:
    """What the evidence comes to for one item."""

    status: Status
    why: str
    evidence: tuple[str, ...] = ()
    """SHA-256 of each envelope that it rests on"""
    next: str = ""
    """the command that mends it, where one does"""


@dataclass(frozen=True, slots=True)
class Item:
    """One item of a gate."""

    id: str
    title: str
    group: Group
    finding: Finding
    checklist: bool = False
    """whether it is one of the pipeline's eleven, which can be waived"""

    @property
    def good(self) -> bool:
        """Whether it holds nothing up."""
        return self.finding.status in GOOD

    @property
    def property_name(self) -> str:
        """Its name among the properties of a summary (SVR), such as ``GAIA_ROLLBACK_READY``."""
        return f"GAIA_{self.id.replace('-', '_').upper()}"


def proved(why: str, *evidence: Evidence[Any]) -> Finding:
    """Return that it holds, and by what."""
    return Finding("proved", why, tuple(each.sha256 for each in evidence))


def failed(why: str, *evidence: Evidence[Any], next: str = "") -> Finding:  # noqa: A002  # the field's name
    """Return that evidence says the contrary."""
    return Finding("failed", why, tuple(each.sha256 for each in evidence), next)


def missing(why: str, next: str = "") -> Finding:  # noqa: A002  # the field's name
    """Return that there is no evidence either way."""
    return Finding("missing", why, (), next)


def stale(why: str, *evidence: Evidence[Any], next: str = "") -> Finding:  # noqa: A002  # the field's name
    """Return that there was evidence, and that it is too old."""
    return Finding("stale", why, tuple(each.sha256 for each in evidence), next)
