"""Observe what is deployed before the first test and after the last, and start suspended apps."""

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal, TypeAlias, get_args

from pytest_gaia.config.deployfiles.reach import urls
from pytest_gaia.config.environment import Environment
from pytest_gaia.deploy.contract import DeployHook, Machine, Observation, UnknownApp
from pytest_gaia.deploy.outcome import difference, interruptions
from pytest_gaia.deploy.states import SUSPENDED, condition, conditions
from pytest_gaia.errors import GaiaError
from pytest_gaia.observation.readiness import ServiceState
from pytest_gaia.observation.targets import run_all
from pytest_gaia.rollout.model import Progress, Rollout, Step
from pytest_gaia.rollout.step import Pace, Worker

PATIENCE = 30.0
"""seconds for the observation of one service"""
LOCAL = "compose"
"""the hook whose containers run on this machine, where no request starts one that is stopped"""
_PACE = Pace()
_SHOWN = 3
"""limit of machines in a reason"""
_REMEDIES = {
    "paused": "docker compose unpause",
    "unhealthy": "docker compose logs",
    "restarting": "docker compose logs",
}
_START = "docker compose up --detach"

AppState: TypeAlias = Literal[
    "healthy",
    "connected",
    "completed",
    "starting",
    "unhealthy",
    "degraded",
    "suspended",
    "paused",
    "stopped",
    "killed",
    "out of memory",
    "crashed",
    "restarting",
    "created",
    "absent",
    "not deployed",
    "unknown",
]
"""``connected``: it accepts connections, and its protocol reports no health; ``completed``: a one-off task such as a migration that ended with 0; ``suspended``: started by the next request; ``absent``: the environment does not have it; others are the words of :class:`~pytest_gaia.deploy.states.Condition`"""

StartApp: TypeAlias = Callable[[str, float], object]
"""starts an app within a number of seconds"""


@dataclass(frozen=True, slots=True)
class ServiceObservation:
    """The observation of one service, or why there is none."""

    service: str
    app: str
    observation: Observation | None = None
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Outage:
    """Why the containers of a service are no evidence."""

    state: AppState
    reason: str
    """such as ``container shop-chat-1 is paused``"""
    remedy: str = ""
    """command that ends it"""

    def __str__(self) -> str:
        return f"{self.reason}: {self.remedy}" if self.remedy else self.reason


def app_state(observation: Observation, kept: str = "", *, local: bool) -> tuple[AppState, str]:
    """Return the state of an app, and the reason.

    ``kept`` is the setting that keeps it running. ``local`` means that it runs on this machine, where requests do not start
    a stopped app.
    """
    machines = observation.machines
    if observation.elsewhere:
        return "unknown", f"{observation.elsewhere} responds at its address"
    if not machines and local:
        return "stopped", ""
    if not machines:
        return "not deployed", "the app has no machine" if observation.exists else ""
    # On Fly, a request starts machines that are stopped or suspended.
    asleep = (
        () if local else tuple(one for one in machines if one.state in SUSPENDED and not one.crashed and one.host_ok)
    )
    problems = list(conditions(tuple(one for one in machines if one not in asleep), observation.taken))
    if problems:
        more = f", and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
        return _common(machines, observation.taken), "; ".join(problems[:_SHOWN]) + more
    images = len({machine.digest for machine in machines})
    if images > 1 or observation.incomplete:
        return "degraded", f"its machines run {images} images" if images > 1 else observation.incomplete
    states = {machine.state for machine in machines}
    if "started" in states:
        return "healthy", ""
    if states == {"completed"}:
        return "completed", ""
    return ("degraded", f"all machines are suspended, but {kept}") if kept else ("suspended", "")


def _common(machines: Sequence[Machine], taken: str) -> AppState:
    """Return the state of an app; at least one of its ``machines`` is in no good condition."""
    words = {condition(one, taken).word for one in machines}
    states: tuple[AppState, ...] = get_args(AppState)
    return next((state for state in states if words == {state}), "degraded")


