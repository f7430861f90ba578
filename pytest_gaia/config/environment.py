"""The resolved environment: one frozen value, and where each part of it came from."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

from pytest_gaia.config.addresses import endpoints
from pytest_gaia.config.platform import NATS_DISABLED, SERVICES
from pytest_gaia.config.stages import Stage
from pytest_gaia.config.tolerance import Tolerance
from pytest_gaia.secrets.masks import Secret, mask_url

if TYPE_CHECKING:
    from collections.abc import Mapping

    # Reading deploy files costs more than a run without them may pay.
    from pytest_gaia.config.deployfiles.model import Deployment
    from pytest_gaia.config.deployfiles.read import DeployFolder

SANDBOX = "sandbox"
"""Name of the environment that the embedded platform stands behind."""

Topology = Literal["microservices", "gateway-only"]

DeployFiles = Literal["fly", "compose"]
"""The tool whose deploy files an environment is read from."""

HookName = Literal["fly", "compose", "command", "plugin"]
"""How an environment is deployed: one of the two tools, any executable, or a hook of the project's ``conftest.py``."""


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long to wait, in seconds."""

    connect: float = 5.0
    """for a connection, of any protocol"""
    response: float = 30.0
    """for the response to one request"""
    stream: float = 60.0
    """for a whole event stream"""
    ready: float = 15.0
    """until all services are ready, before the first test"""


@dataclass(frozen=True, slots=True)
class DeploySettings:
    """How an environment is deployed: ``[env.NAME.deploy]``."""

    hook: HookName
    command: tuple[str, ...] = ()
    """for the hook ``command``: the executable and its arguments"""
    services: tuple[str, ...] = ()
    """what is deployed when nothing is selected; empty for every service that has a deploy file"""
    deadline: float = 600.0
    """seconds for one service"""
    consecutive_successes: int = 3
    """successful health probes in a row that readiness requires after a deployment"""
    org: str | None = None
    """the organisation on Fly"""
    secrets: tuple[str, ...] = ()
    """names of the secrets that the platform needs there"""


@dataclass(frozen=True, slots=True)
class Environment:
    """One environment as this run sees it.

    ``sources`` maps a dotted key (``urls.gateway``, ``nats``, ``timeouts.ready``, ``secrets.api_key``) to the place
    that its value came from, such as ``--gaia-url``, ``GAIA_NATS_URL`` or ``gaia.toml:12``.
    """

    name: str
    topology: Topology = "microservices"
    urls: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """service → base URL, without a slash at the end; a service that is missing has no URL of its own"""
    nats: str | None = None
    """URL of the broker, ``NATS_DISABLED``, or None where nothing is known of one"""
    services: tuple[str, ...] = SERVICES
    """the members that this environment is expected to run"""
    required: tuple[str, ...] = ("gateway",)
    """the members without which nothing is run (exit 12)"""
    hosts: tuple[str, ...] = ()
    """host names (``*`` as first label allowed) that belong to this environment and to no other"""
    known_hosts: tuple[str, ...] = ()
    """every host that the project's files name for this environment: ``hosts``, and those of its addresses"""
    loopback: bool = False
    """whether a release may be tested on this machine, in an environment that comes after another one"""
    timeouts: Timeouts = Timeouts()
    max_response_mib: int = 16
    """the largest body of an answer that is read, once it is decoded, or of a whole event stream"""
    writes: bool = False
    """whether a check marked ``writes=True`` may write here"""
    experimental: bool = True
    """whether checks marked ``experimental=True`` apply here"""
    core_only: bool = False
    """whether only checks marked ``core=True`` run when nothing is selected"""
    safe_posts: tuple[str, ...] = ()
    """paths whose POST changes nothing and is allowed everywhere writing is not; see :func:`safe_post`"""
    suites: tuple[str, ...] | None = None
    """suites that run when nothing is selected; None for all"""
    tolerance: Tolerance = field(default_factory=Tolerance)
    """which failures gate here"""
    release: str | None = None
    """what is deployed, where it is known"""
    source: DeployFiles | None = None
    """the tool whose deploy files give addresses, services and topology (``from``); None where none do"""
    deploy: DeploySettings | None = None
    """how it is deployed; None for an environment that is not deployed from here"""
    stage: Stage = field(default_factory=Stage)
    """what promotes a release into it"""
    sandbox: bool = False
    """whether the embedded platform stands behind it"""
    rehearsal: bool = False
    """whether this is another environment's shape on the sandbox"""
    database: Secret | None = None
    """DSN of PostgreSQL"""
    api_key: Secret | None = None
    jwt_secret: Secret | None = None
    """the HS256 key that signs user tokens, where checks may mint them"""
    token: Secret | None = None
    """a ready user token, where there is no ``jwt_secret``"""
    sources: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    deploy_folder: DeployFolder | None = field(default=None, repr=False, compare=False)
    """where the project has its deploy files; None for what is not deployed at all"""

    def __repr__(self) -> str:
        values = ", ".join(f"{item.name}={getattr(self, item.name)!r}" for item in fields(self) if item.repr)
        return mask_url(f"Environment({values})")

    @property
    def has_nats(self) -> bool:
        """Whether there is a broker to talk to."""
        return self.nats not in (None, NATS_DISABLED)

    @property
    def deployment(self) -> Deployment | None:
        """The deploy files that ``from`` asks for, or a hook that works by them; None where there is no use for any.

        Raises ``ConfigError`` for files that are missing or cannot be understood.
        """
        source, folder = self.deploy_source, self.deploy_folder
        return None if source is None or folder is None else folder.deployment(self.name, source)

    @property
    def deploy_source(self) -> DeployFiles | None:
        """The tool whose deploy files there is a use for: that of ``from``, or else of the hook."""
        if self.source is not None or self.deploy is None:
            return self.source
        return "fly" if self.deploy.hook == "fly" else "compose" if self.deploy.hook == "compose" else None

    @property
    def addresses(self) -> dict[str, str]:
        """Member → host and port that its client connects to; several, with commas, where a DSN names several hosts."""
        urls = dict(self.urls)
        if self.has_nats:
            urls["nats"] = str(self.nats)
        if self.database is not None:
            urls["postgres"] = self.database.reveal()
        return {service: ",".join(map(str, endpoints(url))) for service, url in urls.items()}

    @property
    def identity(self) -> dict[str, Secret]:
        """The headers by which everything that asks this environment says who it is: the API key, or else the token."""
        if self.api_key is not None:
            return {"x-api-key": self.api_key}
        return {} if self.token is None else {"authorization": Secret(f"Bearer {self.token.reveal()}")}

    @property
    def label(self) -> str:
        """The name as people should read it: a rehearsal says that it is one."""
        return f"{self.name} (REHEARSAL on the sandbox)" if self.rehearsal else self.name


def safe_post(entry: str) -> tuple[str, str]:
    """Return (service, path) of an entry of ``safe_posts``. It is safe for that service alone: a bare path is the gateway's.

    >>> safe_post("/api/v1/chat"), safe_post("auth:/auth/validate")
    (('gateway', '/api/v1/chat'), ('auth', '/auth/validate'))
    """
    service, _, path = ("gateway", "", entry) if entry.startswith("/") else entry.partition(":")
    return service, path


def not_configured(*names: str) -> str:
    """Return the message for environments that have a known name and no address, and what to write in gaia.toml."""
    several = len(names) > 1
    which = f"environments {', '.join(names[:-1])} and {names[-1]} are" if several else f"environment {names[0]} is"
    return (
        f'the {which} not configured. In gaia.toml, write url = "https://…" in [env.{names[0]}], or from = "fly" (or '
        '"compose") where deploy files have the addresses. If the project tests the Gaia Platform, write '
        'platform = "gaia" in [gaia] instead.'
    )
