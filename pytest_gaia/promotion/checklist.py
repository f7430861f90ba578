"""The pipeline's eleven items, over its three edges: proved from evidence where that can be, signed by people where not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_gaia.promotion import proofs
from pytest_gaia.promotion.items import Finding, Item

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pytest_gaia.promotion.situation import Situation

_APPROVERS = ("release-manager", "product")
_SECURITY = ("security",)


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

    def item(self, situation: Situation) -> Item:
        """Return it with what the evidence says."""
        return Item(self.id, self.title, "edge", self.prove(situation), checklist=True)


def _from_previous(prove: Callable[[Situation, str], Finding]) -> Callable[[Situation], Finding]:
    return lambda situation: prove(situation, situation.stage.previous or situation.environment)


def _integration(situation: Situation) -> Finding:
    previous = situation.stage.previous or situation.environment
    return proofs.covers_suites(situation, previous, INTEGRATION_SUITES)


def _check(item: str, command: str) -> Callable[[Situation], Finding]:
    def prove(situation: Situation) -> Finding:
        filled = command.format(environment=situation.environment, bundle=situation.bundle.short)
        return proofs.checked(situation, item, filled)

    return prove


def _signed(item: str, roles: tuple[str, ...]) -> Callable[[Situation], Finding]:
    return lambda situation: proofs.signed(situation, item, roles)


INTEGRATION_SUITES = ("messaging", "database")
"""suites that test the services together with the broker and the database"""

_API = "gaia api diff --bundle {bundle} --env {environment} --record"
_EXPERIMENTAL = "gaia check no-experimental-features --bundle {bundle} --env {environment}"

CHECKLIST: tuple[ChecklistItem, ...] = (
    ChecklistItem("local-tests-pass", "All local tests pass", "dev", _from_previous(proofs.passed_run)),
    ChecklistItem(
        "feature-complete", "Feature complete and tested", "dev", _signed("feature-complete", _APPROVERS), _APPROVERS
    ),
    ChecklistItem("no-breaking-api-change", "No breaking API change", "dev", _check("no-breaking-api-change", _API)),
    ChecklistItem("dev-stable", "The dev environment is stable", "staging", _from_previous(proofs.stable)),
    ChecklistItem("integration-tests-pass", "Integration tests pass", "staging", _integration),
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


def checklist_for(environment: str) -> tuple[ChecklistItem, ...]:
    """Return the items of the edge into ``environment``; none for one that is not in the pipeline."""
    return tuple(item for item in CHECKLIST if item.target == environment)
