"""The values of an environment and of its stage as people and JSON readers see them: masked, each with its source."""

from dataclasses import dataclass
from datetime import timedelta

from pytest_gaia.config.assemble import SETTINGS
from pytest_gaia.config.environment import Environment
from pytest_gaia.config.reader import ADHOC
from pytest_gaia.config.stages import Freeze, Slo, Stage
from pytest_gaia.config.variables import SECRET_KEYS, variable_name
from pytest_gaia.secrets.masks import MASK, Secret, mask_url

Value = str | bool | int | float | list[str] | None


_UNLIMITED = {
    "suites": "all",
    "tolerance.budget": "any number",
    "deploy.services": "all that have a deploy file",
    "stage.from": "the first stage",
    "stage.suites": "what the environment runs",
    "stage.services": "what is deployed there",
}
"""what a value that is not set means"""


@dataclass(frozen=True, slots=True)
class Setting:
    """One value of an environment."""

    key: str
    """dotted, such as ``urls.gateway``"""
    value: Value
    """for JSON; a secret is masked"""
    source: str | None
    """where it came from; None where there is no value"""
    text: str
    """for people"""
    relevant: bool = True
    """whether people want to see it"""


def described(environment: Environment) -> list[Setting]:
    """Return every setting of ``environment``, those without a value included."""
    return [_describe(environment, key) for key in SETTINGS]


def plain(value: Value) -> str:
    """Return ``value`` as people read it."""
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
    group, _, name = key.rpartition(".")
    value, source = _value(environment, group, name), environment.sources.get(key)
    if environment.sandbox and (group in ("urls", "secrets") or key == "nats"):
        return Setting(key, value, source, "its own, known when it runs")
    if group == "secrets" and value is None:
        specific, general = variable_name(environment.name, SECRET_KEYS[name]), f"GAIA_{SECRET_KEYS[name]}"
        return Setting(key, None, None, f"not set ({specific} or {general})")
    if group == "urls" and value is None:
        return Setting(key, None, None, "none of its own", relevant=name in environment.services)
    text = _UNLIMITED.get(key, "not set") if value is None else plain(value)
    return Setting(key, value, source, text, relevant=_relevant(environment, group))


def _relevant(environment: Environment, group: str) -> bool:
    if group == "deploy":
        return environment.deploy is not None
    return group != "stage" or not (environment.sandbox or environment.name == ADHOC)


def _value(environment: Environment, group: str, name: str) -> Value:
    if group == "urls":
        return environment.urls.get(name)
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


def stage_value(stage: Stage, key: str) -> str | bool | list[str] | None:
    """Return the value of ``key``, named as in gaia.toml; None for one that is not set."""
    if key == "freeze":
        return [_freeze(each) for each in stage.freezes]
    if key == "slo":
        return [objective(each) for each in stage.slos]
    value = getattr(stage, "previous" if key == "from" else key)
    if isinstance(value, timedelta):
        return span(value)
    return list(value) if isinstance(value, tuple) else value


def span(length: timedelta) -> str:
    """Return a duration as it is written in gaia.toml, in the largest unit that holds it without a rest.

    >>> span(timedelta(days=1)), span(timedelta(minutes=90))
    ('1d', '90m')
    """
    seconds = int(length.total_seconds())
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds and seconds % size == 0:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def objective(slo: Slo) -> str:
    """Return one service level objective in words."""
    warned = f", warned from {slo.warn_ms:g} ms" if slo.warn_ms is not None else ""
    return f"{slo.route}: p{slo.percentile:g} below {slo.fail_ms:g} ms{warned}, of {slo.least_samples} samples or more"


def _freeze(freeze: Freeze) -> str:
    return f"{freeze.begins.isoformat()} to {freeze.until.isoformat()}: {freeze.why}"
