"""Build the environment of a run from its settings."""

from collections.abc import Collection, Mapping
from dataclasses import fields
from types import MappingProxyType
from typing import Any

from msgspec import UNSET

from pytest_gaia.config.deployfiles.model import Deployment
from pytest_gaia.config.environment import SANDBOX, DeploySettings, Environment, Timeouts, not_configured
from pytest_gaia.config.layers import SHIPPED, Layer, role_settings, shipped_file
from pytest_gaia.config.platform import DISABLED, Platform
from pytest_gaia.config.reader import ADHOC, role_of
from pytest_gaia.config.schema import EnvironmentTable, LedgerTable, StageTable, set_values
from pytest_gaia.config.stages import Freeze, LedgerSettings, Slo, Stage, duration
from pytest_gaia.config.tolerance import TOLERANCE_KEYS, tolerance_of
from pytest_gaia.config.variables import SECRET_KEYS, Sourced
from pytest_gaia.errors import ConfigError, NotConfigured
from pytest_gaia.files.decoding import keys_of
from pytest_gaia.secrets.masks import Secret

_DEPLOY = tuple(f"deploy.{item.name}" for item in fields(DeploySettings))

_OF_KUBERNETES = {"context": "a context of the kubeconfig", "namespace": "a namespace"}

_STAGE = tuple(f"stage.{key}" for key in keys_of(StageTable))

_BEFORE = ("name", "role", "release", "services", "required")
_AFTER = (
    *(f"secrets.{field}" for field in SECRET_KEYS),
    "hosts",
    "loopback",
    "writes",
    "direct",
    "experimental",
    "core_only",
    "concurrency",
    "suites",
    "max_response_mib",
    *(f"timeouts.{name}" for name in ("connect", "response", "stream", "ready")),
    *(f"tolerance.{key}" for key in TOLERANCE_KEYS),
    "from",
    *_DEPLOY,
    *_STAGE,
    "slo",
)


def setting_keys(platform: Platform, *others: str) -> tuple[str, ...]:
    """Return every key of ``Environment.sources``, in the order of `gaia env show`. ``others`` are secrets of services."""
    return (*_BEFORE, *(f"urls.{service}" for service in platform), *others, *_AFTER)


_OPTIONAL = ("release", "from", *_DEPLOY)
_MADE_OF = ("role", "url", "urls", "services", "without", "required", "timeouts", "tolerance", "deploy", "stage", "slo")
"""keys whose values are converted"""


def assemble(
    name: Sourced,
    layer: Layer,
    secrets: Mapping[str, Sourced],
    platform: Platform,
    *,
    embedded: bool,
    simulated: bool,
    deployment: Deployment | None = None,
    addressed: bool = True,
) -> Environment:
    """Return the environment.

    ``embedded``: it runs on the sandbox. ``addressed``: it needs an address. ``deployment``: the deploy files that some of
    the settings come from.

    Raises ``ConfigError`` if settings contradict each other, or if no address is known.
    """
    given: dict[str, str] = dict(layer.table.urls) if isinstance(layer.table.urls, dict) else {}
    disabled = frozenset(service for service, url in given.items() if url == DISABLED)
    services = expected_services(name.value, layer, platform, disabled)
    role = role_of(name.value, layer.table)
    urls = {each: url for each, url in given.items() if platform[each].is_http and each in services}
    connections = {each: Secret(url) for each, url in given.items() if not platform[each].is_http and each in services}
    settings = {key: value for key, value in set_values(layer.table).items() if key not in _MADE_OF}
    if addressed and not (urls or connections) and name.value != SANDBOX:
        raise _without_address(name, layer, deployment)
    settings.setdefault("direct", "warn" if settings.get("writes") else "refuse")
    settings |= {field: Secret(secrets[field].value) for field in SECRET_KEYS if field in secrets}
    own = {key: Secret(found.value) for key, found in secrets.items() if key not in SECRET_KEYS}
    return Environment(
        name=name.value,
        role=role,
        platform=platform,
        urls=MappingProxyType(urls),
        connections=MappingProxyType(connections),
        disabled=disabled,
        services=services,
        required=required_services(name.value, layer, services, platform, urls),
        timeouts=Timeouts(**set_values(layer.table.timeouts)),
        tolerance=tolerance_of(role, set_values(layer.table.tolerance)),
        deploy=deploy_settings(name.value, layer),
        stage=stage_settings(layer.table),
        sandbox=embedded,
        simulated=simulated,
        credentials=MappingProxyType(own),
        sources=_sources(name, layer, {*urls, *connections, *disabled}, secrets, platform),
        **settings,
    )


def _without_address(name: Sourced, layer: Layer, deployment: Deployment | None) -> ConfigError:
    if name.value in role_settings() and layer.table.source is UNSET:
        # An environment without any settings of the project has only a name, and lists leave it out.
        is_stated = any(source != SHIPPED for source in layer.sources.values())
        kind = ConfigError if is_stated else NotConfigured
        return kind(f"{name.source}: {not_configured(name.value)}")
    if deployment is not None:
        # Imported here, because only this message needs it.
        from pytest_gaia.config.deployfiles.reach import why_no_address

        return ConfigError(
            f"{why_no_address(deployment)} Therefore the environment {name.value} has no address. Correct that, set `url` in "
            f"[env.{name.value}] of gaia.toml, or use --gaia-url=URL."
        )
    return ConfigError(
        f"{name.source}: environment {name.value} has no address. Set `url` in [env.{name.value}] of gaia.toml, "
        "or use --gaia-url=URL."
    )


