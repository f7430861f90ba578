"""Checks of compose files."""

import re
from collections.abc import Iterator
from typing import Any

from pytest_gaia.config.deployfiles.model import COMPLETED, App, Deployment
from pytest_gaia.config.deployfiles.read import meant
from pytest_gaia.config.deployfiles.values import is_open
from pytest_gaia.files.toml import Place
from pytest_gaia.preflight._checks.keys import refused_keys
from pytest_gaia.preflight.files import DeployFiles, head, standing
from pytest_gaia.preflight.findings import Found, check

_STARTED, _HEALTHY = "service_started", "service_healthy"
_CONDITIONS = (_STARTED, _HEALTHY, COMPLETED)
_PROJECT = re.compile(r"[a-z0-9][a-z0-9_-]*")
_SEVERAL = 2
_VOLUME = re.compile(r"(?P<name>[A-Za-z0-9][A-Za-z0-9_.-]+):/")
_CONFIG = "run `docker compose config` to see the complete project"


@check("container-unchecked", "warning")
def container_unchecked(files: DeployFiles) -> Iterator[Found]:
    """A container has no health check.

    `docker compose up --wait` treats it as ready as soon as its process runs, so tests may reach a starting service.
    """
    for deployment in _composed(files):
        finite = _finite(deployment)
        for app in deployment.apps:
            health = app.document.get("healthcheck")
            unchecked = (not health or _is_off(health)) and "extends" not in app.document
            if unchecked and app.name not in finite and not _is_one_shot(app, deployment):
                fix = "add healthcheck: with test, interval, timeout and start_period"
                yield Found(head(app), f"{app.name} has no healthcheck", fix, deployment.environment)


@check("depends-on", "warning")
def depends_on(files: DeployFiles) -> Iterator[Found]:
    """A container starts before its dependencies are ready.

    Without a condition, depends_on sets only the order of starts: the first connections fail.
    """
    for deployment in _composed(files):
        for app in deployment.apps:
            for name, condition in app.waits_for.items():
                if condition in ("", _STARTED) and name in _services(app) and name != app.name:
                    what = f"{app.name} does not wait until {name} is {_ready(deployment, name)[0]}"
                    yield Found(_place_of(app, name), what, _ready(deployment, name)[1], deployment.environment)


def _ready(deployment: Deployment, name: str) -> tuple[str, str]:
    """Return the state in which a service is ready, in one word, and what to write to wait for it."""
    service = _services(deployment.apps[0])[name]
    health = service.get("healthcheck")
    is_checked = bool(health) and not _is_off(health)
    stays = name in {app.name for app in deployment.apps if _is_declared(app, deployment)} - _finite(deployment)
    ends = name in _finite(deployment) or (service.get("restart") == "no" and not is_checked and not stays)
    condition = COMPLETED if ends else _HEALTHY
    write = f"write depends_on: {{{name}: {{condition: {condition}}}}}"
    if ends or is_checked or "extends" in service:
        return ("done" if ends else "healthy"), write
    # Compose does not accept a wait for the health of a container without a check.
    return "healthy", f"add healthcheck: to {name}, then {write}"


def _is_declared(app: App, deployment: Deployment) -> bool:
    return app.service in deployment.platform


def _is_one_shot(app: App, deployment: Deployment) -> bool:
    """Whether ``app`` runs once: it is not declared, is not restarted, and opens no port."""
    if _is_declared(app, deployment):
        return False
    return app.document.get("restart") == "no" and not {"ports", "expose"} & set(app.document)


def _is_off(health: Any) -> bool:
    return isinstance(health, dict) and (health.get("disable") is True or health.get("test") == ["NONE"])


def _services(app: App) -> dict[str, dict[str, Any]]:
    """Return every service of the file that ``app`` is in, those of a profile included."""
    given = app.project.get("services")
    tables = given.items() if isinstance(given, dict) else ()
    return {name: each for name, each in tables if isinstance(each, dict)}


@check("compose-refuses", "error")
def compose_refuses(files: DeployFiles) -> Iterator[Found]:
    """Docker Compose rejects the file.

    `docker compose up` fails before it starts anything.
    """
    for deployment in _composed(files):
        project = str(deployment.apps[0].project.get("name") or "") if deployment.apps else ""
        if project and not is_open(project) and not _PROJECT.fullmatch(project):
            what = f'the name of the project is "{project}"'
            yield Found(
                deployment.apps[0].place("name"),
                what,
                "use only lower-case letters, digits, - and _",
                deployment.environment,
            )
        for app in deployment.apps:
            # What this file does not define, another one may.
            is_whole = not deployment.overrides and "include" not in app.project
            problems = (
                *refused_keys(app, is_first=app is deployment.apps[0]),
                *_bad_needs(app, is_whole=is_whole),
                *_cycle(app),
                *(_undefined(app) if is_whole and "extends" not in app.document else ()),
                *(_no_image(app) if not deployment.overrides else ()),
                *_bad_copies(app),
            )
            for place, what, fix in problems:
                yield Found(place, what, fix, deployment.environment)


def _bad_needs(app: App, *, is_whole: bool) -> Iterator[tuple[Place, str, str]]:
    services = _services(app)
    given = app.document.get("depends_on")
    for name, condition in _conditions(given):
        if condition not in _CONDITIONS:
            word = meant(str(condition), _CONDITIONS) or _HEALTHY
            what = f"{app.name} depends on {name} with {'no condition' if condition is None else f'condition: {condition}'}"
            yield _place_of(app, name), what, f"write condition: {word}"
    for name in app.waits_for:
        optional = isinstance(given, dict) and isinstance(given[name], dict) and given[name].get("required") is False
        if optional or (name not in services and not is_whole):
            continue
        if name not in services:
            right = meant(name, services)
            fix = f"write {right}" if right else f"add the service {name}, or remove the entry"
            yield _place_of(app, name), f"{app.name} depends on {name}, which is not in the file", fix
        elif services[name].get("profiles") and not app.document.get("profiles"):
            what = f"{app.name} depends on {name}, whose profile is not active"
            yield _place_of(app, name), what, f"write depends_on: {{{name}: {{condition: …, required: false}}}}"


