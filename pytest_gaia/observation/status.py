"""Looking at all environments at once: by the deploy tool where there is one, else by asking the members how they are."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

from pytest_gaia.config.addresses import host_of, is_loopback
from pytest_gaia.config.deployfiles.model import App
from pytest_gaia.config.environment import Environment
from pytest_gaia.config.platform import SERVICES
from pytest_gaia.deploy.hooks import hook_for
from pytest_gaia.errors import GaiaError
from pytest_gaia.observation.asking import ask_all
from pytest_gaia.observation.deployed import Sight, look_at
from pytest_gaia.observation.overview import (
    AppView,
    EnvironmentView,
    History,
    asked_app,
    deployed_app,
    environment_view,
)
from pytest_gaia.observation.sampling import Reading, sample
from pytest_gaia.rollout.journal import Journal
from pytest_gaia.rollout.plan import ALL, apps_of, plan_rollout

_FOR_THE_TOOL = 0.8
"""share of the time in which the tool has to say what runs, so that there is some left to ask what is awake"""
HEALTH = "health"
"""what an environment was seen by, of which no deploy tool can tell"""


def observe_all(
    environments: Mapping[str, Environment | Exception], rootdir: Path, *, deadline: float
) -> tuple[EnvironmentView, ...]:
    """Look at ``environments`` side by side; return one view each within ``deadline`` seconds, in their order.

    One that cannot be resolved or observed is ``unknown``, with the reason; it stops none of the others.
    """
    views = {name: _unknown(name, str(each)) for name, each in environments.items() if isinstance(each, Exception)}
    asks = {
        name: partial(observe, each, rootdir, deadline=deadline)
        for name, each in environments.items()
        if not isinstance(each, Exception)
    }
    views |= ask_all(asks, deadline=deadline)
    late = f"no response within {deadline:g} s"
    return tuple(views.get(name, _unknown(name, late)) for name in environments)


def observe(environment: Environment, rootdir: Path, *, deadline: float) -> EnvironmentView:
    """Look at one environment. Nothing is changed; only what is awake is asked how it is, where a tool can tell."""
    settings = environment.deploy
    # The hook of a conftest.py is known to pytest alone.
    if settings is None or settings.hook == "plugin":
        return _by_health(environment, deadline)
    try:
        return _by_hook(environment, rootdir, deadline)
    except GaiaError as problem:
        return _unknown(environment.name, str(problem), settings.hook)


def histories(names: Mapping[str, object], rootdir: Path) -> dict[str, History]:
    """Return what the journals of this machine know of the environments: which image ran when."""
    found: dict[str, History] = {}
    for name in names:
        # Without its journal the order is not known, and nothing else is lost.
        with suppress(OSError):
            found[name] = _history(Journal(rootdir, name))
    return found


def _history(journal: Journal) -> dict[str, list[str]]:
    digests: dict[str, list[str]] = {}
    for entry in journal.entries():
        if entry.event == "end" and entry.well and len(entry.digests) == 1:
            digests.setdefault(entry.service, []).append(entry.digests[0])
    return digests


def _by_health(environment: Environment, deadline: float) -> EnvironmentView:
    local = _is_here(environment)
    readings = sample(environment, deadline=deadline)
    apps = [asked_app(reading, local=local) for reading in readings]
    return environment_view(environment.name, apps, seen_by=HEALTH, topology=environment.topology, local=local)


def _by_hook(environment: Environment, rootdir: Path, deadline: float) -> EnvironmentView:
    files = environment.deployment
    rollout = plan_rollout(environment, files, rootdir=rootdir, services=(ALL,), check=False)
    hook = hook_for(environment, rootdir=rootdir)
    sights = look_at(replace(rollout, deadline=deadline * _FOR_THE_TOOL), hook)
    asleep = {sight.service for sight in sights if not _is_awake(sight)}
    services = [service for service in SERVICES if service not in asleep]
    readings = {each.service: each for each in sample(environment, deadline=deadline, services=services)}
    known = apps_of(files)
    local = hook.name == "compose"
    apps = [_app(sight, readings.pop(sight.service, None), known.get(sight.service), local=local) for sight in sights]
    # A managed database is no app, and a service may run elsewhere.
    apps += [asked_app(reading, local=local) for reading in readings.values()]
    return environment_view(environment.name, apps, seen_by=hook.name, topology=environment.topology, local=local)


def _app(sight: Sight, reading: Reading | None, app: App | None, *, local: bool) -> AppView:
    if sight.observation is None:
        return AppView(sight.service, sight.app, "unknown", sight.problem)
    return deployed_app(sight.service, sight.observation, reading, kept=_kept(app), local=local)


def _kept(app: App | None) -> str:
    """Return what keeps ``app`` from sleeping; empty where its deploy file lets it."""
    for port in app.served if app is not None else ():
        if port.min_machines:
            return f"{port.place.file} keeps {port.min_machines} running"
    return ""


def _is_awake(sight: Sight) -> bool:
    return sight.observation is not None and any(one.state == "started" for one in sight.observation.machines)


def _is_here(environment: Environment) -> bool:
    return all(is_loopback(host_of(url)) for url in environment.urls.values())


def _unknown(name: str, why: str, seen_by: str = "") -> EnvironmentView:
    return EnvironmentView(name, "unknown", why, seen_by)
