"""What was observed of environments, in words: each app, each environment, and what is ahead of what. Pure."""

import itertools
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias
from urllib.parse import urlsplit

from pytest_gaia.config.platform import HTTP_SERVICES, SERVICES
from pytest_gaia.deploy.contract import Machine, Observation
from pytest_gaia.observation.sampling import Reading

AppState: TypeAlias = Literal[
    "healthy", "completed", "degraded", "suspended", "stopped", "gateway-only", "not deployed", "unknown"
]
"""``completed``: a one-shot, such as a migration, that has ended with 0; ``suspended``: it sleeps, and wakes when it is asked; ``gateway-only``: the gateway is meant to stand alone here"""
EnvironmentState: TypeAlias = Literal[
    "healthy", "running", "gateway-only", "suspended", "stopped", "degraded", "not deployed", "unknown"
]
"""``running`` and ``stopped``: of what would run on this machine"""

_ASLEEP = ("stopped", "suspended")
_COMPLETED: Literal["completed"] = "completed"
_SHOWN = 3
"""machines, or apps, that a reason names"""
PIPELINE = ("dev", "staging", "production")
"""the way of a release"""
History: TypeAlias = "Mapping[str, Sequence[str]]"
"""service → digests of the images that were seen to run well, the oldest first"""
_Order = Literal["earlier", "later", "same"]


@dataclass(frozen=True, slots=True)
class AppView:
    """One app of one environment."""

    service: str
    app: str
    """the deploy tool's name for it, or the address that was asked"""
    state: AppState
    why: str = ""
    deployed_version: int | None = None
    """number of the current release, where the tool counts them"""
    image: str = ""
    digests: tuple[str, ...] = ()
    """of the images that its machines run, each once"""
    version: str = ""
    """what it says of itself"""
    machines: str = ""
    """such as ``1 started, 1 suspended``"""

    @property
    def cause(self) -> str:
        """The reason without the name of the app: equal for apps that fail in the same way."""
        return self.why.replace(urlsplit(self.app).hostname or self.app or "…", "…")


@dataclass(frozen=True, slots=True)
class EnvironmentView:
    """One environment as it was observed."""

    name: str
    state: EnvironmentState
    why: str = ""
    seen_by: str = ""
    """the deploy hook, or ``health`` where its members were only asked how they are"""
    apps: tuple[AppView, ...] = ()

    @property
    def as_expected(self) -> bool:
        """Whether it is in a state that somebody may have meant it to be in."""
        return self.state not in ("degraded", "unknown")

    def app(self, service: str) -> AppView | None:
        """Return what is known of ``service``."""
        return next((app for app in self.apps if app.service == service), None)


def deployed_app(
    service: str, observation: Observation, reading: Reading | None = None, *, kept: str = "", local: bool = False
) -> AppView:
    """Say how an app is, of which a deploy tool has told what runs.

    ``reading`` is its own answer, where it was asked; ``kept`` says what keeps it from sleeping, where something does;
    ``local``: it runs on this machine, where nobody wakes what is stopped.
    """
    state, why = _of_machines(observation, kept, local=local)
    if state == "healthy" and reading is not None and not reading.well:
        state, why = "degraded", reading.detail
    machines = observation.machines
    return AppView(
        service=service,
        app=observation.app,
        state=state,
        why=why,
        deployed_version=observation.version,
        image=next((machine.image for machine in machines if machine.image), ""),
        digests=tuple(sorted({machine.digest for machine in machines if machine.digest})),
        version=(reading.version or "") if reading else "",
        machines=", ".join(f"{count} {name}" for name, count in Counter(one.state for one in machines).items()),
    )


def asked_app(reading: Reading, *, local: bool) -> AppView:
    """Say how a member is of which nothing is known but its own answer."""
    state: AppState = "healthy" if reading.well else "degraded"
    if reading.latency_ms is None:
        state = "stopped" if local else "unknown"
    return AppView(reading.service, reading.endpoint, state, reading.detail, version=reading.version or "")


def environment_view(
    name: str, apps: Sequence[AppView], *, seen_by: str, topology: str, local: bool = False
) -> EnvironmentView:
    """Say how an environment is, from its apps. Where the gateway stands alone, the other services are added."""
    state = _of_apps({app.state for app in apps}, alone=topology == "gateway-only", local=local)
    ordered = tuple(_in_order([*apps, *_without(apps, topology)]))
    return EnvironmentView(name, state, _why(ordered, state), seen_by, ordered)


def _without(apps: Sequence[AppView], topology: str) -> Iterator[AppView]:
    there = {app.service for app in apps}
    for service in HTTP_SERVICES if topology == "gateway-only" else ():
        if service not in there:
            yield AppView(service, "", "gateway-only")


def _in_order(apps: Sequence[AppView]) -> list[AppView]:
    known = {service: number for number, service in enumerate(SERVICES)}
    return sorted(apps, key=lambda app: (known.get(app.service, len(known)), app.service))


def _of_machines(observation: Observation, kept: str, *, local: bool) -> tuple[AppState, str]:
    machines = observation.machines
    if not machines:
        why = "the app is there, and has no machine" if observation.exists else ""
        return ("stopped", "") if local else ("not deployed", why)
    problems = [f"machine {one.id} {problem}" for one in machines if (problem := _problem(one))]
    if problems:
        more = f", and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
        return "degraded", "; ".join(problems[:_SHOWN]) + more
    if (images := len({machine.digest for machine in machines})) > 1:
        return "degraded", f"its machines run {images} images"
    if any(machine.state == "started" for machine in machines):
        return "healthy", ""
    if all(machine.state == _COMPLETED for machine in machines):
        return _COMPLETED, ""
    if kept and not local:
        return "degraded", f"every machine sleeps, and {kept}"
    return ("stopped" if local else "suspended"), ""


