"""What an entry of the ledger says, in a few words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pytest_gaia.promotion.bundle import SHORT
from pytest_gaia.promotion.ledger import Entry
from pytest_gaia.promotion.statements import (
    NO_BUNDLE,
    CheckPredicate,
    DeploymentPredicate,
    GatePredicate,
    RollbackPredicate,
    RunPredicate,
    SignoffPredicate,
    WaiverPredicate,
)

_KINDS: dict[type, str] = {
    RunPredicate: "run",
    DeploymentPredicate: "deployment",
    GatePredicate: "gate",
    SignoffPredicate: "sign-off",
    WaiverPredicate: "waiver",
    RollbackPredicate: "rollback",
    CheckPredicate: "check",
}


def kind_of(entry: Entry) -> str:
    """Return what kind of evidence it is, in a word."""
    return _KINDS.get(type(entry.predicate), "unknown")


def told(entry: Entry) -> str:
    """Return what it says, in one line."""
    tell = _TOLD.get(type(entry.predicate))
    return tell(entry.predicate) if tell else entry.kind


def _run(says: RunPredicate) -> str:
    details = says.details
    missing = f", {len(details.missing)} not passed" if details.missing else ""
    problem = f"; {details.problem}" if details.problem else ""
    return (
        f"{details.environment} {details.bundle[:SHORT]}: {details.verdict}, {details.planned} sealed{missing}{problem}"
    )


def _gate(says: GatePredicate) -> str:
    decision = says.decision
    return f"{decision.environment} {decision.bundle[:SHORT]}: {decision.verdict}"


def _deployment(says: DeploymentPredicate) -> str:
    if says.bundle == NO_BUNDLE:
        return f"{says.environment} was {says.reason}: {says.outcome}"
    return f"{says.environment} {says.bundle[:SHORT]}: {says.outcome}"


def _rollback(says: RollbackPredicate) -> str:
    how = "rehearsed " if says.rehearsal else ""
    return f"{says.environment} {how}{says.bundle[:SHORT]} → {says.target[:SHORT]}: {says.outcome}; {says.why}"


def _signoff(says: SignoffPredicate) -> str:
    return (
        f"{says.environment} {says.bundle[:SHORT]}: {says.item}, by {says.signer} ({says.role}) until {says.until[:10]}"
    )


def _waiver(says: WaiverPredicate) -> str:
    return f"{says.environment} {says.bundle[:SHORT]}: {says.item} let go by {says.signer} ({says.role}): {says.why}"


def _check(says: CheckPredicate) -> str:
    return f"{says.environment} {says.bundle[:SHORT]}: {says.item} {says.status}: {says.why}"


_TOLD: dict[type, Callable[[Any], str]] = {
    RunPredicate: _run,
    DeploymentPredicate: _deployment,
    GatePredicate: _gate,
    SignoffPredicate: _signoff,
    WaiverPredicate: _waiver,
    RollbackPredicate: _rollback,
    CheckPredicate: _check,
}
