"""The checks of the gate, the approvals on the way to the target, and the waivers."""

from collections.abc import Iterator, Sequence
from datetime import datetime

from pytest_gaia.promotion.gate.check import Check
from pytest_gaia.promotion.gate.gate import LONGEST_WAIVER, RERUN, WAIVER_ROLE, Gate
from pytest_gaia.promotion.gate.situation import Evidence, Situation, approvers
from pytest_gaia.promotion.ledger.ledger import Entry
from pytest_gaia.promotion.ledger.statements import GatePredicate, SignoffPredicate, WaiverPredicate
from pytest_gaia.promotion.signoff._context import PageContext, moment, plain_times
from pytest_gaia.report.signoff.page import Approval, GateCheck, Proof, Signature, Waiver


def gate_checks(gate: Gate, entries: Sequence[Entry]) -> tuple[GateCheck, ...]:
    """Return the checks of the decision: waived ones first, then those that did not pass."""
    ordered = sorted(gate.checks, key=lambda item: (item.finding.status != "waived", item.good))
    return tuple(
        GateCheck(
            id=item.id,
            title=item.title,
            when="before deployment" if item.group == "pre-deploy" else "after deployment",
            status=item.finding.status,
            good=item.good,
            reason=plain_times(item.finding.reason),
            next="" if item.good else item.finding.next,
            proofs=tuple(_proof(entry) for entry in _found(item, entries)),
        )
        for item in ordered
    )


def approvals(gates: Sequence[tuple[Situation, Gate]]) -> tuple[Approval, ...]:
    """Return every release check on the way, and who approved it or which key signed its evidence."""
    return tuple(
        _row(situation, item)
        for situation, gate in gates
        for item in gate.checks
        if item.in_pipeline or item.id.startswith("signed-")
    )


def waivers(context: PageContext, gates: Sequence[tuple[Situation, Gate]]) -> tuple[Waiver, ...]:
    """Return every waiver of this release with a valid signature; those in force come first."""
    found = [
        _waiver(context, situation, gate, waiver)
        for situation, gate in gates
        for waiver in situation.evidence(WaiverPredicate)
    ]
    return tuple(sorted(found, key=lambda waiver: not waiver.in_force))


def waived_before(context: PageContext) -> tuple[str, ...]:
    """Return the checks that were waived when the earlier gates decided: ``check (in ENVIRONMENT)``."""
    decisions = ((each.environment, each.newest(GatePredicate)) for each in context.situations[:-1])
    return tuple(
        f"{item} (in {name})" for name, decision in decisions if decision for item in decision.says.decision.waived
    )


def signatures(gate: Gate, situation: Situation) -> tuple[Signature, ...]:
    """Return a line to sign on for each role that approves the release as a whole, with what the ledger holds."""
    return tuple(_signature(gate, situation, role) for role in situation.stage.sign or (WAIVER_ROLE,))


def _signature(gate: Gate, situation: Situation, role: str) -> Signature:
    check = next((each for each in gate.checks if each.id == f"signed-{role}" and each.good), None)
    entry = next(_found(check, situation.entries), None) if check else None
    says = entry.predicate if entry else None
    if entry is None or not isinstance(says, SignoffPredicate):
        return Signature(role)
    return Signature(role, says.signer, moment(entry.time) if entry.time else "")


def _found(item: Check, entries: Sequence[Entry]) -> Iterator[Entry]:
    by_hash = {entry.sha256: entry for entry in entries}
    return (by_hash[sha256] for sha256 in item.finding.evidence if sha256 in by_hash)


def _proof(entry: Entry) -> Proof:
    signed_by = ", ".join(key.name for key in entry.signers) or "no key"
    return Proof(entry.sequence, entry.sha256, entry.word, moment(entry.time) if entry.time else "", signed_by)


def _row(situation: Situation, item: Check) -> Approval:
    entry = next(_found(item, situation.entries), None)
    says = entry.predicate if entry else None
    who = until = ""
    if isinstance(says, SignoffPredicate | WaiverPredicate):
        who, until = f"{says.signer} ({says.role})", moment(datetime.fromisoformat(says.until))
    elif entry is not None:
        who = ", ".join(key.name for key in entry.signers) or "no key"
    return Approval(
        edge=f"{situation.stage.previous or 'new'} → {situation.environment}",
        title=item.title,
        status=item.finding.status,
        good=item.good,
        reason=plain_times(item.finding.reason),
        who=who,
        when=moment(entry.time) if entry and entry.time else "",
        until=until,
    )


def _waiver(context: PageContext, situation: Situation, gate: Gate, waiver: Evidence[WaiverPredicate]) -> Waiver:
    says = waiver.says
    until = min(datetime.fromisoformat(says.until), waiver.time + LONGEST_WAIVER)
    keys = ", ".join(key.name for key in approvers(waiver.entry, situation.release))
    state, in_force = _state(context, situation, gate, waiver, until)
    return Waiver(
        check=says.check,
        environment=situation.environment,
        owner=says.signer,
        approver=f"{keys} ({says.role})" if keys else f"no key ({says.role})",
        reason=says.reason,
        given=moment(waiver.time),
        until=moment(until),
        age_days=(context.now - waiver.time).days,
        state=state,
        in_force=in_force,
    )


def _state(
    context: PageContext, situation: Situation, gate: Gate, waiver: Evidence[WaiverPredicate], until: datetime
) -> tuple[str, bool]:
    """Return the state of the waiver today, and whether it is in force."""
    item = next((each for each in gate.checks if each.id == waiver.says.check), None)
    if item is not None and item.finding.status == "waived" and waiver.sha256 in item.finding.evidence:
        return "in force", True
    decision = situation.newest(GatePredicate)
    earlier = situation is not context.target
    if earlier and decision is not None and waiver.says.check in decision.says.decision.waived:
        return f"used by the gate on {moment(decision.time)}", True
    if waiver.says.role != WAIVER_ROLE:
        return f"invalid: only a {WAIVER_ROLE} can waive", False
    if situation.now > until:
        return "expired", False
    if item is None:
        return "no longer required", False
    if item.good:
        return "not needed: the check passed", False
    return "older than the last rejected run" if item.id == RERUN else "replaced by a later waiver", False
