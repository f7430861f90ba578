"""Deployments outside of a promotion: what the journal of this machine and the ledger know of them.

No gate has let them through. They hold back the gate of their environment until a bundle is promoted there again.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from pytest_gaia.promotion.ledger.ledger import Entry
from pytest_gaia.promotion.ledger.statements import (
    DeploymentPredicate,
    RollbackPredicate,
)
from pytest_gaia.rollout.journal import Entry as Line
from pytest_gaia.rollout.journal import Journal

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
