"""The gate's items, the checklist of the whole way, and who has let what go."""

from collections.abc import Iterator, Sequence
from datetime import datetime

from pytest_gaia.promotion.gate.gate import LONGEST_WAIVER, RERUN, WAIVER_ROLE, Gate
from pytest_gaia.promotion.gate.items import Item
from pytest_gaia.promotion.gate.situation import Evidence, Situation, approvers
from pytest_gaia.promotion.ledger.ledger import Entry
from pytest_gaia.promotion.ledger.statements import GatePredicate, SignoffPredicate, WaiverPredicate
from pytest_gaia.promotion.signoff._look import Look, moment
from pytest_gaia.report.signoff.page import ChecklistRow, Criterion, Proof, Waiver


def criteria(gate: Gate, entries: Sequence[Entry]) -> tuple[Criterion, ...]:
    """Return the items of the decision, what was let go first, then what is open."""
    ordered = sorted(gate.items, key=lambda item: (item.finding.status != "waived", item.good))
    return tuple(
        Criterion(
            id=item.id,
            title=item.title,
            when="before it is deployed" if item.group == "edge" else "after it is deployed",
            status=item.finding.status,
            good=item.good,
            why=item.finding.why,
            next="" if item.good else item.finding.next,
            proofs=tuple(_proof(entry) for entry in _found(item, entries)),
        )
        for item in ordered
    )


def checklist(gates: Sequence[tuple[Situation, Gate]]) -> tuple[ChecklistRow, ...]:
    """Return every item of every edge that a person or a proof answers for, in the order of the way."""
    return tuple(
        _row(situation, item)
        for situation, gate in gates
        for item in gate.items
        if item.checklist or item.id.startswith("signed-")
    )


def waivers(look: Look, gates: Sequence[tuple[Situation, Gate]]) -> tuple[Waiver, ...]:
    """Return every waiver that somebody who may has signed for this release, those in force first."""
    found = [
        _waiver(look, situation, gate, waiver)
        for situation, gate in gates
        for waiver in situation.evidence(WaiverPredicate)
    ]
    return tuple(sorted(found, key=lambda waiver: not waiver.in_force))


def waived_before(look: Look) -> tuple[str, ...]:
    """Return what the gates before the target have let go when they decided: ``item (environment)``."""
    decisions = ((each.environment, each.newest(GatePredicate)) for each in look.way[:-1])
    return tuple(
        f"{item} (into {name})" for name, decision in decisions if decision for item in decision.says.decision.waived
    )


def _found(item: Item, entries: Sequence[Entry]) -> Iterator[Entry]:
    by_hash = {entry.sha256: entry for entry in entries}
    return (by_hash[sha256] for sha256 in item.finding.evidence if sha256 in by_hash)


def _proof(entry: Entry) -> Proof:
    signed_by = ", ".join(key.name for key in entry.signers) or "nobody's key"
    return Proof(entry.sequence, entry.sha256, entry.word, moment(entry.time) if entry.time else "", signed_by)


def _row(situation: Situation, item: Item) -> ChecklistRow:
    entry = next(_found(item, situation.entries), None)
    says = entry.predicate if entry else None
    who = until = ""
    if isinstance(says, SignoffPredicate | WaiverPredicate):
        who, until = f"{says.signer} ({says.role})", moment(datetime.fromisoformat(says.until))
    elif entry is not None:
        who = ", ".join(key.name for key in entry.signers) or "nobody's key"
    return ChecklistRow(
        edge=f"{situation.stage.previous or 'nowhere'} → {situation.environment}",
        title=item.title,
        status=item.finding.status,
        good=item.good,
        why=item.finding.why,
        who=who,
        when=moment(entry.time) if entry and entry.time else "",
        until=until,
    )


def _waiver(look: Look, situation: Situation, gate: Gate, waiver: Evidence[WaiverPredicate]) -> Waiver:
    says = waiver.says
    until = min(datetime.fromisoformat(says.until), waiver.time + LONGEST_WAIVER)
    keys = ", ".join(key.name for key in approvers(waiver.entry, situation.release))
    standing, in_force = _standing(look, situation, gate, waiver, until)
    return Waiver(
        item=says.item,
        environment=situation.environment,
        owner=says.signer,
        approver=f"{keys} ({says.role})" if keys else f"nobody's key ({says.role})",
        why=says.why,
        given=moment(waiver.time),
        until=moment(until),
        age_days=(look.now - waiver.time).days,
        standing=standing,
        in_force=in_force,
    )


def _standing(
    look: Look, situation: Situation, gate: Gate, waiver: Evidence[WaiverPredicate], until: datetime
) -> tuple[str, bool]:
    """Return what the waiver is worth today, and whether anything rests on it."""
    item = next((each for each in gate.items if each.id == waiver.says.item), None)
    if item is not None and item.finding.status == "waived" and waiver.sha256 in item.finding.evidence:
        return "in force", True
    decision = situation.newest(GatePredicate)
    earlier = situation is not look.target
    if earlier and decision is not None and waiver.says.item in decision.says.decision.waived:
        return f"the gate let it go on {moment(decision.time)}", True
    if waiver.says.role != WAIVER_ROLE:
        return f"only a {WAIVER_ROLE} can", False
    if situation.now > until:
        return "has expired", False
    if item is None:
        return "nothing asks for it", False
    if item.good:
        return "not needed: it is shown", False
    return "given before the last run that was rejected" if item.id == RERUN else "replaced by a later one", False
