"""``[platform]`` and ``[services]`` of gaia.toml: their tables, the checks, and the platform that they describe."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Annotated, Any, Literal, TypeAlias

from msgspec import UNSET, Meta, Struct, UnsetType, convert, to_builtins

from pytest_gaia.config.platform import (
    MAX_CONCURRENCY,
    Auth,
    Health,
    Kind,
    Operation,
    Platform,
    SandboxSettings,
    Service,
)
from pytest_gaia.errors import nearest

# Not only for type checkers: msgspec reads the annotations.
Seconds: TypeAlias = Annotated[float, Meta(gt=0, le=3600)]
Words: TypeAlias = tuple[Annotated[str, Meta(min_length=1)], ...]


class TimeoutTable(Struct, frozen=True, forbid_unknown_fields=True):
    """``timeouts`` of an environment or of a service: how long to wait, in seconds."""

    connect: Seconds | UnsetType = UNSET
    """seconds for a connection, in any protocol"""
    response: Seconds | UnsetType = UNSET
    """seconds for the response to one request"""
    stream: Seconds | UnsetType = UNSET
    """seconds for a whole event stream"""
    ready: Seconds | UnsetType = UNSET
    """seconds until all services are ready, before the first test"""


class HealthTable(Struct, frozen=True, forbid_unknown_fields=True):
    """``healthy``: which response to the health check is healthy. An empty table: every response with status 200."""

    field: str | UnsetType = UNSET
    """key of the JSON object; "status" by default"""
    values: Words | UnsetType = UNSET
    """values of a healthy service; "healthy" and "ok" by default"""
    partial: Words | UnsetType = UNSET
    """values that are also healthy where the environment lacks a service that this one depends on"""


class AuthTable(Struct, frozen=True, forbid_unknown_fields=True):
    """``auth``: the credential that the client sends."""

    secret: str
    """end of the name of the variable with the credential, such as "API_KEY" for GAIA_STAGING_API_KEY"""
    header: str
    """name of the header"""
    scheme: str = ""
    """word before the credential, such as "Bearer\""""


class UnitTable(Struct, frozen=True, forbid_unknown_fields=True):
    """``deploy``: the unit of the service for each deploy tool; false if the tool does not deploy it."""

    fly: str | Literal[False] | UnsetType = UNSET
    """app on Fly"""
    compose: str | Literal[False] | UnsetType = UNSET
    """service in the Compose file"""
    kubernetes: str | Literal[False] | UnsetType = UNSET
    """workload, such as "deployment/orders\""""


class SandboxTable(Struct, frozen=True, forbid_unknown_fields=True):
    """``sandbox``: how the sandbox runs the service."""

    reference: bool | UnsetType = UNSET
    """whether it is a reference service of the Gaia Platform, which pytest-gaia contains"""
    api: Literal["current", "next"] | UnsetType = UNSET
    """the only API of the Gaia Platform with which there is this reference service; by default all"""
    command: Words | UnsetType = UNSET
    """program and arguments; `{port}`, `{host}`, `{stack}` and `{NAME.url}`, `{NAME.host}`, `{NAME.port}` are replaced"""
    env: dict[str, str] | UnsetType = UNSET
    """variables of the program, with the same placeholders"""
    cwd: str | UnsetType = UNSET
    """folder of the program, relative to that of gaia.toml"""
    migrate: Words | UnsetType = UNSET
    """for PostgreSQL: command that creates the tables of a new database; DATABASE_URL has its address"""
    shared: bool | UnsetType = UNSET
    """whether all workers share one process; by default each has its own"""


class ServiceTable(Struct, frozen=True, forbid_unknown_fields=True):
    """``[services.NAME]``: one service."""

    kind: Kind | UnsetType = UNSET
    """its protocol; "http" by default"""
    url: str | UnsetType = UNSET
    """URL in environments that set none; `{app}`, `{service}`, `{env}` and `{unit}` are replaced"""
    variable: str | UnsetType = UNSET
    """name in variables such as GAIA_STAGING_ORDERS_URL; by default the name in capitals"""
    health: str | UnsetType = UNSET
    """path of the health check; "/health" by default"""
    healthy: HealthTable | UnsetType = UNSET
    """which response to the health check is healthy"""
    depends_on: tuple[str, ...] | UnsetType = UNSET
    """services that it needs; they are deployed and started before it"""
    via: str | UnsetType = UNSET
    """service through which it is reached where it has no URL of its own"""
    routes: dict[str, str] | UnsetType = UNSET
    """path → path of `via`; `*` at the end matches every path with this beginning, "" means not forwarded"""
    probe: str | UnsetType = UNSET
    """operation of `via` that only this service responds to, such as "GET /api/orders/status\""""
    error_prefix: str | UnsetType = UNSET
    """beginning of `detail` in its response if a service behind it returned an error, such as "Service error: \""""
    auth: AuthTable | Literal["none"] | UnsetType = UNSET
    """credential that the client sends; by default the API key, or else the token"""
    openapi: str | Literal[False] | UnsetType = UNSET
    """path on the service, or file of its OpenAPI document; "/openapi.json" by default"""
    safe: tuple[str, ...] | UnsetType = UNSET
    """operations that change nothing although they are not a GET, or a GET with a body, such as "POST /search\""""
    unsafe: tuple[str, ...] | UnsetType = UNSET
    """GET operations that change something"""
    timeouts: TimeoutTable | UnsetType = UNSET
    """timeouts that replace those of the environment"""
    max_in_flight: Annotated[int, Meta(ge=1, le=MAX_CONCURRENCY)] | UnsetType = UNSET
    """maximum number of requests that wait for its response at the same time, in one process; 100 by default"""
    deploy: UnitTable | Literal[False] | UnsetType = UNSET
    """name of the unit for each deploy tool; false for a service that is used, but not deployed"""
    once: bool | UnsetType = UNSET
    """whether its unit ends when its work is done, such as a migration"""
    external: bool | UnsetType = UNSET
    """whether it is tested, but never deployed and in no release"""
    sandbox: SandboxTable | Literal[False] | UnsetType = UNSET
    """how the sandbox runs it; false if it does not"""


