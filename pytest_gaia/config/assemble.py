"""Build the environment of a run from its settings."""

from collections.abc import Mapping
from dataclasses import fields
from types import MappingProxyType
from typing import Any

from msgspec import UNSET

from pytest_gaia.config.deployfiles.model import Deployment
from pytest_gaia.config.environment import SANDBOX, DeploySettings, Environment, Timeouts, not_configured
from pytest_gaia.config.layers import SHIPPED, Layer, shipped_file
from pytest_gaia.config.platform import HTTP_SERVICES, NATS_DISABLED, SERVICES
from pytest_gaia.config.reader import ADHOC
from pytest_gaia.config.schema import EnvironmentTable, LedgerTable, StageTable, set_values
from pytest_gaia.config.stages import Freeze, LedgerSettings, Slo, Stage, duration
from pytest_gaia.config.tolerance import TOLERANCE_KEYS, tolerance_of
from pytest_gaia.config.variables import SECRET_KEYS, Sourced
from pytest_gaia.errors import ConfigError, NotConfigured
from pytest_gaia.files.decoding import keys_of
from pytest_gaia.secrets.masks import Secret

_DEPLOY = tuple(f"deploy.{item.name}" for item in fields(DeploySettings))

_STAGE = tuple(f"stage.{key}" for key in keys_of(StageTable))

SETTINGS = (
    "name",
    "topology",
    "release",
    "services",
    "required",
    *(f"urls.{service}" for service in HTTP_SERVICES),
    "nats",
    *(f"secrets.{field}" for field in SECRET_KEYS),
    "hosts",
    "loopback",
    "writes",
    "experimental",
    "core_only",
    "safe_posts",
    "suites",
    "max_response_mib",
    *(f"timeouts.{name}" for name in ("connect", "response", "stream", "ready")),
    *(f"tolerance.{key}" for key in TOLERANCE_KEYS),
    "from",
    *_DEPLOY,
    *_STAGE,
    "slo",
)
"""Every key of ``Environment.sources``, in the order of `gaia env show`."""

_OPTIONAL = ("release", "nats", "from", *_DEPLOY, *(key for key in SETTINGS if key.startswith(("urls.", "secrets."))))
_MADE_OF = ("urls", "services", "required", "timeouts", "tolerance", "deploy", "stage", "slo")
"""keys whose values are converted"""


def assemble(
    name: Sourced,
    layer: Layer,
    secrets: Mapping[str, Sourced],
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
    given = set_values(layer.table.urls)
    services = expected_services(name.value, layer, has_database="database" in secrets)
    urls = {service: url for service, url in given.items() if service in services}
    settings = {key: value for key, value in set_values(layer.table).items() if key not in _MADE_OF}
    if addressed and not urls and settings.get("nats", NATS_DISABLED) == NATS_DISABLED and name.value != SANDBOX:
        raise _without_address(name, layer, deployment)
    settings |= {field: Secret(found.value) for field, found in secrets.items()}
    return Environment(
        name=name.value,
        urls=MappingProxyType(urls),
        services=services,
        required=required_services(name.value, layer, services),
        timeouts=Timeouts(**set_values(layer.table.timeouts)),
        tolerance=tolerance_of(name.value, set_values(layer.table.tolerance)),
        deploy=deploy_settings(name.value, layer),
        stage=stage_settings(layer.table),
        sandbox=embedded,
        simulated=simulated,
        sources=_sources(name, layer, urls, secrets),
        **settings,
    )


def _without_address(name: Sourced, layer: Layer, deployment: Deployment | None) -> ConfigError:
    if name.value in shipped_file().environments and layer.table.source is UNSET:
        # An environment without any settings of the project has only a name, and lists leave it out.
        is_stated = any(source != SHIPPED for source in layer.sources.values())
        kind = ConfigError if is_stated else NotConfigured
        return kind(f"{name.source}: {not_configured(name.value)}")
    if deployment is not None:
        # Imported here, because only this message needs it.
        from pytest_gaia.config.deployfiles._reach import why_no_address

        return ConfigError(
            f"{why_no_address(deployment)} Therefore the environment {name.value} has no address. Correct that, set `url` in "
            f"[env.{name.value}] of gaia.toml, or use --gaia-url=URL."
        )
    return ConfigError(
        f"{name.source}: environment {name.value} has no address. Set `url` in [env.{name.value}] of gaia.toml, "
        "or use --gaia-url=URL."
    )


def _sources(name: Sourced, layer: Layer, urls: Mapping[str, str], secrets: Mapping[str, Sourced]) -> Mapping[str, str]:
    """Return the source of each setting, without optional settings that are absent."""
    found = {
        **{key: source for key, source in layer.sources.items() if key.removeprefix("urls.") not in HTTP_SERVICES},
        **{f"urls.{service}": layer.sources[f"urls.{service}"] for service in urls},
        **{f"secrets.{field}": secret.source for field, secret in secrets.items()},
        "name": name.source,
    }
    if "from" in found or "deploy.hook" in found:
        # Without a hook, the tool whose files the environment reads also deploys it.
        found = dict.fromkeys(_DEPLOY, SHIPPED) | {"deploy.hook": found.get("from", SHIPPED)} | found
    known = (key for key in SETTINGS if key in found or key not in _OPTIONAL)
    return MappingProxyType({key: found.get(key, SHIPPED) for key in known})


def expected_services(name: str, layer: Layer, *, has_database: bool) -> tuple[str, ...]:
    """Return the expected services, in the order of ``SERVICES``.

    A service whose address is given is expected in every topology.
    """
    table = layer.table
    if table.services is not UNSET:
        expected: set[str] = set(table.services)
    elif name == ADHOC:
        # An unknown gateway may have every service behind it.
        expected = set(HTTP_SERVICES) if "gateway" in layer.named else set()
        expected |= {"postgres"} if has_database else set()
    else:
        expected = {"gateway", "postgres"} if table.topology == "gateway-only" else set(SERVICES)
    if table.nats == NATS_DISABLED:
        expected.discard("nats")
    elif table.nats is not UNSET:
        expected.add("nats")
    expected |= layer.named
    return tuple(service for service in SERVICES if service in expected)


def required_services(name: str, layer: Layer, services: tuple[str, ...]) -> tuple[str, ...]:
    """Return the services without which no test runs. Raises ``ConfigError`` for one that is not expected."""
    if layer.table.required is UNSET:
        return ("gateway",) if "gateway" in services else services[:1]
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
