"""Building the environment of a run from its settings."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from msgspec import UNSET, Struct

from pytest_gaia.config.credentials import SECRET_KEYS
from pytest_gaia.config.environment import HTTP_SERVICES, NATS_DISABLED, Environment, Timeouts
from pytest_gaia.config.files import SHIPPED
from pytest_gaia.config.members import expected_members, required_members
from pytest_gaia.config.reader import SANDBOX
from pytest_gaia.config.secrets import Secret
from pytest_gaia.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pytest_gaia.config.layers import Layer
    from pytest_gaia.config.variables import Sourced

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
    "writes",
    "experimental",
    "safe_posts",
    "suites",
    *(f"timeouts.{name}" for name in ("connect", "answer", "stream", "ready")),
)
"""Every key of ``Environment.sources``, in the order in which people are shown them."""

_OPTIONAL = ("release", "nats", *(key for key in SETTINGS if key.startswith(("urls.", "secrets."))))
_AS_THEY_ARE = ("topology", "nats", "hosts", "writes", "experimental", "safe_posts", "suites", "release")


def assemble(
    name: Sourced, layer: Layer, secrets: Mapping[str, Sourced], *, embedded: bool, rehearsal: bool
) -> Environment:
    """Return the environment; ``embedded`` says that the sandbox stands behind it.

    Raises ``ConfigError`` where settings contradict each other or no address is known.
    """
    given = _set_values(layer.table.urls, HTTP_SERVICES)
    services = expected_members(name.value, layer, has_database="database" in secrets)
    urls = {service: url for service, url in given.items() if service in services}
    settings = _set_values(layer.table, _AS_THEY_ARE)
    if not urls and settings.get("nats", NATS_DISABLED) == NATS_DISABLED and name.value != SANDBOX:
        raise ConfigError(
            f"{name.source}: environment {name.value} has no address; set `url` in [env.{name.value}] of gaia.toml, "
            "or give --gaia-url=http://…."
        )
    settings |= {field: Secret(found.value) for field, found in secrets.items()}
    return Environment(
        name=name.value,
        urls=MappingProxyType(urls),
        services=services,
        required=required_members(name.value, layer, services),
        timeouts=Timeouts(**_set_values(layer.table.timeouts, ("connect", "answer", "stream", "ready"))),
        sandbox=embedded,
        rehearsal=rehearsal,
        sources=_sources(name, layer, urls, secrets),
        **settings,
    )


def _set_values(table: object, keys: Iterable[str]) -> dict[str, Any]:
    """Return the values that are set; for the others the defaults of ``Environment`` hold."""
    if not isinstance(table, Struct):
        return {}
    return {key: value for key in keys if (value := getattr(table, key)) is not UNSET}


def _sources(name: Sourced, layer: Layer, urls: Mapping[str, str], secrets: Mapping[str, Sourced]) -> Mapping[str, str]:
    """Return the source of each setting; one that may be absent and is absent has none."""
    found = {
        **{key: source for key, source in layer.sources.items() if key.removeprefix("urls.") not in HTTP_SERVICES},
        **{f"urls.{service}": layer.sources[f"urls.{service}"] for service in urls},
        **{f"secrets.{field}": secret.source for field, secret in secrets.items()},
        "name": name.source,
    }
    known = (key for key in SETTINGS if key in found or key not in _OPTIONAL)
    return MappingProxyType({key: found.get(key, SHIPPED) for key in known})
