"""Input of the checks: the deploy files of a project, places and addresses in them, and settings of its environments."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import product

from pytest_gaia.config.addresses import is_loopback, is_private
from pytest_gaia.config.deployfiles.model import App, Deployment, Source
from pytest_gaia.config.deployfiles.read import Environments
from pytest_gaia.config.platform import Platform
from pytest_gaia.files.toml import Place
from pytest_gaia.preflight._workflows.model import Workflow

DEFAULT_ALLOWED = ("app", "min_machines", "memory", "cpus")
"""allowed differences between staging and production by default"""

FLY_DOMAINS = (".fly.dev", ".internal", ".flycast")
"""domains of host names between apps on Fly"""

_URL = re.compile(
    r"(?P<scheme>[a-z][a-z0-9+.-]{0,30})://(?:(?P<user>[^@/?#\s]{0,500})@)?"
    r"(?P<host>\[[0-9a-f:.]+\]|[^:/?#\s,]{1,255})?(?::(?P<port>\d{1,5}))?(?:/(?P<path>[^?#\s]*))?",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Allowed:
    """Allowed differences between staging and production."""

    entries: tuple[str, ...] = DEFAULT_ALLOWED
    place: Place | None = None
    """place in ``gaia.toml``; None for the default"""


@dataclass(frozen=True, slots=True)
class Secrets:
    """The names of the secrets that an environment needs."""

    names: tuple[str, ...]
    place: Place
    """place in ``gaia.toml``"""


@dataclass(frozen=True, slots=True)
class Claim:
    """The services that an environment has by ``gaia.toml``."""

    services: tuple[str, ...]
    addressed: frozenset[str] = frozenset()
    """services with an address in ``gaia.toml``, which need no deploy file"""


@dataclass(frozen=True, slots=True)
class DeployFiles:
    """The deploy files of one project; environments in the order of promotion."""

    deployments: tuple[Deployment, ...] = ()
    unread: tuple[str, ...] = ()
    """reasons why files of other environments were skipped, as sentences"""
    workflows: tuple[Workflow, ...] = ()
    """CI files"""
    unrecognized: tuple[Place, ...] = ()
    """deploy files that belong to no environment of the project"""
    allowed: Allowed = field(default_factory=Allowed)
    platform: Platform = field(default_factory=Platform, repr=False)
    """the services of the project"""
    environments: Environments = field(default_factory=Environments)
    claims: Mapping[str, Claim] = field(default_factory=dict)
    """environment → its services, if ``gaia.toml`` lists them"""
    last_stages: Mapping[str, Place] = field(default_factory=dict)
    """environment that ``gaia.toml`` makes a stage, if no other stage comes after it → its place"""
    hosts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """environment → host names that belong only to it"""
    secrets: Mapping[str, Secrets] = field(default_factory=dict)
    """environment → the secrets that it needs"""
    set_secrets: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """app → names of the secrets that are set, if the deploy tool was queried"""

    def apps(self, source: Source | None = None) -> Iterator[tuple[str, App]]:
        """Yield (environment, app) of every app, or of the apps of one tool."""
        for deployment in self.deployments:
            if source is None or deployment.source == source:
                for app in deployment.apps:
                    yield deployment.environment, app

    def deployment(self, environment: str) -> Deployment | None:
        """Return the deployment of ``environment``."""
        return next((each for each in self.deployments if each.environment == environment), None)

    def with_role(self, role: str) -> tuple[Deployment, ...]:
        """Return the deployments of the environments with ``role``."""
        return tuple(each for each in self.deployments if self.environments.role(each.environment) == role)

    def pairs(self) -> Iterator[tuple[Deployment, Deployment]]:
        """Yield each deployment of a staging environment with each of a production environment."""
        return product(self.with_role("staging"), self.with_role("production"))

    def is_protected(self, environment: str) -> bool:
        """Whether ``environment`` is a staging or a production environment."""
        return self.environments.is_protected(environment)

    def has_others(self, environment: str) -> bool:
        """Whether ``environment`` runs more HTTP services than the entry, by ``gaia.toml`` or by its deploy files."""
        deployment = self.deployment(environment)
        deployed = {app.service for app in deployment.apps} if deployment else set()
        claimed = self.claims[environment].services if environment in self.claims else ()
        return bool(deployed.union(claimed) & (set(self.platform.http) - {self.platform.entry}))


_SERVICES = "services"


def head(app: App) -> Place:
    """Return the place of the name of ``app``: the line ``app = …`` on Fly, the line of the service in a compose file."""
    return app.place("app")


def standing(app: App, *key: str) -> Place:
    """Return the place of ``key`` of ``app``, or of the nearest table around it."""
    return app.place(_SERVICES, app.name, *key) if is_composed(app) else app.place(*key)


def env_place(app: App, variable: str) -> Place:
    """Return the place of a variable of ``app``."""
    return app.place("env", variable)


def inside(app: App, table: Place, key: str) -> Place:
    """Return the place of ``key`` in the table at ``table``, or ``table`` without such a key."""
    names = [name for name, place in app.places.items() if place == table]
    found = (app.places.get(f"{name}.{key}") for name in sorted(names, key=len, reverse=True))
    return next((place for place in found if place is not None), table)


def is_composed(app: App) -> bool:
    """Whether the file of ``app`` is a compose file."""
    return f"{_SERVICES}.{app.name}" in app.places


@dataclass(frozen=True, slots=True)
class Address:
    """One URL in one variable."""

    variable: str
    scheme: str
    host: str
    path: str
    """without the slash in front"""
    place: Place

    @property
    def is_local(self) -> bool:
        """Whether it is on the machine of the client."""
        return is_loopback(self.host)

    @property
    def is_private(self) -> bool:
        """Whether it stays inside of a private network."""
        return is_private(self.host)

    @property
    def is_database(self) -> bool:
        """Whether it is the address of a PostgreSQL."""
        return self.scheme.partition("+")[0] in ("postgres", "postgresql")

    @property
    def fly_app(self) -> str | None:
        """The app on Fly that it refers to: ``top1.nearest.of.gaia-db-staging.internal`` → ``gaia-db-staging``."""
        return fly_app_of(self.host)


def fly_app_of(host: str) -> str | None:
    """Return the app that a host name of Fly stands for, or None for any other host."""
    domain = next((each for each in FLY_DOMAINS if host.endswith(each)), None)
    return None if domain is None else host.removesuffix(domain).rpartition(".")[2] or None


def addresses(app: App) -> Iterator[Address]:
    """Yield the URLs in the environment variables of ``app``; of a list of URLs, each."""
    for variable, value in app.env.items():
        for found in _URL.finditer(value):
            if found["host"]:
                yield Address(
                    variable,
                    found["scheme"].lower(),
                    found["host"].lower().rstrip("."),
                    found["path"] or "",
                    env_place(app, variable),
                )


_MANAGED = ".flympg.net"
_HOST = re.compile(r"(?:PG|POSTGRES_|DATABASE_|DB_)HOST|POSTGRES_SERVER", re.IGNORECASE)
_NAME = re.compile(r"PGDATABASE|(?:POSTGRES|DATABASE|DB)_(?:NAME|DB)|POSTGRES_DB", re.IGNORECASE)
_CLUSTER = re.compile(
    r"(?:FLY_)?(?:MPG|MANAGED_POSTGRES|POSTGRES|DATABASE|DB)_(?:CLUSTER|APP)(?:_(?:ID|NAME))?", re.IGNORECASE
)
_REGION = re.compile(r"PGREGION|(?:POSTGRES|DATABASE|DB|MPG)_REGION", re.IGNORECASE)
_FLY_REGION = re.compile(r"[a-z]{3}")


@dataclass(frozen=True, slots=True)
class Database:
    """One database that one variable of an app names."""

    variable: str
    server: str
    """identity of the server: the cluster of Managed Postgres, the app on Fly, or the host"""
    name: str
    """name of the database; empty if it is unknown"""
    region: str | None
    """region of the server, if its host name contains it"""
    place: Place


def databases(app: App) -> Iterator[Database]:
    """Yield the databases outside of the app's own network that its variables name."""
    for address in addresses(app):
        if address.is_database and "." in address.host and not address.is_local:
            name = address.path.partition("/")[0]
            yield Database(address.variable, _server(address.host), name, _region_in(address.host), address.place)
    name = next((value for variable, value in app.env.items() if _NAME.fullmatch(variable)), "")
    for variable, value in app.env.items():
        host = value.strip().lower()
        if _HOST.fullmatch(variable) and "." in host and "://" not in host:
            yield Database(variable, _server(host), name, _region_in(host), env_place(app, variable))
        elif _CLUSTER.fullmatch(variable) and re.fullmatch(r"[a-z0-9][a-z0-9-]*", host):
            yield Database(variable, host, name, None, env_place(app, variable))


def said_region(app: App) -> tuple[str, Place] | None:
    """Return the region of the database that a variable of ``app`` names, such as ``DATABASE_REGION``."""
    for variable, value in app.env.items():
        if _REGION.fullmatch(variable) and value.strip():
            return value.strip().lower(), env_place(app, variable)
    return None


def _server(host: str) -> str:
    """Return the server of ``host``; a pooler and a direct connection belong to one cluster."""
    if host.endswith(_MANAGED):
        return host.removesuffix(_MANAGED).rpartition(".")[2]
    return fly_app_of(host) or host


def _region_in(host: str) -> str | None:
    """Return the region that a host name on Fly starts with: ``lax.gaia-db-staging.internal`` → ``lax``."""
    domain = next((each for each in FLY_DOMAINS if host.endswith(each)), None)
    labels = host.removesuffix(domain).split(".") if domain else []
    is_named = len(labels) > 1 and _FLY_REGION.fullmatch(labels[0]) and labels[0] != "top"
    return labels[0] if is_named else None
