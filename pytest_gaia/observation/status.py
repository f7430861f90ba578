"""Observe all environments in parallel: through the deploy tool if there is one, otherwise by probing the services."""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

from pytest_gaia.config.addresses import hosts_in, is_loopback
from pytest_gaia.config.deployfiles.model import App
from pytest_gaia.config.environment import Environment
from pytest_gaia.deploy.hooks import hook_for
from pytest_gaia.errors import GaiaError
from pytest_gaia.observation.deployed import ServiceObservation, observe_services
from pytest_gaia.observation.overview import (
    AppView,
    EnvironmentView,
    History,
    asked_app,
    deployed_app,
    environment_view,
)
from pytest_gaia.observation.sampling import Reading, sample
from pytest_gaia.observation.targets import run_all
from pytest_gaia.rollout.journal import Journal
from pytest_gaia.rollout.plan import ALL, apps_of, plan_rollout

_FOR_THE_TOOL = 0.8
"""share of the time limit for the deploy tool; the rest is for probes"""
HEALTH = "health"
"""the source of a view without a deploy tool"""


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
        return _by_hook(environment, rootdir, deadline)
    except GaiaError as problem:
        return _unknown(environment.name, str(problem), settings.hook)


def histories(names: Iterable[str], rootdir: Path) -> dict[str, History]:
    """Return the images that ran in each environment, from the deployment history on this machine."""
    found: dict[str, History] = {}
    for name in names:
        # Without its history only the order of versions is unknown.
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
    return environment_view(environment, list(map(asked_app, readings)), source=HEALTH, local=local)


def _by_hook(environment: Environment, rootdir: Path, deadline: float) -> EnvironmentView:
    files = environment.deployment
    rollout = plan_rollout(environment, files, rootdir=rootdir, services=(ALL,), check=False)
    hook = hook_for(environment, rootdir=rootdir)
    observations = observe_services(replace(rollout, deadline=deadline * _FOR_THE_TOOL), hook)
    suspended = {observed.service for observed in observations if not _is_awake(observed)}
    services = [service for service in environment.platform if service not in suspended]
    readings = {each.service: each for each in sample(environment, deadline=deadline, services=services)}
    known = apps_of(files)
    local = hook.name == "compose"
    apps = [
        _app(observed, readings.pop(observed.service, None), known.get(observed.service), local=local)
        for observed in observations
    ]
    # A managed database is not an app, and a service may run elsewhere.
    apps += map(asked_app, readings.values())
    return environment_view(environment, apps, source=hook.name, local=local)


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
