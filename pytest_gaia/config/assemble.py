"""Building the environment of a run from its settings."""

from __future__ import annotations

from dataclasses import fields
from types import MappingProxyType
from typing import TYPE_CHECKING

from msgspec import UNSET

from pytest_gaia.config.credentials import SECRET_KEYS
from pytest_gaia.config.decoding import keys_of
from pytest_gaia.config.deployment import deploy_settings
from pytest_gaia.config.environment import SANDBOX, DeploySettings, Environment, Timeouts, not_configured
from pytest_gaia.config.files import SHIPPED, shipped_file
from pytest_gaia.config.members import expected_members, required_members
from pytest_gaia.config.platform import HTTP_SERVICES, NATS_DISABLED
from pytest_gaia.config.schema import StageTable, set_values
from pytest_gaia.config.stage_settings import stage_settings
from pytest_gaia.config.tolerance import TOLERANCE_KEYS, tolerance_of
from pytest_gaia.errors import ConfigError, NotConfigured
from pytest_gaia.secrets.masks import Secret

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_gaia.config.deployfiles.model import Deployment
    from pytest_gaia.config.layers import Layer
    from pytest_gaia.config.variables import Sourced

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
    "max_answer_mib",
    *(f"timeouts.{name}" for name in ("connect", "answer", "stream", "ready")),
    *(f"tolerance.{key}" for key in TOLERANCE_KEYS),
    "from",
    *_DEPLOY,
    *_STAGE,
    "slo",
)
"""Every key of ``Environment.sources``, in the order in which people are shown them."""

_OPTIONAL = ("release", "nats", "from", *_DEPLOY, *(key for key in SETTINGS if key.startswith(("urls.", "secrets."))))
_AS_THEY_ARE = (
    "topology",
    "nats",
    "hosts",
    "loopback",
    "writes",
    "experimental",
    "core_only",
    "safe_posts",
    "suites",
    "max_answer_mib",
    "release",
    "source",
)


def assemble(
    name: Sourced,
    layer: Layer,
    secrets: Mapping[str, Sourced],
    *,
    embedded: bool,
    rehearsal: bool,
    deployment: Deployment | None = None,
    addressed: bool = True,
) -> Environment:
    """Return the environment; ``embedded`` says that the sandbox stands behind it, ``addressed`` that it needs an address.

    ``deployment`` are the deploy files that it is read from.

    Raises ``ConfigError`` where settings contradict each other or no address is known.
    """
    given = set_values(layer.table.urls)
    services = expected_members(name.value, layer, has_database="database" in secrets)
    urls = {service: url for service, url in given.items() if service in services}
    settings = {key: value for key, value in set_values(layer.table).items() if key in _AS_THEY_ARE}
    if addressed and not urls and settings.get("nats", NATS_DISABLED) == NATS_DISABLED and name.value != SANDBOX:
        raise _without_address(name, layer, deployment)
    settings |= {field: Secret(found.value) for field, found in secrets.items()}
    return Environment(
        name=name.value,
        urls=MappingProxyType(urls),
        services=services,
        required=required_members(name.value, layer, services),
        timeouts=Timeouts(**set_values(layer.table.timeouts)),
        tolerance=tolerance_of(name.value, set_values(layer.table.tolerance)),
        deploy=deploy_settings(name.value, layer),
        stage=stage_settings(layer.table),
        sandbox=embedded,
        rehearsal=rehearsal,
        sources=_sources(name, layer, urls, secrets),
        **settings,
    )


def _without_address(name: Sourced, layer: Layer, deployment: Deployment | None) -> ConfigError:
    if name.value in shipped_file().environments and layer.table.source is UNSET:
        # One that the project says nothing of is only known by name, and missed by nobody who lists all of them.
        is_stated = any(source != SHIPPED for source in layer.sources.values())
        kind = ConfigError if is_stated else NotConfigured
        return kind(f"{name.source}: {not_configured(name.value)}")
    if deployment is not None:
        # Which message it is costs the reading of deploy files, which is done by then.
        from pytest_gaia.config.deployfiles.reach import why_no_address

        return ConfigError(
            f"{why_no_address(deployment)} So environment {name.value} has no address; correct that, set `url` in "
            f"[env.{name.value}] of gaia.toml, or give --gaia-url=http://…."
        )
    return ConfigError(
        f"{name.source}: environment {name.value} has no address; set `url` in [env.{name.value}] of gaia.toml, "
        "or give --gaia-url=http://…."
    )


def _sources(name: Sourced, layer: Layer, urls: Mapping[str, str], secrets: Mapping[str, Sourced]) -> Mapping[str, str]:
    """Return the source of each setting; one that may be absent and is absent has none."""
    found = {
        **{key: source for key, source in layer.sources.items() if key.removeprefix("urls.") not in HTTP_SERVICES},
        **{f"urls.{service}": layer.sources[f"urls.{service}"] for service in urls},
        **{f"secrets.{field}": secret.source for field, secret in secrets.items()},
        "name": name.source,
    }
    if "from" in found or "deploy.hook" in found:
        # Without a hook of its own, an environment is deployed by the tool whose files it reads.
        found = dict.fromkeys(_DEPLOY, SHIPPED) | {"deploy.hook": found.get("from", SHIPPED)} | found
    known = (key for key in SETTINGS if key in found or key not in _OPTIONAL)
    return MappingProxyType({key: found.get(key, SHIPPED) for key in known})
