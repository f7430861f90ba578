"""What the checks look at: the deploy files of a project, and what the project says of its environments."""

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
"""what staging and production may differ in where ``gaia.toml`` does not say: name and size"""


@dataclass(frozen=True, slots=True)
class Allowed:
    """What staging and production may differ in."""

    entries: tuple[str, ...] = DEFAULT_ALLOWED
    place: Place | None = None
    """where ``gaia.toml`` says so; None for what is the default"""


@dataclass(frozen=True, slots=True)
class Secrets:
    """The names of the secrets that an environment needs."""

    names: tuple[str, ...]
    place: Place
    """where ``gaia.toml`` lists them"""


@dataclass(frozen=True, slots=True)
class DeployFiles:
    """The deploy files of one project, read; the environments in the order of promotion."""

    deployments: tuple[Deployment, ...] = ()
    unread: tuple[str, ...] = ()
    """why files of environments that nobody asked for were left out, each as a sentence"""
    workflows: tuple[Workflow, ...] = ()
    """what its CI does, as far as it deploys"""
    unrecognized: tuple[Place, ...] = ()
    """the deploy files that are named for no environment of the project: nothing else is known of them"""
    allowed: Allowed = field(default_factory=Allowed)
    claims: Mapping[str, Topology] = field(default_factory=dict)
    """environment → the topology that ``gaia.toml`` claims for it"""
    hosts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """environment → host names that belong to it alone"""
    secrets: Mapping[str, Secrets] = field(default_factory=dict)
    """environment → the secrets that it needs"""
    set_secrets: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """app → the names of the secrets that are set there, where the deploy tool was asked"""

    def apps(self, source: Source | None = None) -> Iterator[tuple[str, App]]:
        """Yield (environment, app) of every app, or of those that one tool deploys."""
        for deployment in self.deployments:
            if source is None or deployment.source == source:
                for app in deployment.apps:
                    yield deployment.environment, app

    def deployment(self, environment: str) -> Deployment | None:
        """Return the deployment of ``environment``."""
        return next((each for each in self.deployments if each.environment == environment), None)

    def claims_services(self, environment: str) -> bool:
        """Whether ``environment`` is said to run more than a gateway: by ``gaia.toml``, or by files of other services."""
        deployment = self.deployment(environment)
        deployed = {app.service for app in deployment.apps} if deployment else set()
        return self.claims.get(environment) == "microservices" or bool(deployed & set(BACKENDS))


def beyond_dev(environment: str) -> bool:
    """Whether ``environment`` runs what has been tested before: staging and production."""
    return environment_name(environment) in (STAGING, PRODUCTION)


def rank(environment: str) -> int:
    """Return how far up in the order of promotion ``environment`` is; an unknown one is below all others."""
    return KNOWN.index(environment) if environment in KNOWN else -1
