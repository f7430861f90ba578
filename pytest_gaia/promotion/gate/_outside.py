"""Deployments outside of a promotion, from the deployment history of this machine and from the ledger.

They block the gate of their environment until a release is promoted there again.
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
    """One rollout of this machine."""

    environment: str
    time: datetime
    """time of its last line"""
    who: str
    action: str
    changed: bool
    """whether a service was deployed"""
    services: Mapping[str, str]
    """service → digest observed afterwards; empty if none or several were observed"""

    def leaves(self, images: Mapping[str, str]) -> bool:
        """Whether it changed nothing, and observed ``images`` (service → digest)."""
        return not self.changed and all(images.get(each, found) == found for each, found in self.services.items())

    def __str__(self) -> str:
        how = "rolled back" if self.action == "rollback" else "deployed"
        return f"{how} outside of a promotion on {self.time:%Y-%m-%d %H:%M}, by {self.who}"


def done_here(rootdir: Path, environments: Iterable[str]) -> tuple[RollOut, ...]:
    """Return the rollouts of ``environments`` on this machine, in order."""
    found = []
    for name in environments:
        runs: dict[str, list[Line]] = {}
        for line in _lines(rootdir, name):
            runs.setdefault(line.run, []).append(line)
        found += [_read(name, lines) for lines in runs.values()]
    return tuple(found)


def last_deployment(entries: Sequence[Entry], environment: str) -> Entry | None:
    """Return the newest deployment or rollback of ``environment`` in the ledger."""
    for entry in reversed(entries):
        says = entry.predicate
        if isinstance(says, DeploymentPredicate | RollbackPredicate) and says.environment == environment:
            return entry
    return None


def _lines(rootdir: Path, name: str) -> tuple[Line, ...]:
    try:
        return Journal(rootdir, name).entries()
    except OSError:
        # `gaia release check --observe` finds the same without this file.
        return ()


def _read(name: str, lines: list[Line]) -> RollOut:
    services = {line.service: line.digests[0] if len(line.digests) == 1 else "" for line in lines if line.service}
    ended = {line.service: line.outcome for line in lines if line.event == "end"}
    changed = any(ended.get(line.service) not in _NOTHING_DONE for line in lines if line.event == "start")
    who = next((line.who for line in lines if line.who), "unknown")
    return RollOut(name, datetime.fromisoformat(lines[-1].when), who, lines[0].action, changed, services)