def _conditions(given: Any) -> Iterator[tuple[str, Any]]:
    """Yield (service, condition) of a `depends_on` with conditions."""
    for name, each in given.items() if isinstance(given, dict) else ():
        condition = each.get("condition") if isinstance(each, dict) else None
        if not (isinstance(condition, str) and is_open(condition)):
            yield name, condition


def _cycle(app: App) -> Iterator[tuple[Place, str, str]]:
    """Yield the shortest way from ``app`` along its dependencies back to itself, for the first service on it only."""
    services = _services(app)
    ways: list[tuple[str, ...]] = [(app.name,)]
    seen: set[str] = set()
    while ways:
        way, *ways = ways
        for name in _names(services.get(way[-1], {}).get("depends_on")):
            if name == app.name and app.name == min(way):
                what = f"the dependencies of {app.name} form a cycle: {' → '.join((*way, name))}"
                yield _place_of(app, (*way, name)[1]), what, "remove one of the entries"
                return
            if name not in seen:
                seen.add(name)
                ways.append((*way, name))


def _names(given: Any) -> list[str]:
    return [str(each) for each in given] if isinstance(given, list | dict) else []


def _undefined(app: App) -> Iterator[tuple[Place, str, str]]:
    """Yield the networks, volumes, secrets and configs of ``app`` that the file does not define."""
    for key in ("networks", "volumes", "secrets", "configs"):
        defined = {*_names(app.project.get(key)), *(("default",) if key == "networks" else ())}
        given = app.document.get(key)
        for number, each in enumerate(given if isinstance(given, list | dict) else ()):
            name = _source(key, each)
            if name and name not in defined:
                step = f"{key}[{number}]" if isinstance(given, list) else f"{key}.{each}"
                what = f"{app.name} uses {name}, which {key} of the file does not define"
                right = meant(name, defined)
                add = f"define {name} in {key}" if key in ("secrets", "configs") else f"add {name}: {{}} to {key}"
                fix = f"write {right}" if right else add
                yield standing(app, *step.split(".", 1)), what, fix


def _source(key: str, entry: Any) -> str:
    """Return the name that an entry of a service refers to; empty for none, and for one with a variable."""
    if isinstance(entry, dict):
        if key == "volumes" and entry.get("type") != "volume":
            return ""
        entry = entry.get("source") or ""
    elif key == "volumes":
        found = _VOLUME.match(str(entry))
        entry = found["name"] if found else ""
    return "" if is_open(str(entry)) else str(entry)


def _no_image(app: App) -> Iterator[tuple[Place, str, str]]:
    if not {"image", "build", "provider", "extends"} & set(app.document):
        yield head(app), f"{app.name} has neither an image nor a build", "write image: or build:"


def _bad_copies(app: App) -> Iterator[tuple[Place, str, str]]:
    copies = next((port.min_machines for port in app.served if port.min_machines), 1) or 1
    if copies < _SEVERAL:
        return
    if app.document.get("container_name"):
        what = f"{app.name} has a container_name and {copies} replicas"
        yield standing(app, "container_name"), what, "remove container_name"
    for port in app.served:
        if len(port.ports) == 1 and port.kind == "ports":
            what = f"{copies} replicas of {app.name} share one published port, {port.ports[0]}"
            yield port.place, what, "publish a range of ports, or run one replica"


@check("unread-file", "note")
def unread_file(files: DeployFiles) -> Iterator[Found]:
    """Part of the project is in a file that the checks do not read.

    Only credentials are checked in an override file. Compose itself merges all files for a deployment.
    """
    for deployment in _composed(files):
        for override in deployment.overrides:
            what = f"{head(override).file} is not checked, but Compose merges it into the project"
            yield Found(head(override), what, _CONFIG, deployment.environment)
        for app in deployment.apps[:1] if deployment.apps and "include" in deployment.apps[0].project else ():
            yield Found(app.place("include"), "files in `include` are not checked", _CONFIG, deployment.environment)
        for app in deployment.apps:
            if "extends" in app.document:
                what = f"the service that {app.name} extends is not checked"
                yield Found(standing(app, "extends"), what, _CONFIG, deployment.environment)


def _finite(deployment: Deployment) -> set[str]:
    return {app.name for app in deployment.apps if app.once}


def _place_of(app: App, name: str) -> Any:
    given = app.document["depends_on"]
    key = f"depends_on[{given.index(name)}]" if isinstance(given, list) else f"depends_on.{name}"
    return standing(app, *key.split("."))


@check("restart-policy", "note")
def restart_policy(files: DeployFiles) -> Iterator[Found]:
    """A container does not restart after it ends.

    After a crash the service is down until a person restarts it.
    """
    for deployment in _composed(files):
        finite = _finite(deployment)
        for app in deployment.apps:
            policy = app.document.get("restart")
            deploy = app.document.get("deploy")
            has_policy = policy is not None or (isinstance(deploy, dict) and "restart_policy" in deploy)
            if app.name not in finite and not has_policy and "extends" not in app.document:
                what = f"{app.name} has no restart policy"
                yield Found(head(app), what, "write restart: unless-stopped", deployment.environment)


def _composed(files: DeployFiles) -> Iterator[Deployment]:
    return (deployment for deployment in files.deployments if deployment.source == "compose")