def _problem(machine: Machine) -> str:
    """Return what is wrong with a machine, what tells most first."""
    awake = machine.state == "started"
    found = (
        (not machine.host_ok, "is on a host that does not answer"),
        (machine.crashed, "crashed, or ran out of memory"),
        (not awake and machine.state not in (*_ASLEEP, _COMPLETED), f"is {machine.state}"),
        (machine.cordoned, "is cordoned: nothing is routed to it"),
        (awake and machine.passing < machine.checks, f"passes {machine.passing} of {machine.checks} health checks"),
    )
    return next((problem for holds, problem in found if holds), "")


def _of_apps(found: set[AppState], *, alone: bool, local: bool) -> EnvironmentState:
    # What has done its work says nothing about the rest.
    states = found - {_COMPLETED}
    if found and not states:
        return "stopped"
    if not states:
        return "not deployed"
    if states <= {"healthy", "suspended"} and "healthy" in states:
        return "running" if local else "gateway-only" if alone else "healthy"
    if len(states) == 1:
        (state,) = states
        assert state != _COMPLETED
        return state
    # What is not known may be well; anything else that is not alike is not as anybody meant it.
    return "unknown" if states <= {"healthy", "suspended", "unknown"} else "degraded"


def _why(apps: Sequence[AppView], state: EnvironmentState) -> str:
    telling = [app for app in apps if _is_reason(app, state)]
    if len(telling) > 1 and len({app.cause for app in telling}) == 1 and telling[0].why:
        # A tool that is missing is missing for all of them.
        return telling[0].why
    more = f"; and {len(telling) - _SHOWN} more" if len(telling) > _SHOWN else ""
    return "; ".join(f"{app.service}: {app.why or app.state}" for app in telling[:_SHOWN]) + more


def _is_reason(app: AppView, state: EnvironmentState) -> bool:
    if state == "degraded":
        return app.state not in ("healthy", "completed", "suspended", "gateway-only")
    return state == "unknown" and app.state == "unknown"


@dataclass(frozen=True, slots=True)
class Lead:
    """Two neighbours of the pipeline, and where the one is ahead of the other."""

    ahead: str
    behind: str
    services: tuple[str, ...]
    """empty where both run the same"""
    missing: tuple[str, ...] = ()
    """those among them that do not run at all in the environment that is behind"""

    def __str__(self) -> str:
        if not self.services:
            return f"{self.ahead} and {self.behind} run the same"
        named = (f"{name} (not deployed there)" if name in self.missing else name for name in self.services)
        return f"{self.ahead} is ahead of {self.behind}: {', '.join(named)}"


def leads(views: Sequence[EnvironmentView], histories: Mapping[str, History]) -> tuple[Lead, ...]:
    """Return how each environment of the pipeline stands to the next one, as far as it is known what they run.

    A difference alone has no direction. Where a journal (``histories``, by environment) or the versions that the
    services report say which one is older, that decides; otherwise the environment that a release reaches first is
    taken to be ahead.
    """
    known = {view.name: view for view in views if any(_runs(app) for app in view.apps)}
    stages = [known[name] for name in PIPELINE if name in known]
    return tuple(lead for first, second in itertools.pairwise(stages) for lead in _between(first, second, histories))


def _between(first: EnvironmentView, second: EnvironmentView, histories: Mapping[str, History]) -> Iterator[Lead]:
    found: dict[str, _Order] = {}
    for app in first.apps:
        other = second.app(app.service)
        order = _order(app, other, histories.get(first.name, {}), histories.get(second.name, {}))
        if order is not None:
            found[app.service] = order
    absent = {name for name in found if (other := second.app(name)) is None or not _runs(other)}
    if earlier := tuple(name for name, order in found.items() if order == "earlier"):
        yield Lead(first.name, second.name, earlier, tuple(name for name in earlier if name in absent))
    if later := tuple(name for name, order in found.items() if order == "later"):
        yield Lead(second.name, first.name, later)
    if found and not (earlier or later):
        yield Lead(first.name, second.name, ())


def _order(app: AppView, other: AppView | None, here: History, there: History) -> _Order | None:
    """Return which of the two is ahead; None where that cannot be said."""
    if not _runs(app) or (other is not None and other.state == "unknown"):
        return None
    if other is None or not _runs(other):
        return None if other is None or other.state == "gateway-only" else "earlier"
    if app.digests and other.digests:
        return _by_digest(app, other, here.get(app.service, ()), there.get(app.service, ()))
    if not (app.version and other.version):
        return None
    return _by_version(app.version, other.version)


def _by_digest(app: AppView, other: AppView, here: Sequence[str], there: Sequence[str]) -> _Order:
    if app.digests == other.digests:
        return "same"
    if _came_before(other.digests[0], app.digests[0], here):
        return "earlier"
    if _came_before(app.digests[0], other.digests[0], there):
        return "later"
    if app.version and other.version and app.version != other.version:
        return _by_version(app.version, other.version)
    return "earlier"


def _came_before(old: str, new: str, history: Sequence[str]) -> bool:
    """Whether ``history`` has seen ``old`` before it last saw ``new``."""
    newest = max((number for number, digest in enumerate(history) if digest == new), default=-1)
    return old in history[:newest] if newest > 0 else False


def _by_version(here: str, there: str) -> _Order:
    if here == there:
        return "same"
    return "later" if _numbers(here) < _numbers(there) else "earlier"


def _numbers(version: str) -> tuple[int, ...]:
    # More digits than any version has would only make the comparison slow.
    return tuple(int(part[:18]) for part in re.findall(r"\d+", version)[:8])


def _runs(app: AppView) -> bool:
    """Whether it is known what ``app`` runs."""
    return bool(app.digests or app.version)
