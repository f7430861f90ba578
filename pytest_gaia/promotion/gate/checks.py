"""The checks of the pipeline before each stage: decided by evidence, or approved by people."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from pytest_gaia.promotion.gate import _proofs as proofs
from pytest_gaia.promotion.gate.check import Check, Finding
from pytest_gaia.promotion.gate.services import removed_operations
from pytest_gaia.promotion.gate.situation import Situation

_APPROVERS = ("release-manager", "product")
_SECURITY = ("security",)


INTEGRATION_SUITES = ("messaging", "database")
"""suites that test the services with the message broker and the database, in projects that have one of these suites"""
_API = "gaia api diff --release {release} -e {environment} --attest"
_EXPERIMENTAL = "gaia release attest experimental-features {release} -e {environment}"


@dataclass(frozen=True, slots=True)
class PipelineCheck:
    """A check of the pipeline, and the function that evaluates it."""

    id: str
    title: str
    target: str
    """role of the environments before which it applies"""
    prove: Callable[[Situation], Finding]
    roles: tuple[str, ...] = ()
    """roles that approve it; empty if evidence decides"""
    first: Literal["pre-deploy", "post-deploy", ""] = "pre-deploy"
    """when it applies in a first stage, which a release enters without earlier runs; empty: never"""

    def check(self, situation: Situation) -> Check:
        """Evaluate the check."""
        group = (self.first if situation.stage.previous is None else "") or "pre-deploy"
        return Check(self.id, self.title, group, self.prove(situation), in_pipeline=True)


def _from_previous(prove: Callable[[Situation, str], Finding]) -> Callable[[Situation], Finding]:
    return lambda situation: prove(situation, situation.stage.previous or "")


def _integration(situation: Situation) -> Finding:
    previous, suites = situation.stage.previous or "", situation.declared.suites
    if suites is not None and suites.isdisjoint(INTEGRATION_SUITES):
        return proofs.passed_run(situation, previous)
    return proofs.covers_suites(situation, previous, INTEGRATION_SUITES)


def _check(check: str, command: str) -> Callable[[Situation], Finding]:
    def prove(situation: Situation) -> Finding:
        filled = command.format(environment=situation.environment, release=situation.release.short)
        return proofs.checked(situation, check, filled)

    return prove


def _signed(check: str, roles: tuple[str, ...]) -> Callable[[Situation], Finding]:
    return lambda situation: proofs.signed(situation, check, roles)


def _removed(situation: Situation) -> Finding:
    return removed_operations(situation, "removed-operations", _APPROVERS)


CHECKS: tuple[PipelineCheck, ...] = (
    PipelineCheck("local-tests-pass", "All local tests pass", "dev", _from_previous(proofs.passed_run), first=""),
    PipelineCheck(
        "feature-complete", "Features complete and tested", "dev", _signed("feature-complete", _APPROVERS), _APPROVERS
    ),
    # The API is read where the release runs: in the previous stage, or in the first stage after its deployment.
    PipelineCheck(
        "no-breaking-api-change",
        "No breaking API change",
        "dev",
        _check("no-breaking-api-change", _API),
        first="post-deploy",
    ),
    PipelineCheck("dev-stable", "The dev environment is stable", "staging", _from_previous(proofs.stable), first=""),
    PipelineCheck("integration-tests-pass", "Integration tests pass", "staging", _integration, first=""),
    PipelineCheck(
        "no-experimental-features",
        "No experimental features",
        "staging",
        _check("no-experimental-features", _EXPERIMENTAL),
    ),
    PipelineCheck("staging-validated", "Staging validation complete", "production", _from_previous(proofs.passed_gate)),
    PipelineCheck("core-verified", "Core functionality verified", "production", _from_previous(proofs.core_passed)),
    PipelineCheck("performance-acceptable", "Performance acceptable", "production", _from_previous(proofs.performs)),
    PipelineCheck("removed-operations", "Removed operations approved", "production", _removed, _APPROVERS, first=""),
    PipelineCheck(
        "security-review", "Security review complete", "production", _signed("security-review", _SECURITY), _SECURITY
    ),
    PipelineCheck("rollback-ready", "Rollback plan ready", "production", _from_previous(proofs.rollback_ready)),
)

BY_ID: Mapping[str, PipelineCheck] = {check.id: check for check in CHECKS}


def checks_for(situation: Situation) -> tuple[PipelineCheck, ...]:
    """Return the checks of the stage of ``situation``; none for a stage outside of the pipeline."""
    asked = (check for check in CHECKS if check.target == situation.declared.role)
    return tuple(check for check in asked if check.first or situation.stage.previous is not None)
