"""Waking what sleeps before it is waited for: what others need first, so that nothing wakes to a broker that is away."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from pytest_gaia.errors import GaiaError
from pytest_gaia.run.order import in_order

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pytest_gaia.run.deployed import Sight

    Wake: TypeAlias = Callable[[str, float], object]

_ASLEEP = ("stopped", "suspended")


@dataclass(frozen=True, slots=True)
class Woken:
    """What became of one app that slept."""

    service: str
    seconds: float
    problem: str = ""
    """why it could not be woken; asking it may wake it still, and readiness has the last word"""

    def __str__(self) -> str:
        if self.problem:
            return f"{self.service} slept, and could not be woken: {self.problem}"
        return f"{self.service} slept, and was woken in {self.seconds:.1f} s"


def waker_of(hook: str) -> Wake | None:
    """Return what wakes an app within so many seconds; None where ``hook`` has nothing that sleeps."""
    if hook != "fly":
        return None
    from pytest_gaia.deploy.fly_operations import wake

    return lambda app, deadline: wake(app, deadline=deadline)


def asleep(sights: Sequence[Sight]) -> tuple[Sight, ...]:
    """Return the apps none of whose machines is awake, in the order in which to wake them.

    Where one machine runs, the platform lets the others sleep until they are needed.
    """
    sleeping = {sight.service: sight for sight in sights if _sleeps(sight)}
    return tuple(sleeping[service] for service in in_order(sleeping))


def wake_all(
    sights: Sequence[Sight], wake: Wake, *, deadline: float, say: Callable[[str], None] = lambda _: None
) -> tuple[Woken, ...]:
    """Wake every app of ``sights`` that is asleep, one after the other, within ``deadline`` seconds in all.

    ``say`` takes the service whose turn it is. An app that cannot be woken stops nothing.
    """
    until = time.monotonic() + deadline
    woken = []
    for sight in asleep(sights):
        began = time.monotonic()
        if began >= until:
            woken.append(Woken(sight.service, 0.0, f"{deadline:g} s were used up by those before it"))
            continue
        say(sight.service)
        try:
            wake(sight.app, until - began)
        except GaiaError as problem:
            woken.append(Woken(sight.service, time.monotonic() - began, str(problem)))
        else:
            woken.append(Woken(sight.service, time.monotonic() - began))
    return tuple(woken)


def _sleeps(sight: Sight) -> bool:
    machines = sight.observation.machines if sight.observation else ()
    return bool(machines) and all(machine.state in _ASLEEP for machine in machines)
