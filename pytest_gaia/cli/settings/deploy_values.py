"""The values of deploy files as people and JSON readers see them: secrets masked, each with file, line and key."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from pytest_gaia.config.catalogue import source_of
from pytest_gaia.config.deployfiles.model import App, Check, Deployment, Served
from pytest_gaia.files.toml import Place
from pytest_gaia.preflight.standing import env_place, inside, standing
from pytest_gaia.secrets.masks import MASK, mask_url
from pytest_gaia.secrets.names import is_secret_name
from pytest_gaia.secrets.shapes import secret_shape

Value = str | bool | int | list[str]

_VARIABLE = re.compile(r"\$\{?\w+\}?")
_MEMORY = ("vm.memory_mb", "vm.memory", "vm.size", "vm", "deploy.resources.limits.memory", "mem_limit")
"""keys that memory may come from, the one that counts first"""


@dataclass(frozen=True, slots=True)
class DeployValue:
    """One value of one app."""

    service: str
    key: str
    """what it is, in the words of the platform: ``app``, ``region``, ``memory_mb``, ``env.LOG_LEVEL``"""
    value: Value
    source: str
    """file, line and the key in the file"""

    @property
    def text(self) -> str:
        """The value for people."""
        if isinstance(self.value, list):
            return ", ".join(map(str, self.value)) or "none"
        if isinstance(self.value, bool):
            return "yes" if self.value else "no"
        return str(self.value)


def deploy_values(deployment: Deployment) -> list[DeployValue]:
    """Return every value of every app of ``deployment`` that its files give."""
    return [
        DeployValue(app.service, key, value, source_of(place))
        for app in deployment.apps
        for key, value, place in _values(app)
    ]


def masked(name: str, value: str) -> str:
    """Return the value of an environment variable without what could be a secret; a reference to one is shown."""
    if not value or _VARIABLE.fullmatch(value):
        return value
    shown = mask_url(value)
    return MASK if is_secret_name(name) or secret_shape(shown.replace(MASK, "")) else shown


def check_text(check: Check) -> str:
    """Return a health check in words."""
    what = f"{check.kind} {check.method} {check.path}" if check.kind == "http" and check.path else check.kind
    port = f" on port {check.port}" if check.port is not None else ""
    spans = (("every", check.interval), ("timeout", check.timeout), ("grace", check.grace))
    return ", ".join([what + port, *(f"{word} {seconds:g} s" for word, seconds in spans if seconds is not None)])


def _values(app: App) -> Iterator[tuple[str, Value, Place]]:
    yield "app", app.name, app.place("app")
    for key, value, names in (
        ("region", app.region, ("primary_region",)),
        ("image", app.image, ("build.image", "image")),
        ("dockerfile", app.dockerfile, ("build.dockerfile", "build")),
        ("memory_mb", app.memory_mb, _MEMORY),
        ("cpus", app.cpus, ("vm.cpus", "vm.size", "vm")),
        ("strategy", app.strategy, ("deploy.strategy",)),
        ("release_command", app.release_command, ("deploy.release_command",)),
        ("depends_on", list(app.depends_on) or None, ("depends_on",)),
    ):
        if value is not None:
            yield key, value, _first_place(app, names)
    for served in app.served:
        yield from _served(app, served)
    for check in app.loose_checks:
        yield "check (on no served port)", check_text(check), check.place
    for name, text in app.env.items():
        yield f"env.{name}", masked(name, text), env_place(app, name)


def _served(app: App, served: Served) -> Iterator[tuple[str, Value, Place]]:
    name = f"port.{served.internal_port or 'default'}"
    outside = f"not known ({served.open_port})" if served.open_port else ", ".join(map(str, served.ports)) or "none"
    https = ", https only" if served.force_https else ""
    yield name, f"{served.protocol}, from outside {outside}{https}", served.place
    for key, value, own in (
        ("min_machines", served.min_machines, "min_machines_running"),
        ("autostop", served.autostop, "auto_stop_machines"),
        ("autostart", served.autostart, "auto_start_machines"),
    ):
        if value is not None:
            yield f"{name}.{key}", value, inside(app, served.place, own)
    for check in served.checks:
        yield f"{name}.check", check_text(check), check.place


def _first_place(app: App, names: tuple[str, ...]) -> Place:
    """Return where the first of ``names`` that the file has stands."""
    places = (standing(app, *name.split(".")) for name in names)
    return next(
        (place for place, name in zip(places, names, strict=True) if place.key.endswith(name)), app.place("app")
    )
