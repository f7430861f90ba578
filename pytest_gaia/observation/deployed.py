"""Observe what is deployed before the first test and after the last, and start suspended apps."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeAlias

from pytest_gaia.deploy.contract import DeployHook, Observation, UnknownApp
from pytest_gaia.deploy.outcome import difference
from pytest_gaia.errors import GaiaError
from pytest_gaia.observation.targets import run_all
from pytest_gaia.rollout.model import Progress, Rollout, Step
from pytest_gaia.rollout.step import Pace, Worker

PATIENCE = 30.0
"""seconds for the observation of one service"""
_PACE = Pace()
_ASLEEP = ("stopped", "suspended")

StartApp: TypeAlias = Callable[[str, float], object]
"""starts an app within a number of seconds"""


@dataclass(frozen=True, slots=True)
class ServiceObservation:
    """The observation of one service, or why there is none."""

    service: str
    app: str
    observation: Observation | None = None
    problem: str = ""


def observe_services(
    rollout: Rollout, hook: DeployHook, *, pace: Pace = _PACE, compare: bool = False
) -> tuple[ServiceObservation, ...]:
    """Observe every service of ``rollout``; return the reason for each that cannot be observed.

    With ``compare``, what runs is compared with the deploy files, if the hook can do that. Tools run in parallel. A hook in this process runs for one service at a time on this thread, as its code may expect.
    """
    patience = min(rollout.deadline, PATIENCE)
    worker = Worker(replace(rollout, deadline=patience), hook, Progress(), pace, compare)
    groups = worker.groups()
    if hook.name == "plugin" or len(groups) < 2:
        return tuple(observed for group in groups for observed in _look(worker, group))
    # After an interruption, wait for running tools, which end within their deadline.
    looks = run_all({group[0].service: partial(_look, worker, group) for group in groups}, abandoned=False)
    return tuple(observed for group in groups for observed in looks[group[0].service])


def changes(before: Sequence[ServiceObservation], after: Sequence[ServiceObservation]) -> Iterator[str]:
    """Yield a sentence for each service that has changed since ``before``, or can no longer be observed."""
    now = {observed.service: observed for observed in after}
    for then in before:
        observed = now.get(then.service)
        if then.observation is None or observed is None:
            continue
        if observed.observation is None:
            yield f"{then.service} could not be observed at the end: {observed.problem}"
        elif changed := difference(then.observation, observed.observation):
            yield f"{then.service} changed during the run: {changed}"


def _look(worker: Worker, group: Sequence[Step]) -> tuple[ServiceObservation, ...]:
    try:
        seen = worker.look(group)
    except UnknownApp:
        return tuple(
            ServiceObservation(each.service, each.app, Observation(app=each.app, exists=False)) for each in group
        )
    except GaiaError as problem:
        return tuple(ServiceObservation(each.service, each.app, problem=str(problem)) for each in group)
    return tuple(ServiceObservation(each.service, each.app, seen[each.service]) for each in group)


@dataclass(frozen=True, slots=True)
class StartedApp:
    """The result of starting one suspended app."""

    service: str
    seconds: float
    problem: str = ""
    """why it could not be started; a request may still start it, so readiness decides"""

    def __str__(self) -> str:
        if self.problem:
            return f"{self.service} was suspended and could not be started: {self.problem}"
        return f"{self.service} was suspended; started in {self.seconds:.1f} s"


def starter_of(hook: str) -> StartApp | None:
    """Return the function that starts a suspended app; None if apps of ``hook`` are never suspended."""
    if hook != "fly":
        return None
    from pytest_gaia.deploy.fly.operations import wake

    return lambda app, deadline: wake(app, deadline=deadline)


def suspended(observations: Sequence[ServiceObservation]) -> tuple[ServiceObservation, ...]:
    """Return the apps without a running machine, in the order of ``observations``, which is that of a rollout."""
    return tuple(observed for observed in observations if _is_suspended(observed))


def start_suspended(
    observations: Sequence[ServiceObservation],
    wake: StartApp,
    *,
    deadline: float,
    say: Callable[[str], None] = lambda _: None,
) -> tuple[StartedApp, ...]:
    """Start every suspended app of ``sights``, one after the other, within ``deadline`` seconds in total.

    ``say`` is called with each service. Continue after an app that cannot be started.
    """
    until = time.monotonic() + deadline
    started = []
    for observed in suspended(observations):
        began = time.monotonic()
        if began >= until:
            started.append(
                StartedApp(observed.service, 0.0, f"the limit of {deadline:g} s was used by the apps before it")
            )
            continue
        say(observed.service)
        try:
            wake(observed.app, until - began)
        except GaiaError as problem:
            started.append(StartedApp(observed.service, time.monotonic() - began, str(problem)))
        else:
            started.append(StartedApp(observed.service, time.monotonic() - began))
    return tuple(started)


def _is_suspended(observed: ServiceObservation) -> bool:
    machines = observed.observation.machines if observed.observation else ()
    return bool(machines) and all(machine.state in _ASLEEP for machine in machines)