class PlatformTable(Struct, frozen=True, forbid_unknown_fields=True):
    """``[platform]``: what the services have in common."""

    name: str | UnsetType = UNSET
    """name of the platform, `{app}` in templates"""
    entry: str | UnsetType = UNSET
    """service whose URL `--gaia-url=URL` sets; by default the first HTTP service"""
    unit: str | UnsetType = UNSET
    """name of a service's unit, `{unit}` in templates; "{app}-{service}-{env}" by default"""
    without: tuple[str, ...] | UnsetType = UNSET
    """services that an environment has only if its `services` or `without`, or an address, include them"""


SERVICE_NAME = r"[a-z][a-z0-9_-]*"
TOOLS = ("fly", "compose", "kubernetes")
_EMBEDDED = ("postgres", "nats", "redis")
"""kinds that the sandbox runs by default"""


def kind_of(table: ServiceTable) -> Kind:
    """Return the kind of a service."""
    return "http" if table.kind is UNSET else table.kind


def listed(value: object) -> tuple[str, ...]:
    """Return the entries of a list that may not be set."""
    return tuple(value) if isinstance(value, (list, tuple)) else ()


def platform_of(
    platform: PlatformTable, services: Mapping[str, ServiceTable], place: Callable[[str], str] = lambda _: "default"
) -> Platform:
    """Return the platform that valid tables describe. ``place`` is the place of the declaration of a service."""
    found = {name: _service(name, table, place(name)) for name, table in services.items()}
    entries = [name for name, service in found.items() if service.is_http and not service.external]
    return Platform(
        services=MappingProxyType(found),
        name="" if platform.name is UNSET else platform.name,
        entry=(entries[0] if entries else None) if platform.entry is UNSET else platform.entry,
        unit=Platform.unit if platform.unit is UNSET else platform.unit,
        without=listed(platform.without),
    )


_SAME = ("url", "health", "depends_on", "via", "error_prefix", "once", "external", "max_in_flight")


def _service(name: str, table: ServiceTable, place: str) -> Service:
    given: dict[str, Any] = {key: value for key in _SAME if (value := getattr(table, key)) is not UNSET}
    if isinstance(table.healthy, HealthTable):
        given["healthy"] = _health(table.healthy)
    if isinstance(table.routes, dict):
        given["routes"] = MappingProxyType({path: target or None for path, target in table.routes.items()})
    if table.auth is not UNSET:
        given["auth"] = (convert(to_builtins(table.auth), Auth),) if isinstance(table.auth, AuthTable) else ()
    if table.openapi is not UNSET:
        given["openapi"] = table.openapi or None
    if isinstance(table.timeouts, TimeoutTable):
        given["timeouts"] = MappingProxyType(to_builtins(table.timeouts))
    return Service(
        name,
        kind=kind_of(table),
        variable=name.upper().replace("-", "_") if table.variable is UNSET else table.variable,
        probe=Operation.of(table.probe) if isinstance(table.probe, str) else None,
        safe=tuple(map(Operation.of, listed(table.safe))),
        unsafe=tuple(map(Operation.of, listed(table.unsafe))),
        sandbox=_sandbox(table),
        place=place,
        **_units(table),
        **given,
    )


def _units(table: ServiceTable) -> dict[str, Any]:
    if not isinstance(table.deploy, UnitTable):
        return {"undeployed": TOOLS} if table.deploy is False else {}
    units = {tool: getattr(table.deploy, tool) for tool in TOOLS}
    return {
        "units": MappingProxyType({tool: unit for tool, unit in units.items() if isinstance(unit, str)}),
        "undeployed": tuple(tool for tool, unit in units.items() if unit is False),
    }


def _health(table: HealthTable) -> Health:
    given = {key: value for key in ("field", "values", "partial") if (value := getattr(table, key)) is not UNSET}
    return Health(**given) if given else Health(field=None, values=())


def _sandbox(table: ServiceTable) -> SandboxSettings | None:
    if table.sandbox is False or table.external is True:
        return None
    if isinstance(table.sandbox, SandboxTable):
        given: dict[str, Any] = to_builtins(table.sandbox)
        given |= {key: tuple(given[key]) for key in ("command", "migrate") if key in given}
        return SandboxSettings(**given | {"env": MappingProxyType(given.get("env", {}))})
    return SandboxSettings() if kind_of(table) in _EMBEDDED else None


def unknown_service(name: str, platform: Platform, known: Iterable[str] | None = None) -> str:
    """Return the message for a service that is not one of ``known``, by default the services of ``platform``."""
    names = tuple(platform if known is None else known)
    if names:
        problem = f"unknown service {name!r}; {nearest(name, names)}"
    else:
        problem = f"unknown service {name!r}: the project declares no service. Add [services.{name}] to gaia.toml."
    if name in platform or name not in _shipped_names():
        return problem
    return f'{problem} For the services of the Gaia Platform, add platform = "gaia" to [gaia] of gaia.toml.'


def _shipped_names() -> tuple[str, ...]:
    from pytest_gaia.config.layers import shipped_file

    return shipped_file("gaia").platform.names
