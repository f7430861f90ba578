"""Input of the checks: the deploy files of a project, and settings of its environments."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from pytest_gaia.config.deployfiles.model import App, Deployment, Source
from pytest_gaia.config.environment import Topology
from pytest_gaia.config.platform import HTTP_SERVICES
from pytest_gaia.files.toml import Place
from pytest_gaia.preflight._workflows.model import Workflow
from pytest_gaia.preflight.spelling import KNOWN, environment_name

STAGING, PRODUCTION = "staging", "production"

BACKENDS = tuple(service for service in HTTP_SERVICES if service != "gateway")

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
    claims: Mapping[str, Topology] = field(default_factory=dict)
    """environment → its topology in ``gaia.toml``"""
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

    def claims_services(self, environment: str) -> bool:
        """Whether ``environment`` runs more than a gateway, by ``gaia.toml`` or by its deploy files."""
        deployment = self.deployment(environment)
        deployed = {app.service for app in deployment.apps} if deployment else set()
        return self.claims.get(environment) == "microservices" or bool(deployed & set(BACKENDS))


def beyond_dev(environment: str) -> bool:
    """Whether ``environment`` is staging or production."""
    return environment_name(environment) in (STAGING, PRODUCTION)


def rank(environment: str) -> int:
    """Return the position of ``environment`` in the order of promotion; an unknown one comes first."""
    return KNOWN.index(environment) if environment in KNOWN else -1
