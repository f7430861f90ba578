"""The pipeline's eleven items, over its three edges: proved from evidence where that can be, signed by people where not."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from pytest_gaia.promotion.gate import _proofs as proofs
from pytest_gaia.promotion.gate.items import Finding, Item
from pytest_gaia.promotion.gate.situation import Situation

_APPROVERS = ("release-manager", "product")
_SECURITY = ("security",)


INTEGRATION_SUITES = ("messaging", "database")
"""suites that test the services together with the broker and the database"""
_API = "gaia api diff --bundle {release} --env {environment} --record"
_EXPERIMENTAL = "gaia check no-experimental-features --bundle {release} --env {environment}"


@dataclass(frozen=True, slots=True)
class ChecklistItem:
    """One item, and how it is shown."""

    id: str
    title: str
    target: str
    """the environment that it guards"""
    prove: Callable[[Situation], Finding]
    roles: tuple[str, ...] = ()
    """who signs it; empty: it is proved"""
    first: Literal["edge", "stage", ""] = "edge"
    """when a first stage asks for it, which a bundle enters without having run anywhere; empty: never"""

    def item(self, situation: Situation) -> Item:
        """Return it with what the evidence says."""
        group = (self.first if situation.stage.previous is None else "") or "edge"
        return Item(self.id, self.title, group, self.prove(situation), checklist=True)


def _from_previous(prove: Callable[[Situation, str], Finding]) -> Callable[[Situation], Finding]:
    return lambda situation: prove(situation, situation.stage.previous or "")


def _integration(situation: Situation) -> Finding:
    return proofs.covers_suites(situation, situation.stage.previous or "", INTEGRATION_SUITES)


def _check(item: str, command: str) -> Callable[[Situation], Finding]:
    def prove(situation: Situation) -> Finding:
        filled = command.format(environment=situation.environment, release=situation.release.short)
        return proofs.checked(situation, item, filled)

    return prove


def _signed(item: str, roles: tuple[str, ...]) -> Callable[[Situation], Finding]:
    return lambda situation: proofs.signed(situation, item, roles)


CHECKLIST: tuple[ChecklistItem, ...] = (
    ChecklistItem("local-tests-pass", "All local tests pass", "dev", _from_previous(proofs.passed_run), first=""),
    ChecklistItem(
        "feature-complete", "Feature complete and tested", "dev", _signed("feature-complete", _APPROVERS), _APPROVERS
    ),
    # What a bundle offers is asked where it runs: in the stage before, or here as soon as it was deployed.
    ChecklistItem(
        "no-breaking-api-change",
        "No breaking API change",
        "dev",
        _check("no-breaking-api-change", _API),
        first="stage",
    ),
    ChecklistItem("dev-stable", "The dev environment is stable", "staging", _from_previous(proofs.stable), first=""),
    ChecklistItem("integration-tests-pass", "Integration tests pass", "staging", _integration, first=""),
    ChecklistItem(
        "no-experimental-features",
        "No experimental features",
        "staging",
        _check("no-experimental-features", _EXPERIMENTAL),
    ),
    ChecklistItem("staging-validated", "Staging validation complete", "production", _from_previous(proofs.passed_gate)),
    ChecklistItem("core-verified", "Core functionality verified", "production", _from_previous(proofs.core_passed)),
    ChecklistItem("performance-acceptable", "Performance acceptable", "production", _from_previous(proofs.performs)),
    ChecklistItem(
        "security-review", "Security review complete", "production", _signed("security-review", _SECURITY), _SECURITY
    ),
    ChecklistItem("rollback-ready", "Rollback plan ready", "production", _from_previous(proofs.rollback_ready)),
)

BY_ID: Mapping[str, ChecklistItem] = {item.id: item for item in CHECKLIST}


def checklist_for(situation: Situation) -> tuple[ChecklistItem, ...]:
    """Return the items that the stage of ``situation`` asks for; none for one that is not in the pipeline."""
    asked = (item for item in CHECKLIST if item.target == situation.environment)
    return tuple(item for item in asked if item.first or situation.stage.previous is not None)
