"""What many looks at an environment come to: availability, latencies and changes of each member. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_gaia.run.sampling import Reading

_KEPT = 50
"""changes that are kept; a member that flaps all night must not fill the memory"""


@dataclass(slots=True)
class MemberTally:
    """One member, over all samples."""

    member: str
    samples: int = 0
    well: int = 0
    """samples in which it was as it should be"""
    first_ms: float | None = None
    """milliseconds to its first answer: it may have had to wake, so that this is in none of the other figures"""
    answers: int = 0
    """answers after the first"""
    total_ms: float = 0.0
    worst_ms: float | None = None
    last: Reading | None = None

    @property
    def availability(self) -> float:
        """Percentage of the samples in which it was as it should be."""
        return 100.0 * self.well / self.samples if self.samples else 0.0

    @property
    def mean_ms(self) -> float | None:
        """Of the answers after the first."""
        return self.total_ms / self.answers if self.answers else None

    def add(self, reading: Reading) -> list[str]:
        """Take one reading; return what has changed since the last one."""
        changes = [] if self.last is None else _changes(self.last, reading)
        self.last = reading
        self.samples += 1
        self.well += reading.well
        if reading.latency_ms is not None:
            self._time(reading.latency_ms)
        return changes

    def _time(self, latency: float) -> None:
        if self.first_ms is None:
            self.first_ms = latency
            return
        self.answers += 1
        self.total_ms += latency
        self.worst_ms = max(latency, self.worst_ms or 0.0)


@dataclass(slots=True)
class Tally:
    """All members of an environment, over all samples."""

    required: frozenset[str]
    """the members that decide whether the environment is well"""
    samples: int = 0
    members: dict[str, MemberTally] = field(default_factory=dict)
    changes: list[tuple[str, str]] = field(default_factory=list)
    """when, and what; the newest last"""

    def add(self, readings: Sequence[Reading], when: str) -> list[str]:
        """Take one sample; return what has changed since the last one."""
        self.samples += 1
        found: list[str] = []
        for reading in readings:
            tally = self.members.setdefault(reading.member, MemberTally(reading.member))
            found += tally.add(reading)
        self.changes = [*self.changes, *((when, change) for change in found)][-_KEPT:]
        return found

    @property
    def answered(self) -> bool:
        """Whether anything answered in the last sample."""
        return any(each.last is not None and each.last.latency_ms is not None for each in self.members.values())

    @property
    def well(self) -> bool:
        """Whether every required member was as it should be in the last sample."""
        lasts = {name: each.last for name, each in self.members.items()}
        # One that was not asked says nothing: it is reached through the gateway, or is not there by intention.
        asked = [lasts[name] for name in self.required if name in lasts]
        return bool(asked) and all(last is not None and last.well for last in asked)


def _changes(then: Reading, now: Reading) -> list[str]:
    found = []
    if then.state != now.state:
        found.append(f"{now.member}: {then.state} → {now.state}{f': {now.detail}' if now.detail else ''}")
    if then.version and now.version and then.version != now.version:
        found.append(f"{now.member}: version {then.version} → {now.version}")
    return found
