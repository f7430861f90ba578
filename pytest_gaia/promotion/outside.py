"""Deployments outside of a promotion: what the journal of this machine knows of them, and an entry of the ledger for each.

No gate has let them through. They hold back the gate of their environment until a bundle is promoted there again.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pytest_gaia.errors import GaiaError
from pytest_gaia.promotion.statements import (
    DEPLOYMENT,
    NO_BUNDLE,
    DeploymentPredicate,
    RollbackPredicate,
    Subject,
)
from pytest_gaia.rollout.journal import Journal

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from pytest_gaia.promotion.ledger import Entry
    from pytest_gaia.promotion.project import Promotion
    from pytest_gaia.rollout.journal import Entry as Line
    from pytest_gaia.rollout.model import RolloutResult

_NOTHING_DONE = frozenset({"unchanged", "not begun"})


@dataclass(frozen=True, slots=True)
class RollOut:
    """One roll-out that this machine has done, by a promotion or not."""

    environment: str
    time: datetime
    """of the last that is known of it"""
    who: str
    action: str
    changed: bool
    """whether anything was touched"""
    services: Mapping[str, str]
    """service → digest that was seen to run afterwards; an empty text where none or several were"""

    def leaves(self, images: Mapping[str, str]) -> bool:
        """Whether it has left everything as it was, and what it saw are ``images`` (service → digest)."""
        return not self.changed and all(images.get(each, found) == found for each, found in self.services.items())

    def __str__(self) -> str:
        how = "rolled back" if self.action == "rollback" else "deployed"
        return f"{how} outside of a promotion on {self.time:%Y-%m-%d %H:%M}, by {self.who}"


def done_here(rootdir: Path, environments: Iterable[str]) -> tuple[RollOut, ...]:
    """Return the roll-outs of ``environments`` in the journals of this machine, those of each in their order."""
    found = []
    for name in environments:
        runs: dict[str, list[Line]] = {}
        for line in _lines(rootdir, name):
            runs.setdefault(line.run, []).append(line)
        found += [_read(name, lines) for lines in runs.values()]
    return tuple(found)


def record(promotion: Promotion, result: RolloutResult) -> Entry | None:
    """Write a roll-out that was no part of a promotion into the ledger; return the entry.

    None: nothing was touched, and what runs is what the ledger knows already; or it knows of no deployment there, so that
    no gate could take this one for a promotion's. Raises ``GaiaError`` where it cannot be written.
    """
    from pytest_gaia.promotion.rollback import outcome_of
    from pytest_gaia.promotion.witness import any_signer

    name, began = result.environment, datetime.fromisoformat(result.started)
    latest = last_deployment(promotion.ledger.entries(), name)
    done = [each for each in done_here(promotion.rootdir, (name,)) if each.time >= began]
    if latest is None or name not in promotion.stages or not done:
        return None
    seen = {service: digest for service, digest in done[-1].services.items() if digest}
    if not done[-1].changed and seen.items() <= getattr(latest.predicate, "services", {}).items():
        return None
    says = DeploymentPredicate(
        environment=name,
        bundle=NO_BUNDLE,
        outcome=outcome_of(result),
        reason=str(done[-1]),
        services=seen,
        time=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    images = [Subject(service, dict([digest.split(":", 1)])) for service, digest in sorted(seen.items())]
    return promotion.ledger.append(DEPLOYMENT, images, says, signers=any_signer(promotion))


def recorded(rootdir: Path, result: RolloutResult) -> str:
    """Write a roll-out outside of a promotion into the ledger, if it can be; return what people should know of that."""
    from pytest_gaia.promotion.project import Promotion

    name = result.environment
    holds = f"the gate of {name} holds until a bundle is promoted there again (gaia promote {name} --bundle ID)"
    try:
        entry = record(Promotion.here(rootdir), result)
    except GaiaError as problem:
        return f"this was outside of a promotion, and could not be written into the ledger: {problem} Here, {holds}"
    return f"this was outside of a promotion, entry {entry.sequence} of the ledger: {holds}" if entry else ""


def last_deployment(entries: Sequence[Entry], environment: str) -> Entry | None:
    """Return the newest deployment or rollback of ``environment`` in the ledger, of whatever bundle, by whomever."""
    for entry in reversed(entries):
        says = entry.predicate
        if isinstance(says, DeploymentPredicate | RollbackPredicate) and says.environment == environment:
            return entry
    return None


def _lines(rootdir: Path, name: str) -> tuple[Line, ...]:
    try:
        return Journal(rootdir, name).entries()
    except OSError:
        # A journal that cannot be read is none; what it knows, `gaia gate --observe` sees as well.
        return ()


def _read(name: str, lines: list[Line]) -> RollOut:
    services = {line.service: line.digests[0] if len(line.digests) == 1 else "" for line in lines if line.service}
    ended = {line.service: line.outcome for line in lines if line.event == "end"}
    changed = any(ended.get(line.service) not in _NOTHING_DONE for line in lines if line.event == "start")
    who = next((line.who for line in lines if line.who), "somebody")
    return RollOut(name, datetime.fromisoformat(lines[-1].when), who, lines[0].action, changed, services)
