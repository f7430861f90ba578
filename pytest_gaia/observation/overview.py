"""Observe the state of each app and environment, and which environments have newer versions.

The deploy tool reports what runs if there is one; otherwise the services are probed.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args
from urllib.parse import urlsplit

from pytest_gaia.config.addresses import hosts_in, is_loopback
from pytest_gaia.config.deployfiles.model import App
from pytest_gaia.config.environment import Environment
from pytest_gaia.deploy.contract import Observation
from pytest_gaia.deploy.hooks import hook_for
from pytest_gaia.errors import GaiaError
from pytest_gaia.observation.deployed import LOCAL, AppState, ServiceObservation, app_state, observe_services
from pytest_gaia.observation.readiness import READY
from pytest_gaia.observation.sampling import CONNECTED, Reading, sample
from pytest_gaia.observation.targets import run_all
from pytest_gaia.rollout.plan import ALL, apps_of, plan_rollout

EnvironmentState: TypeAlias = Literal[
    "healthy", "running", "starting", "suspended", "stopped", "degraded", "not deployed", "unknown"
]
"""``running`` and ``stopped`` are states of an environment on this machine"""

_NO_EVIDENCE = ("completed", CONNECTED)
"""states that do not affect that of the environment"""
_FOR_THE_TOOL = 0.8
"""share of the time limit for the deploy tool; the rest is for probes"""
HEALTH = "health"
"""the source of a view without a deploy tool"""
_GRACE = 0.5
"""seconds after the time limit in which results still count"""
_SHOWN = 3
"""limit of machines or apps in a reason"""
History: TypeAlias = "Mapping[str, Sequence[str]]"
"""service → digests of images that were deployed successfully, oldest first"""
_Order = Literal["earlier", "later", "same"]


@dataclass(frozen=True, slots=True)
class AppView:
    """One app of one environment."""

    service: str
    app: str
    """its name in the deploy tool, or the probed address"""
    state: AppState
    reason: str = ""
    """the reason for the state"""
    deployed_version: int | None = None
    """number of the current deployment, if the tool numbers them"""
    image: str = ""
    digests: tuple[str, ...] = ()
    """of the images that its machines run, without duplicates"""
    version: str = ""
    """the version that it reports"""
    machines: str = ""
    """such as ``1 started, 1 suspended``"""
    differences: tuple[str, ...] = ()
    """how what runs differs from the deploy files"""

    @property
    def cause(self) -> str:
        """The reason, without the name of an app that could not be observed, so that it is equal for the same problem."""
        if self.state != "unknown":
            return self.reason
        return self.reason.replace(urlsplit(self.app).hostname or self.app or "…", "…")


@dataclass(frozen=True, slots=True)
class EnvironmentView:
    """The state of one environment."""

    name: str
    state: EnvironmentState
    reason: str = ""
    """the reason for the state"""
    source: str = ""
    """the source: the deploy hook, or ``health`` if the services were only probed"""
    apps: tuple[AppView, ...] = ()
    orphans: tuple[str, ...] = ()
    """what still runs of services that are no longer in the deploy files"""

    @property
    def as_expected(self) -> bool:
        """Whether it is in an acceptable state."""
        return self.state not in ("starting", "degraded", "unknown")

    def app(self, service: str) -> AppView | None:
        """Return the app of ``service``, if there is one."""
        return next((app for app in self.apps if app.service == service), None)


def observe_all(
    environments: Mapping[str, Environment | Exception], rootdir: Path, *, deadline: float
) -> tuple[EnvironmentView, ...]:
    """Observe ``environments`` in parallel; return one view each within ``deadline`` seconds, in their order.

    An environment that cannot be resolved or observed is ``unknown``, with the reason.
    """
    views = {name: _unknown(name, str(each)) for name, each in environments.items() if isinstance(each, Exception)}
    asks = {
        name: partial(observe, each, rootdir, deadline=deadline)
        for name, each in environments.items()
        if not isinstance(each, Exception)
    }
    views |= run_all(asks, deadline=deadline)
    late = f"no response within {deadline:g} s"
    return tuple(views.get(name, _unknown(name, late)) for name in environments)


def observe(environment: Environment, rootdir: Path, *, deadline: float) -> EnvironmentView:
    """Observe one environment without changes. With a deploy tool, only services that are awake are probed."""
    settings = environment.deploy
    # Only pytest can load a hook from conftest.py.
    if settings is None or settings.hook == "plugin":
        return _by_health(environment, deadline)
    try:
        return _by_hook(environment, rootdir, deadline, settings.hook)
    except GaiaError as problem:
        return _unknown(environment.name, str(problem), settings.hook)


def _by_health(environment: Environment, deadline: float) -> EnvironmentView:
    local = _is_here(environment)
    readings = sample(environment, deadline=deadline)
    return environment_view(environment, list(map(asked_app, readings)), source=HEALTH, local=local)


def probe(
    environment: Environment, rootdir: Path, *, deadline: float, unwanted: Callable[[], bool] = lambda: False
) -> tuple[Reading, ...]:
    """Probe every service once, as :func:`sample` does; containers on this machine are observed at the same time.

    One that does not run as it should counts more than a response.
    """
    settings = environment.deploy
    if settings is None or settings.hook != LOCAL:
        return sample(environment, deadline=deadline, unwanted=unwanted)
    asks: dict[str, Callable[[], Any]] = {
        "services": partial(sample, environment, deadline=deadline, unwanted=unwanted),
        "containers": partial(_observations, environment, rootdir, deadline),
    }
    found = run_all(asks, deadline=deadline + _GRACE, unwanted=unwanted)
    readings = {each.service: each for each in found.get("services", ())}
    for each in found.get("containers", ()):
        if each.observation is not None:
            readings[each.service] = _with_container(readings.get(each.service), each, each.observation)
    return tuple(readings[service] for service in environment.platform.sort(readings))


def _with_container(reading: Reading | None, observed: ServiceObservation, seen: Observation) -> Reading:
    state, reason = app_state(seen, local=True)
    well = state in ("healthy", "completed")
    if well and reading is not None:
        return reading
    endpoint = reading.endpoint if reading else observed.app
    return Reading(observed.service, endpoint, READY if state == "healthy" else state, reason, well=well)


def _observations(
    environment: Environment, rootdir: Path, deadline: float, *, compare: bool = False
) -> tuple[ServiceObservation, ...]:
    rollout = plan_rollout(environment, environment.deployment, rootdir=rootdir, services=(ALL,), check=False)
    hook = hook_for(environment, rootdir=rootdir)
    return observe_services(replace(rollout, deadline=deadline * _FOR_THE_TOOL), hook, compare=compare)


def _by_hook(environment: Environment, rootdir: Path, deadline: float, hook: str) -> EnvironmentView:
    observations = _observations(environment, rootdir, deadline, compare=True)
    suspended = {observed.service for observed in observations if not _is_awake(observed)}
    services = [service for service in environment.platform if service not in suspended]
    readings = {each.service: each for each in sample(environment, deadline=deadline, services=services)}
    known = apps_of(environment.deployment)
    local = hook == LOCAL
    apps = [
        _app(observed, readings.pop(observed.service, None), known.get(observed.service), local=local)
        for observed in observations
    ]
    # A managed database is not an app, and a service may run elsewhere.
    apps += map(asked_app, readings.values())
    orphans = dict.fromkeys(each for one in observations if one.observation for each in one.observation.orphans)
    return replace(environment_view(environment, apps, source=hook, local=local), orphans=tuple(orphans))


def _app(observed: ServiceObservation, reading: Reading | None, app: App | None, *, local: bool) -> AppView:
    if observed.observation is None:
        return AppView(observed.service, observed.app, "unknown", observed.problem)
    return deployed_app(observed.service, observed.observation, reading, kept=_kept(app), local=local)


def _kept(app: App | None) -> str:
    """Return the setting that keeps ``app`` running; empty if it may be suspended."""
    for port in app.served if app is not None else ():
        if port.min_machines:
            return f"{port.place.file} keeps {port.min_machines} running"
    return ""


def _is_awake(observed: ServiceObservation) -> bool:
    return observed.observation is not None and any(one.state == "started" for one in observed.observation.machines)


def _is_here(environment: Environment) -> bool:
    urls = environment.urls.values() or [secret.reveal() for secret in environment.connections.values()]
    return bool(urls) and all(is_loopback(host) for url in urls for host in hosts_in(url))


def _unknown(name: str, reason: str, source: str = "") -> EnvironmentView:
    return EnvironmentView(name, "unknown", reason, source)


def deployed_app(
    service: str, observation: Observation, reading: Reading | None = None, *, kept: str = "", local: bool = False
) -> AppView:
    """Return the state of an app from the observation of a deploy tool.

    ``reading`` is the result of its probe, if it was probed. ``kept`` is the setting that keeps it running. ``local``
    means that it runs on this machine, where requests do not start a stopped app.
    """
    state, reason = app_state(observation, kept, local=local)
    if state == "healthy" and reading is not None and not reading.well:
        state, reason = "degraded", reading.detail
    machines = observation.machines
    return AppView(
        service=service,
        app=observation.app,
        state=state,
        reason=reason,
        deployed_version=observation.version,
        image=next((machine.image for machine in machines if machine.image), ""),
        digests=tuple(sorted({machine.digest for machine in machines if machine.digest})),
        version=(reading.version or "") if reading else "",
        machines=", ".join(f"{count} {name}" for name, count in Counter(one.state for one in machines).items()),
        differences=observation.differences,
    )


def asked_app(reading: Reading) -> AppView:
    """Return the state of a service from its probe alone. Without a response, nothing shows why, so it is unknown."""
    state: AppState = "healthy" if reading.well else "degraded"
    if reading.state == CONNECTED:
        state = "connected"
    elif reading.latency_ms is None:
        state = "unknown"
    return AppView(reading.service, reading.endpoint, state, reading.detail, version=reading.version or "")


def environment_view(
    environment: Environment, apps: Sequence[AppView], *, source: str, local: bool = False
) -> EnvironmentView:
    """Return the state of an environment from its apps, to which HTTP services that it does not have are added."""
    state = _of_apps({app.state for app in apps}, local=local)
    known = {app.service: app for app in apps}
    platform = environment.platform
    lacking = (each for each in platform.usual if platform[each].is_http and each not in environment.services)
    absent = {each: AppView(each, "", "absent") for each in lacking}
    views = absent | known
    ordered = tuple(views[service] for service in platform.sort(views))
    return EnvironmentView(environment.name, state, _reason(ordered, state), source, ordered)


def _of_apps(found: set[AppState], *, local: bool) -> EnvironmentState:
    states = found.difference(_NO_EVIDENCE)
    if found and not states:
        return "unknown" if CONNECTED in found else "stopped"
    if not states:
        return "not deployed"
    if states <= {"healthy", "suspended"} and "healthy" in states:
        return "running" if local else "healthy"
    if "starting" in states and states <= {"healthy", "starting"}:
        return "starting"
    if states <= {"stopped", "killed"}:
        return "stopped"
    alone: tuple[EnvironmentState, ...] = get_args(EnvironmentState)
    for state in alone:
        if states == {state}:
            return state
    # An unknown app may be healthy; any other mixture is degraded.
    return "unknown" if states <= {"healthy", "suspended", "unknown"} else "degraded"


def _reason(apps: Sequence[AppView], state: EnvironmentState) -> str:
    telling = [app for app in apps if _is_reason(app, state)]
    if len(telling) > 1 and len({app.cause for app in telling}) == 1 and telling[0].reason:
        # All apps have the same problem, such as a missing tool.
        return telling[0].reason
    more = f"; and {len(telling) - _SHOWN} more" if len(telling) > _SHOWN else ""
    return "; ".join(f"{app.service}: {app.reason or app.state}" for app in telling[:_SHOWN]) + more


def _is_reason(app: AppView, state: EnvironmentState) -> bool:
    if state == "degraded":
        return app.state not in ("healthy", "connected", "completed", "suspended", "absent")
    if state == "starting":
        return app.state == "starting"
    return state == "unknown" and app.state in ("unknown", "connected")


@dataclass(frozen=True, slots=True)
class Lead:
    """Two neighboring environments of the pipeline, and the services that are newer in one of them."""

    newer: str
    """the environment with the newer versions"""
    older: str
    """the environment with the older versions"""
    services: tuple[str, ...]
    """empty if both run the same versions"""
    missing: tuple[str, ...] = ()
    """the services that the older environment does not run at all"""

    def __str__(self) -> str:
        if not self.services:
            return f"{self.newer} and {self.older} run the same versions"
        named = (f"{name} (not deployed there)" if name in self.missing else name for name in self.services)
        return f"{self.newer} is newer than {self.older}: {', '.join(named)}"


def leads(
    views: Sequence[EnvironmentView], histories: Mapping[str, History], previous: Mapping[str, str | None]
) -> tuple[Lead, ...]:
    """Return how each environment compares with the one from which releases are promoted to it, if it is known what they run.

    ``previous`` is environment → that one, or None; if it is not among ``views``, the one before it counts.

    The deployment history (``histories``, by environment) or the reported versions decide which one is older. Without
    them, the environment that is earlier in the pipeline is assumed to be newer.
    """
    known = {view.name: view for view in views if any(_runs(app) for app in view.apps)}
    pairs = ((_previous(name, known, previous), known[name]) for name in previous if name in known)
    return tuple(lead for first, second in pairs if first for lead in _between(first, second, histories))


def _previous(
    name: str, known: Mapping[str, EnvironmentView], previous: Mapping[str, str | None]
) -> EnvironmentView | None:
    passed = {name}
    before = previous.get(name)
    while before is not None and before not in passed:
        if before in known:
            return known[before]
        passed.add(before)
        before = previous.get(before)
    return None


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
    """Return which of the two is newer; None if that is unknown."""
    if not _runs(app) or (other is not None and other.state == "unknown"):
        return None
    if other is None or not _runs(other):
        return None if other is None or other.state == "absent" else "earlier"
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
    """Whether ``old`` is in ``history`` before the last ``new``."""
    newest = max((number for number, digest in enumerate(history) if digest == new), default=-1)
    return old in history[:newest] if newest > 0 else False


def _by_version(here: str, there: str) -> _Order:
    if here == there:
        return "same"
    return "later" if _numbers(here) < _numbers(there) else "earlier"


def _numbers(version: str) -> tuple[int, ...]:
    # Very long numbers would only make the comparison slow.
    return tuple(int(part[:18]) for part in re.findall(r"\d+", version)[:8])


def _runs(app: AppView) -> bool:
    """Whether the image or version of ``app`` is known."""
    return bool(app.digests or app.version)