def _sources(
    name: Sourced, layer: Layer, addressed: Collection[str], secrets: Mapping[str, Sourced], platform: Platform
) -> Mapping[str, str]:
    """Return the source of each setting, without optional settings that are absent."""
    own = [f"secrets.{key}" for key in secrets if key not in SECRET_KEYS]
    keys = setting_keys(platform, *own)
    found = {
        **{key: source for key, source in layer.sources.items() if not key.startswith("urls.")},
        **{f"urls.{service}": layer.sources[f"urls.{service}"] for service in addressed},
        **{f"secrets.{field}": secret.source for field, secret in secrets.items()},
        "name": name.source,
    }
    if "without" in found:
        found["services"] = found.pop("without")
    if "from" in found or "deploy.hook" in found:
        # Without a hook, the tool whose files the environment reads also deploys it.
        found = dict.fromkeys(_DEPLOY, SHIPPED) | {"deploy.hook": found.get("from", SHIPPED)} | found
    known = (key for key in keys if key in found or not (key in _OPTIONAL or key.startswith(("urls.", "secrets."))))
    return MappingProxyType({key: found.get(key, SHIPPED) for key in known})


def expected_services(name: str, layer: Layer, platform: Platform, disabled: Collection[str] = ()) -> tuple[str, ...]:
    """Return the expected services, in the order of their declaration.

    A service whose address is given is expected even if ``services`` does not list it.
    """
    table = layer.table
    if table.services is not UNSET:
        expected = set(table.services)
        if layer.sources.get("services") == SHIPPED:
            # The list of the built-in platform does not know the services that the project adds.
            shipped = shipped_file("gaia").platform
            expected |= {each for each in platform if each not in shipped or each in shipped.without}
    elif name == ADHOC:
        # An unknown entry may have every service behind it.
        expected = {each for each in platform if platform[each].via in layer.named}
    else:
        expected = set(platform)
    if table.services is UNSET or layer.sources.get("services") == SHIPPED:
        expected -= set(table.without if isinstance(table.without, tuple) else platform.without)
    return platform.sort((expected | layer.named) - set(disabled))


def required_services(
    name: str, layer: Layer, services: tuple[str, ...], platform: Platform, addressed: Collection[str]
) -> tuple[str, ...]:
    """Return the services without which no test runs. Raises ``ConfigError`` for one that is not expected."""
    if layer.table.required is UNSET:
        return platform.required(services, addressed)
    for service in layer.table.required:
        if service not in services:
            raise ConfigError(
                f"{layer.sources['required']}: env.{name}.required: {service} is not one of the services of this "
                f"environment ({', '.join(services)}). Add it to `services`, or remove it from `required`."
            )
    return layer.table.required


def deploy_settings(name: str, layer: Layer) -> DeploySettings | None:
    """Return the settings; None for an environment without deploy files and without a hook.

    Raises ``ConfigError`` if the table contradicts itself.
    """
    given = set_values(layer.table.deploy)
    hook = given.pop("hook", layer.table.source)
    if hook is UNSET and not given:
        return None
    if hook is UNSET:
        raise _error(
            name,
            layer,
            next(iter(given)),
            'the deploy hook is missing; add hook = "fly" (or "compose", "command"), or `from` to the environment.',
        )
    if hook == "command" and "command" not in given:
        raise _error(name, layer, "hook", 'the executable is missing; add a key such as command = ["ci/deploy"].')
    if hook != "command" and "command" in given:
        raise _error(name, layer, "command", f'the hook is {hook}; write hook = "command", or remove this key.')
    for key, what in _OF_KUBERNETES.items():
        if hook == "kubernetes" and key not in given:
            raise _error(
                name, layer, "hook", f"kubernetes needs {what}; add {key} to the table. The current one is never used."
            )
        if hook != "kubernetes" and key in given:
            raise _error(name, layer, key, f'the hook is {hook}; write hook = "kubernetes", or remove this key.')
    return DeploySettings(hook=hook, **given)


def _error(name: str, layer: Layer, key: str, problem: str) -> ConfigError:
    return ConfigError(f"{layer.sources[f'deploy.{key}']}: env.{name}.deploy.{key}: {problem}")


def stage_settings(table: EnvironmentTable) -> Stage:
    """Return the stage in the merged ``table``, whose values are valid."""
    given: dict[str, Any] = set_values(table.stage)
    given |= {key: duration(given[key]) for key in ("soak", "evidence_age") if key in given}
    given["previous"] = given.get("previous") or None
    freezes = given.pop("freeze", ())
    slos = table.slo if isinstance(table.slo, tuple) else ()
    return Stage(
        **given,
        freezes=tuple(Freeze(each.begins, each.until, each.reason) for each in freezes),
        slos=tuple(Slo(**set_values(each)) for each in slos),
    )


def ledger_settings(table: LedgerTable) -> LedgerSettings:
    """Return the settings of the ledger."""
    return LedgerSettings(**set_values(table))
