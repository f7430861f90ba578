"""Looks at an environment, each member asked once at the same time, and what many of them come to."""

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from functools import partial

from pytest_gaia.config.environment import Environment
from pytest_gaia.config.platform import SERVICES
from pytest_gaia.observation.asking import Target, ask_all, targets
from pytest_gaia.observation.probes import ProbeError
from pytest_gaia.observation.readiness import READY, UNHEALTHY, UNREACHABLE, as_it_should

_GRACE = 0.1
"""seconds past the deadline in which a question that ended with it can still say what came of it"""
_KEPT = 50
"""changes that are kept; a member that flaps all night must not fill the memory"""


@dataclass(frozen=True, slots=True)
class Reading:
    """What one member answered."""

    service: str
    endpoint: str
    state: str
    """``ready``, ``degraded``, ``unhealthy`` (it answers with an error, too) or ``unreachable``"""
    detail: str = ""
    version: str | None = None
    latency_ms: float | None = None
    """milliseconds until the answer; None where there was none"""
    well: bool = False
    """whether it is as it should be in this environment"""


def read_service(environment: Environment, target: Target, deadline: float) -> Reading:
    """Ask one member once, within ``deadline`` seconds. Raises ``ValueError`` for one that there is no way to ask."""
    if target.ask is None:
        raise ValueError(f"{target.service}: there is nothing to ask ({target.endpoint})")
    began = time.monotonic()
    try:
        result = target.ask(deadline)
    except ProbeError as problem:
        state, latency = (UNHEALTHY, _since(began)) if problem.answered else (UNREACHABLE, None)
        return Reading(target.service, target.endpoint, state, str(problem), latency_ms=latency)
    elapsed = _since(began)
    well = as_it_should(environment, target.service, result)
    detail = result.detail or ("" if well else "does not say that it is healthy")
    return Reading(target.service, target.endpoint, result.state or READY, detail, result.version, elapsed, well)


def _since(began: float) -> float:
    return round((time.monotonic() - began) * 1000, 1)


def sample(
    environment: Environment,
    *,
    deadline: float,
    services: Collection[str] = SERVICES,
    unwanted: Callable[[], bool] = lambda: False,
) -> tuple[Reading, ...]:
    """Ask those of ``members`` that can be asked; return one reading each within ``deadline`` seconds, in their order.

    It ends at once when ``unwanted`` says so: members that have not answered by then are left out.
    """
    asked = [target for target in targets(environment) if target.ask is not None and target.service in services]
    asks = {target.service: partial(read_service, environment, target, deadline) for target in asked}
    found = ask_all(asks, deadline=deadline + _GRACE, unwanted=unwanted)
    late = () if unwanted() else [target for target in asked if target.service not in found]
    found |= {target.service: Reading(target.service, target.endpoint, UNREACHABLE, "no response") for target in late}
    return tuple(found[target.service] for target in asked if target.service in found)


@dataclass(slots=True)
class ServiceTally:
    """One member, over all samples."""

    service: str
    samples: int = 0
    well: int = 0
    """samples in which it was as it should be"""
    first_ms: float | None = None
    """milliseconds to its first answer: it may have had to wake, so that this is in none of the other figures"""
    responses: int = 0
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
        return self.total_ms / self.responses if self.responses else None

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
        self.responses += 1
        self.total_ms += latency
        self.worst_ms = max(latency, self.worst_ms or 0.0)


@dataclass(slots=True)
class Tally:
    """All members of an environment, over all samples."""

    required: frozenset[str]
    """the members that decide whether the environment is well"""
    samples: int = 0
    services: dict[str, ServiceTally] = field(default_factory=dict)
    changes: list[tuple[str, str]] = field(default_factory=list)
    """when, and what; the newest last"""

    def add(self, readings: Sequence[Reading], when: str) -> list[str]:
        """Take one sample; return what has changed since the last one."""
        self.samples += 1
        found: list[str] = []
        for reading in readings:
            tally = self.services.setdefault(reading.service, ServiceTally(reading.service))
            found += tally.add(reading)
        self.changes = [*self.changes, *((when, change) for change in found)][-_KEPT:]
        return found

    @property
    def answered(self) -> bool:
        """Whether anything answered in the last sample."""
        return any(each.last is not None and each.last.latency_ms is not None for each in self.services.values())

    @property
    def well(self) -> bool:
        """Whether every required member was as it should be in the last sample."""
        lasts = {name: each.last for name, each in self.services.items()}
        # One that was not asked says nothing: it is reached through the gateway, or is not there by intention.
        asked = [lasts[name] for name in self.required if name in lasts]
        return bool(asked) and all(last is not None and last.well for last in asked)


def _changes(then: Reading, now: Reading) -> list[str]:
    found = []
    if then.state != now.state:
        found.append(f"{now.service}: {then.state} → {now.state}{f': {now.detail}' if now.detail else ''}")
    if then.version and now.version and then.version != now.version:
        found.append(f"{now.service}: version {then.version} → {now.version}")
    return found
