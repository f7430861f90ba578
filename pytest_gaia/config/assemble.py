"""Building the environment of a run from its settings, and the checks that need the whole of it."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, TypeVar

from msgspec import UNSET, UnsetType

from pytest_gaia.config import addresses
from pytest_gaia.config.environment import HTTP_SERVICES, MEMBERS, NATS_DISABLED, Environment, Timeouts
from pytest_gaia.config.files import RESERVED, SHIPPED
from pytest_gaia.config.secrets import Secret
from pytest_gaia.errors import ConfigError, EnvironmentUnavailable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_gaia.config.catalogue import Catalogue
    from pytest_gaia.config.layers import Layer
    from pytest_gaia.config.schema import EnvironmentTable
    from pytest_gaia.config.variables import Sourced, Variables

SECRET_KEYS = {"database": "DATABASE_URL", "api_key": "API_KEY", "jwt_secret": "JWT_SECRET", "token": "TOKEN"}
"""field of the environment → last part of the variable that holds it"""

SETTINGS = (
    "name",
    "topology",
    "release",
    "services",
    "required",
    *(f"urls.{service}" for service in HTTP_SERVICES),
    "nats",
    *(f"secrets.{name}" for name in SECRET_KEYS),
    "hosts",
    "writes",
    "experimental",
    "safe_posts",
    "suites",
    *(f"timeouts.{name}" for name in ("connect", "answer", "stream", "ready")),
)
"""Every key of ``Environment.sources``, in the order in which people are shown them."""

OPTIONAL = ("release", "nats", *(f"secrets.{name}" for name in SECRET_KEYS))
"""Settings that may have no value; then they have no source either."""

T = TypeVar("T")


def assemble(
    name: Sourced, layer: Layer, secrets: Mapping[str, Sourced], *, embedded: bool, rehearsal: bool
) -> Environment:
    """Return the environment; ``embedded`` says that the sandbox stands behind it.

    Raises ``ConfigError`` where settings contradict each other or no address is known.
    """
    table = layer.table
    nats = _or(table.nats, None)
    given = {service: url for service in HTTP_SERVICES if (url := _url(table, service)) is not None}
    services = _services(name.value, layer, nats, has_database="database" in secrets)
    urls = {service: url for service, url in given.items() if service in services}
    required = _required(name.value, layer, services)
    if not (urls or name.value == "sandbox"):
        raise ConfigError(
            f"{name.source}: environment {name.value} has no address. Set `url` in [env.{name.value}] of gaia.toml, "
            "or give --gaia-url=http://…."
        )
    timeouts = (
        {}
        if table.timeouts is UNSET
        else {
            key: value
            for key in table.timeouts.__struct_fields__
            if (value := getattr(table.timeouts, key)) is not UNSET
        }
    )
    values = {key: Secret(found.value) for key, found in secrets.items()}
    return Environment(
        name=name.value,
        topology=_or(table.topology, "microservices"),
        urls=MappingProxyType(urls),
        nats=nats,
        services=services,
        required=required,
        hosts=_or(table.hosts, ()),
        timeouts=Timeouts(**timeouts),
        writes=_or(table.writes, False),
        experimental=_or(table.experimental, True),
        safe_posts=_or(table.safe_posts, ()),
        suites=_or(table.suites, None),
        release=_or(table.release, None),
        sandbox=embedded,
        rehearsal=rehearsal,
        database=values.get("database"),
        api_key=values.get("api_key"),
        jwt_secret=values.get("jwt_secret"),
        token=values.get("token"),
        sources=_sources(name, layer, urls, secrets),
    )


def find_secrets(variables: Variables, name: str) -> dict[str, Sourced]:
    """Return field → secret for the environment ``name``; raises ``ConfigError`` for one that cannot be right."""
    found = {field: variables.of(name, key) for field, key in SECRET_KEYS.items()}
    secrets = {field: secret for field, secret in found.items() if secret is not None}
    for field, secret in secrets.items():
        if not secret.value.isprintable() or secret.value != secret.value.strip():
            raise ConfigError(
                f"{secret.source}: {field}: holds a line break, a control character, or spaces at its ends; "
                "the value is not shown because it is a secret."
            )
    if "database" in secrets:
        addresses.database_url(secrets["database"].value, f"{secrets['database'].source}: database")
    return secrets


def refuse_foreign_hosts(environment: Environment, catalogue: Catalogue) -> None:
    """Raise ``EnvironmentUnavailable`` if an address of ``environment`` belongs to another environment."""
    urls = {f"urls.{service}": url for service, url in environment.urls.items()}
    if environment.nats not in (None, NATS_DISABLED):
        urls["nats"] = str(environment.nats)
    if environment.database is not None:
        urls["secrets.database"] = environment.database.reveal()
    for key, url in urls.items():
        for host in addresses.hosts_in(url):
            owner = catalogue.owner_of(host)
            if owner not in (None, environment.name) and not addresses.matches(host, environment.hosts):
                raise EnvironmentUnavailable(
                    f"{environment.name}: {key} (from {environment.sources[key]}) is {host}, which belongs to {owner}. "
                    f"Nothing was sent. To run against {owner}, say --gaia-env={owner}; if the host is "
                    f"{environment.name}'s, correct `hosts` of both in gaia.toml."
                )


def _or(value: T | UnsetType, default: T) -> T:
    return default if value is UNSET else value


def _url(table: EnvironmentTable, service: str) -> str | None:
    url: str | UnsetType = UNSET if table.urls is UNSET else getattr(table.urls, service)
    return _or(url, None)


def _services(name: str, layer: Layer, nats: str | None, *, has_database: bool) -> tuple[str, ...]:
    """Return the members to expect, in the order of ``MEMBERS``. A URL given by name says that its service is there."""
    table = layer.table
    if table.services is not UNSET:
        expected: set[str] = set(table.services)
    elif name == RESERVED:
        # Behind a gateway nobody knows of there may be everything; the checks will tell.
        expected = set(HTTP_SERVICES) if "gateway" in layer.named else set()
        expected |= {"nats"} if nats else set()
        expected |= {"postgres"} if has_database else set()
    else:
        expected = {"gateway", "postgres"} if table.topology == "gateway-only" else set(MEMBERS)
    if nats == NATS_DISABLED:
        expected.discard("nats")
    expected |= layer.named
    return tuple(member for member in MEMBERS if member in expected)


def _required(name: str, layer: Layer, services: tuple[str, ...]) -> tuple[str, ...]:
    if layer.table.required is UNSET:
        return ("gateway",) if "gateway" in services else services[:1]
    for member in layer.table.required:
        if member not in services:
            raise ConfigError(
                f"{layer.sources['required']}: env.{name}.required: {member} is not among the services of this "
                f"environment ({', '.join(services)}); add it to `services` or take it out of `required`."
            )
    return layer.table.required


def _sources(name: Sourced, layer: Layer, urls: Mapping[str, str], secrets: Mapping[str, Sourced]) -> Mapping[str, str]:
    found = {
        **layer.sources,
        "name": name.source,
        **{f"secrets.{field}": secret.source for field, secret in secrets.items()},
    }
    absent = {f"urls.{service}" for service in HTTP_SERVICES if service not in urls}
    absent |= {key for key in OPTIONAL if key not in found}
    return MappingProxyType({key: found.get(key, SHIPPED) for key in SETTINGS if key not in absent})