def outages(observations: Sequence[ServiceObservation], environment: Environment) -> dict[str, Outage]:
    """Return the services of ``environment`` that no container on this machine serves, each with the reason.

    A service with another address than that of its container is left out.
    """
    deployment = environment.deployment
    given = urls(deployment, environment.platform) if deployment is not None else {}
    addresses = {service: url for service, (url, _) in given.items()}
    found = {}
    for each in observations:
        seen = each.observation
        if seen is None or each.service not in environment.services or _has_other(each.service, environment, addresses):
            continue
        state, reason = app_state(seen, local=True)
        if seen.elsewhere:
            found[each.service] = Outage(state, reason)
        elif not any(_serves(one, seen.taken) for one in seen.machines):
            remedy = f"{_REMEDIES.get(state, _START)} {each.app}"
            found[each.service] = Outage(state, reason or "it has no container", remedy)
    return found


def corrected(
    states: Sequence[ServiceState],
    found: Mapping[str, Outage],
    *,
    needs: Callable[[str], Collection[str]],
    problem: Callable[[str], str],
) -> tuple[ServiceState, ...]:
    """Return the states of probed services, with what is known about their containers.

    A service that responds too late is degraded if one that it ``needs`` is out. ``problem`` returns why a service could not
    be observed, which may be why it does not respond.
    """
    return tuple(_corrected(state, found, needs, problem) for state in states)


def _corrected(
    state: ServiceState,
    found: Mapping[str, Outage],
    needs: Callable[[str], Collection[str]],
    problem: Callable[[str], str],
) -> ServiceState:
    if outage := found.get(state.service):
        return replace(
            state, state=outage.state, detail=outage.reason, remedy=outage.remedy, settled=False, is_out=True
        )
    if state.late and not (state.reachable and state.settled):
        needed = needs(state.service)
        causes = [f"{service} is {outage.state}" for service, outage in found.items() if service in needed]
        if causes:
            return replace(state, state="degraded", detail=f"{', '.join(causes)}: {state.detail}", settled=True)
    if not state.reachable and (reason := problem(state.service)):
        return replace(state, detail=f"{state.detail}; {reason.partition('. ')[0]}", remedy=reason)
    return state


def _serves(machine: Machine, taken: str) -> bool:
    found = condition(machine, taken)
    return found.good or found.word == "starting"


def _has_other(service: str, environment: Environment, addresses: Mapping[str, str]) -> bool:
    """Whether the environment has an address for ``service`` that is not among those of the deploy files."""
    asked = service if environment.url_of(service) else environment.platform[service].via or service
    url, own = environment.url_of(asked), addresses.get(asked)
    return url is not None and url != own and (own is not None or asked in environment.urls)


def interrupted(before: Sequence[ServiceObservation], after: Sequence[ServiceObservation]) -> Iterator[str]:
    """Yield a sentence for each container that was ended, restarted or replaced since ``before``."""
    for service, then, now in _pairs(before, after):
        yield from (f"{service}: {each} during the tests" for each in interruptions(then, now))


def weakened(before: Sequence[ServiceObservation], after: Sequence[ServiceObservation]) -> Iterator[str]:
    """Yield a sentence for each service on this machine that has become unhealthy since ``before``."""
    for service, then, now in _pairs(before, after):
        state, reason = app_state(now, local=True)
        if state == "unhealthy" != app_state(then, local=True)[0]:
            yield f"{service} became unhealthy during the run: {reason}"


def _pairs(
    before: Sequence[ServiceObservation], after: Sequence[ServiceObservation]
) -> Iterator[tuple[str, Observation, Observation]]:
    now = {observed.service: observed.observation for observed in after}
    for then in before:
        seen = now.get(then.service)
        if then.observation is not None and seen is not None:
            yield then.service, then.observation, seen


def observe_services(
    rollout: Rollout, hook: DeployHook, *, pace: Pace = _PACE, compare: bool = False
) -> tuple[ServiceObservation, ...]:
    """Observe every service of ``rollout``; return the reason for each that cannot be observed.

    With ``compare``, what runs is compared with the deploy files, if the hook can do that. Tools run in parallel. A hook in
    this process runs for one service at a time on this thread, as its code may expect.
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
    """Start every suspended app of ``observations``, one after the other, within ``deadline`` seconds in total.

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
    return bool(machines) and all(machine.state in SUSPENDED for machine in machines)
