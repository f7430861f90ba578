"""Samples of an environment, which probe each service once in parallel, and their statistics."""

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from functools import partial

from pytest_gaia.config.environment import Environment
from pytest_gaia.observation.probes import ProbeError
from pytest_gaia.observation.readiness import READY, UNHEALTHY, UNREACHABLE, is_as_expected
from pytest_gaia.observation.targets import Target, run_all, targets

CONNECTED = "connected"
_GRACE = 0.1
"""seconds after the deadline in which a probe can still return its result"""
_KEPT = 50
"""limit of recorded changes, for a service that flaps for hours"""


@dataclass(frozen=True, slots=True)
class Reading:
    """The response of one service."""

    service: str
    endpoint: str
    state: str
    """``ready``, ``connected`` (its protocol reports no health), ``degraded``, ``unhealthy`` (also for an error response) or
    ``unreachable``"""
    detail: str = ""
    version: str | None = None
    latency_ms: float | None = None
    """milliseconds until the response; None if there was none"""
    well: bool = False
    """whether it is healthy, as expected in this environment, or accepts connections if that is all that it can show"""


def read_service(environment: Environment, target: Target, deadline: float) -> Reading:
    """Probe one service once within ``deadline`` seconds. Raises ``ValueError`` if it cannot be probed."""
    if target.ask is None:
        raise ValueError(f"{target.service} cannot be probed ({target.endpoint})")
    began = time.monotonic()
    try:
        result = target.ask(deadline)
    except ProbeError as problem:
        state, latency = (UNHEALTHY, _since(began)) if problem.answered else (UNREACHABLE, None)
        return Reading(target.service, target.endpoint, state, str(problem), latency_ms=latency)
    elapsed = _since(began)
    well = result.mute or is_as_expected(environment, target.service, result)
    detail = result.detail or ("" if well else "does not report to be healthy")
    state = result.state or (CONNECTED if result.mute else READY)
    return Reading(target.service, target.endpoint, state, detail, result.version, elapsed, well)


def _since(began: float) -> float:
    return round((time.monotonic() - began) * 1000, 1)


def sample(
    environment: Environment,
    *,
    deadline: float,
    services: Collection[str] | None = None,
    unwanted: Callable[[], bool] = lambda: False,
) -> tuple[Reading, ...]:
    """Probe ``services`` (None: all) in parallel; return one reading each within ``deadline`` seconds, as declared.

    Stops when ``unwanted`` returns true, without the services that have not responded yet.
    """
    known = environment.platform.names if services is None else services
    asked = [target for target in targets(environment) if target.ask is not None and target.service in known]
    asks = {target.service: partial(read_service, environment, target, deadline) for target in asked}
    found = run_all(asks, deadline=deadline + _GRACE, unwanted=unwanted)
    late = () if unwanted() else [target for target in asked if target.service not in found]
    found |= {target.service: Reading(target.service, target.endpoint, UNREACHABLE, "no response") for target in late}
    return tuple(found[target.service] for target in asked if target.service in found)


@dataclass(slots=True)
class ServiceTally:
    """The statistics of one service."""

    service: str
    samples: int = 0
    well: int = 0
    """samples in which it was healthy"""
    first_ms: float | None = None
    """milliseconds to its first response, which may include a cold start and is not part of the other figures"""
    responses: int = 0
    """responses after the first"""
    total_ms: float = 0.0
    worst_ms: float | None = None
    last: Reading | None = None

    @property
    def availability(self) -> float:
        """Percentage of the samples in which it was healthy."""
        return 100.0 * self.well / self.samples if self.samples else 0.0

    @property
    def mean_ms(self) -> float | None:
        """Mean latency of the responses after the first, in milliseconds."""
        return self.total_ms / self.responses if self.responses else None

    def add(self, reading: Reading) -> list[str]:
        """Add one reading; return the changes since the last one."""
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
    """The statistics of all services of an environment."""

    samples: int = 0
    services: dict[str, ServiceTally] = field(default_factory=dict)
    changes: list[tuple[str, str]] = field(default_factory=list)
    """time and text of each change, newest last"""

    def add(self, readings: Sequence[Reading], when: str) -> list[str]:
        """Add one sample; return the changes since the last one."""
        self.samples += 1
        found: list[str] = []
        for reading in readings:
            tally = self.services.setdefault(reading.service, ServiceTally(reading.service))
            found += tally.add(reading)
        self.changes = [*self.changes, *((when, change) for change in found)][-_KEPT:]
        return found

    @property
    def answered(self) -> bool:
        """Whether any service responded in the last sample."""
        return any(each.last is not None and each.last.latency_ms is not None for each in self.services.values())

    @property
    def well(self) -> bool:
        """Whether every service was healthy in the last sample."""
        lasts = [each.last for each in self.services.values()]
        return bool(lasts) and all(last is not None and last.well for last in lasts)


def _changes(then: Reading, now: Reading) -> list[str]:
    found = []
    if then.state != now.state:
        found.append(f"{now.service}: {then.state} → {now.state}{f': {now.detail}' if now.detail else ''}")
    if then.version and now.version and then.version != now.version:
        found.append(f"{now.service}: version {then.version} → {now.version}")
    return found
