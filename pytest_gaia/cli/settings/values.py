"""Settings of an environment, its stage and its deploy files for tables and JSON: masked, with their sources."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

from pytest_gaia.config.assemble import setting_keys
from pytest_gaia.config.catalogue import source_of
from pytest_gaia.config.deployfiles.model import App, Check, Deployment, Served
from pytest_gaia.config.environment import Environment
from pytest_gaia.config.reader import ADHOC
from pytest_gaia.config.stages import Freeze, Slo, Stage
from pytest_gaia.config.variables import SECRET_KEYS, variable_name
from pytest_gaia.files.toml import Place
from pytest_gaia.preflight.files import env_place, inside, standing
from pytest_gaia.secrets.masks import MASK, Secret, mask_url
from pytest_gaia.secrets.names import is_secret_name
from pytest_gaia.secrets.shapes import secret_shape

Value = str | bool | int | float | list[str] | None


_UNLIMITED = {
    "suites": "all",
    "tolerance.budget": "any number",
    "deploy.services": "all with a deploy file",
    "stage.promote_from": "the first stage",
    "stage.suites": "those of the environment",
    "stage.services": "those that are deployed",
}
"""the meaning of a setting without a value"""


@dataclass(frozen=True, slots=True)
class Setting:
    """One value of an environment."""

    key: str
    """dotted, such as ``urls.orders``"""
    value: Value
    """for JSON; a secret is masked"""
    source: str | None
    """None if there is no value"""
    text: str
    """for tables"""
    relevant: bool = True
    """whether a table shows it"""


def described(environment: Environment) -> list[Setting]:
    """Return all settings of ``environment``, including those without a value."""
    return [_describe(environment, key) for key in setting_keys(environment.platform, *_own_secrets(environment))]


def _own_secrets(environment: Environment) -> list[str]:
    return [f"secrets.{key}" for key in environment.credentials]


def plain(value: Value) -> str:
    """Return ``value`` as text for tables."""
    if value is None:
        return "not set"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g} s"
    if isinstance(value, int):
        return str(value)
    return ", ".join(value) or "none" if isinstance(value, list) else value


def _describe(environment: Environment, key: str) -> Setting:
    group, _, name = key.partition(".") if "." in key else ("", "", key)
    value, source = _value(environment, group, name), environment.sources.get(key)
    if environment.sandbox and group in ("urls", "secrets"):
        return Setting(key, value, source, "set when the sandbox starts")
    if group == "secrets" and value is None and name in SECRET_KEYS:
        specific, general = variable_name(environment.name, SECRET_KEYS[name]), f"GAIA_{SECRET_KEYS[name]}"
        return Setting(key, None, None, f"not set ({specific} or {general})")
    if group == "urls" and value is None:
        return Setting(key, None, None, _without_url(environment, name), relevant=name in environment.services)
    text = _UNLIMITED.get(key, "not set") if value is None else plain(value)
    return Setting(key, value, source, text, relevant=_relevant(environment, group))


def _without_url(environment: Environment, service: str) -> str:
    """Return how a service without a URL is reached, or the variable that gives it one."""
    described = environment.platform[service]
    if described.via is not None and described.via in environment.urls:
        return f"through {described.via}"
    return f"none ({variable_name(environment.name, f'{described.variable}_URL')})"


def _relevant(environment: Environment, group: str) -> bool:
    if group == "deploy":
        return environment.deploy is not None
    return group != "stage" or not (environment.sandbox or environment.name == ADHOC)


def _value(environment: Environment, group: str, name: str) -> Value:
    if group == "urls":
        url = environment.url_of(name)
        return "disabled" if name in environment.disabled else None if url is None else mask_url(url)
    if group == "secrets" and name in environment.credentials:
        return MASK
    if group == "deploy" and environment.deploy is None:
        return None
    if group == "stage" or name == "slo":
        return stage_value(environment.stage, name)
    part = getattr(environment, group) if group in ("timeouts", "tolerance", "deploy") else environment
    value = getattr(part, "source" if name == "from" else name)
    if (group, name, value) == ("deploy", "services", ()):
        return None
    if isinstance(value, Secret):
        return MASK
    if isinstance(value, tuple):
        return list(value)
    result: Value = mask_url(value) if isinstance(value, str) else value
    return result


_STAGE_FIELDS = {"promote_from": "previous", "max_evidence_age": "evidence_age", "required_approvals": "sign"}


def stage_value(stage: Stage, key: str) -> str | bool | list[str] | None:
    """Return the value of ``key``, a name as in gaia.toml; None if it is not set."""
    if key == "freeze":
        return [_freeze(each) for each in stage.freezes]
    if key == "slo":
        return [objective(each) for each in stage.slos]
    value = getattr(stage, _STAGE_FIELDS.get(key, key))
    if isinstance(value, timedelta):
        return span(value)
    return list(value) if isinstance(value, tuple) else value


def span(length: timedelta) -> str:
    """Return a duration as in gaia.toml, in the largest unit that divides it.

    >>> span(timedelta(days=1)), span(timedelta(minutes=90))
    ('1d', '90m')
    """
    seconds = int(length.total_seconds())
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds and seconds % size == 0:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def objective(slo: Slo) -> str:
    """Return a service level objective as text."""
    warned = f", warned from {slo.warn_ms:g} ms" if slo.warn_ms is not None else ""
    return f"{slo.route}: p{slo.percentile:g} below {slo.fail_ms:g} ms{warned}, of {slo.min_samples} samples or more"


def _freeze(freeze: Freeze) -> str:
    return f"{freeze.begins.isoformat()} to {freeze.until.isoformat()}: {freeze.why}"


DeployedValue = str | bool | int | list[str]

_VARIABLE = re.compile(r"\$\{?\w+\}?")
_MEMORY = ("vm.memory_mb", "vm.memory", "vm.size", "vm", "deploy.resources.limits.memory", "mem_limit")
"""keys that may set the memory, in order of precedence"""


@dataclass(frozen=True, slots=True)
class DeployValue:
    """One value of one app."""

    service: str
    key: str
    """such as ``app``, ``region``, ``memory_mb`` or ``env.LOG_LEVEL``"""
    value: DeployedValue
    source: str
    """file, line and the key in the file"""

    @property
    def text(self) -> str:
        """The value as text."""
        if isinstance(self.value, list):
            return ", ".join(map(str, self.value)) or "none"
        if isinstance(self.value, bool):
            return "yes" if self.value else "no"
        return str(self.value)


def deploy_values(deployment: Deployment) -> list[DeployValue]:
    """Return the values of all apps of ``deployment``."""
    return [
        DeployValue(app.service, key, value, source_of(place))
        for app in deployment.apps
        for key, value, place in _values(app)
    ]


def masked(name: str, value: str) -> str:
    """Return the value of an environment variable, masked if it may be a secret; references are shown."""
    if not value or _VARIABLE.fullmatch(value):
        return value
    shown = mask_url(value)
    return MASK if is_secret_name(name) or secret_shape(shown.replace(MASK, "")) else shown


def check_text(check: Check) -> str:
    """Return a health check as text."""
    what = f"{check.kind} {check.method} {check.path}" if check.kind == "http" and check.path else check.kind
    port = f" on port {check.port}" if check.port is not None else ""
    spans = (("every", check.interval), ("timeout", check.timeout), ("grace", check.grace))
    return ", ".join([what + port, *(f"{word} {seconds:g} s" for word, seconds in spans if seconds is not None)])


def _values(app: App) -> Iterator[tuple[str, DeployedValue, Place]]:
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
        yield f"env.{name}", MASK if name in app.withheld else masked(name, text), env_place(app, name)


def _served(app: App, served: Served) -> Iterator[tuple[str, DeployedValue, Place]]:
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
    """Return the place of the first of ``names`` that the file has."""
    places = (standing(app, *name.split(".")) for name in names)
    return next(
        (place for place, name in zip(places, names, strict=True) if place.key.endswith(name)), app.place("app")
    )
