"""What is deployed: looked at before the first test and after the last, and woken where it sleeps."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeAlias

from pytest_gaia.config.platform import in_order
from pytest_gaia.deploy.contract import DeployHook, Observation, UnknownApp
from pytest_gaia.deploy.outcome import difference
from pytest_gaia.errors import GaiaError
from pytest_gaia.observation.asking import ask_all
from pytest_gaia.rollout.model import Progress, Rollout, Step
from pytest_gaia.rollout.step import Pace, Worker

PATIENCE = 30.0
"""seconds in which a service has to let itself be observed"""
_PACE = Pace()
_ASLEEP = ("stopped", "suspended")

Wake: TypeAlias = Callable[[str, float], object]
"""wakes an app, within so many seconds"""


@dataclass(frozen=True, slots=True)
class Sight:
    """What was seen of one service, or why nothing was."""

    service: str
    app: str
    observation: Observation | None = None
    problem: str = ""


def look_at(rollout: Rollout, hook: DeployHook, *, pace: Pace = _PACE) -> tuple[Sight, ...]:
    """Observe every service of ``rollout``; one that cannot be observed says why, and stops nothing.

    Tools are asked side by side; a hook of this process one by one, in this thread, since its code may expect that.
    """
    patience = min(rollout.deadline, PATIENCE)
    look = partial(_look, Worker(replace(rollout, deadline=patience), hook, Progress(), pace))
    if hook.name == "plugin" or len(rollout.steps) < 2:
        return tuple(map(look, rollout.steps))
    # Interrupted, a tool under way ends within its deadline, and is waited for.
    sights = ask_all({step.service: partial(look, step) for step in rollout.steps}, abandoned=False)
    return tuple(sights[step.service] for step in rollout.steps)


def changes(before: Sequence[Sight], after: Sequence[Sight]) -> Iterator[str]:
    """Yield a sentence for each service that runs something else than ``before``, or cannot be observed any more."""
    now = {sight.service: sight for sight in after}
    for then in before:
        sight = now.get(then.service)
        if then.observation is None or sight is None:
            continue
        if sight.observation is None:
            yield f"{then.service}: what runs at the end could not be observed: {sight.problem}"
        elif changed := difference(then.observation, sight.observation):
            yield f"{then.service} changed during the run: {changed}"


def _look(worker: Worker, step: Step) -> Sight:
    try:
        return Sight(step.service, step.app, worker.look(step))
    except UnknownApp:
        return Sight(step.service, step.app, Observation(app=step.app, exists=False))
    except GaiaError as problem:
        return Sight(step.service, step.app, problem=str(problem))


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
    from pytest_gaia.deploy.fly.operations import wake

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
