"""One look at an environment: every member is asked once, all at the same time. Nobody is waited for to wake."""

from __future__ import annotations

import queue
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_gaia.config.platform import MEMBERS
from pytest_gaia.run.probes import Dead, NotYet
from pytest_gaia.run.readiness import READY, UNHEALTHY, UNREACHABLE
from pytest_gaia.run.settling import as_it_should
from pytest_gaia.run.targets import targets

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from pytest_gaia.config.environment import Environment
    from pytest_gaia.run.targets import Target

_LOOK = 0.1
"""seconds between two looks at whether the sample is still wanted"""


@dataclass(frozen=True, slots=True)
class Reading:
    """What one member answered."""

    member: str
    endpoint: str
    state: str
    """``ready``, ``degraded``, ``unhealthy`` (it answers with an error, too) or ``unreachable``"""
    detail: str = ""
    version: str | None = None
    latency_ms: float | None = None
    """milliseconds until the answer; None where there was none"""
    well: bool = False
    """whether it is as it should be in this environment"""


def read_member(environment: Environment, target: Target, deadline: float) -> Reading:
    """Ask one member once, within ``deadline`` seconds. Raises ``ValueError`` for one that there is no way to ask."""
    if target.ask is None:
        raise ValueError(f"{target.member}: there is nothing to ask ({target.endpoint})")
    began = time.monotonic()
    try:
        answer = target.ask(deadline)
    except (NotYet, Dead) as problem:
        answered = isinstance(problem, NotYet) and problem.answered
        state, latency = (UNHEALTHY, _since(began)) if answered else (UNREACHABLE, None)
        return Reading(target.member, target.endpoint, state, str(problem), latency_ms=latency)
    elapsed = _since(began)
    well = as_it_should(environment, target.member, answer)
    detail = answer.detail or ("" if well else "does not say that it is healthy")
    return Reading(target.member, target.endpoint, answer.state or READY, detail, answer.version, elapsed, well)


def _since(began: float) -> float:
    return round((time.monotonic() - began) * 1000, 1)


def sample(
    environment: Environment,
    *,
    deadline: float,
    members: Collection[str] = MEMBERS,
    unwanted: Callable[[], bool] = lambda: False,
) -> tuple[Reading, ...]:
    """Ask those of ``members`` that can be asked; return one reading each within ``deadline`` seconds, in their order.

    It ends at once when ``unwanted`` says so: members that have not answered by then are left out.
    """
    asked = [target for target in targets(environment) if target.ask is not None and target.member in members]
    readings: queue.SimpleQueue[Reading] = queue.SimpleQueue()

    def read(target: Target) -> None:
        readings.put(read_member(environment, target, deadline))

    for target in asked:
        # A daemon: a look-up that hangs in the system's resolver must not hold up the end.
        threading.Thread(target=read, args=(target,), daemon=True, name=f"gaia-sample-{target.member}").start()
    found = _collected(readings, len(asked), time.monotonic() + deadline, unwanted)
    late = () if unwanted() else [target for target in asked if target.member not in found]
    found |= {target.member: Reading(target.member, target.endpoint, UNREACHABLE, "no answer") for target in late}
    return tuple(found[target.member] for target in asked if target.member in found)


def _collected(
    readings: queue.SimpleQueue[Reading], count: int, until: float, unwanted: Callable[[], bool]
) -> dict[str, Reading]:
    found: dict[str, Reading] = {}
    while len(found) < count and not unwanted() and (left := until + _LOOK - time.monotonic()) > 0:
        try:
            reading = readings.get(timeout=min(_LOOK, left))
        except queue.Empty:
            continue
        found[reading.member] = reading
    return found
