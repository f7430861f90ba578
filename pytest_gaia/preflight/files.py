"""Input of the checks: the deploy files of a project, places in them, and settings of its environments."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import product

from pytest_gaia.config.deployfiles.model import App, Deployment, Source
from pytest_gaia.config.platform import Platform
from pytest_gaia.files.toml import Place
from pytest_gaia.preflight._workflows.model import Workflow
from pytest_gaia.preflight.spelling import Environments

DEFAULT_ALLOWED = ("app", "min_machines", "memory", "cpus")
"""allowed differences between staging and production by default"""


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
