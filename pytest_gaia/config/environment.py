"""The resolved environment, as one frozen value with the source of each setting."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

from pytest_gaia.config.addresses import endpoints
from pytest_gaia.config.platform import Platform
from pytest_gaia.config.stages import Stage
from pytest_gaia.config.tolerance import Tolerance
from pytest_gaia.secrets.masks import Secret, mask_url
from pytest_gaia.wording import environment_label

if TYPE_CHECKING:
    from collections.abc import Mapping

    # Reading deploy files is expensive; most runs do not need it.
    from pytest_gaia.config.deployfiles.model import Deployment
    from pytest_gaia.config.deployfiles.read import DeployFolder

SANDBOX = "sandbox"
"""Name of the environment that runs on the embedded platform."""

Role = Literal["local", "dev", "staging", "production"]
"""what an environment is for; decides its tolerance, its stage and how careful commands are"""

DeployFiles = Literal["fly", "compose"]
"""Deploy tool whose files contain the settings of an environment."""

Direct = Literal["refuse", "warn", "allow"]
"""What happens to connections to services that no client of this package opens."""

HookName = Literal["fly", "compose", "kubernetes", "command", "plugin"]
"""Deploy hook: a deploy tool, any executable, or a hook in the project's ``conftest.py``."""


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long to wait, in seconds."""

    connect: float = 5.0
    """seconds for a connection, in any protocol"""
    response: float = 30.0
    """seconds for the response to one request"""
    stream: float = 60.0
    """seconds for a whole event stream"""
    ready: float = 15.0
    """seconds until all services are ready, before the first test"""


@dataclass(frozen=True, slots=True)
class DeploySettings:
    """How an environment is deployed: ``[env.NAME.deploy]``."""

    hook: HookName
    command: tuple[str, ...] = ()
    """for the hook ``command``: the executable and its arguments"""
    services: tuple[str, ...] = ()
    """services to deploy when none is selected; by default all with a deploy file"""
    deadline: float = 600.0
    """seconds for the deployment of one service"""
    stable_for: float = 10.0
    """seconds that a container must run after a deployment has started it"""
    consecutive_successes: int = 3
    """successful health probes in a row that readiness requires after a deployment"""
    org: str | None = None
    """organization on Fly"""
    context: str | None = None
    """for the hook ``kubernetes``: context in the kubeconfig; the current context is never used"""
    namespace: str | None = None
    """for the hook ``kubernetes``: namespace of the workloads"""
    secrets: tuple[str, ...] = ()
    """names of the secrets that the environment needs"""


@dataclass(frozen=True, slots=True)
class Environment:
    """The environment of a run.

    ``sources`` maps a dotted key (``urls.orders``, ``timeouts.ready``, ``secrets.api_key``) to the source of
    its value, such as ``--gaia-url``, ``GAIA_NATS_URL`` or ``gaia.toml:12``.
    """

    name: str
    role: Role | Literal[""] = ""
    """what it is for; empty for none of these"""
    platform: Platform = field(default_factory=Platform, repr=False)
    """the description of all services"""
    urls: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """HTTP service → base URL, without a slash at the end; other services have no URL"""
    connections: Mapping[str, Secret] = field(default_factory=lambda: MappingProxyType({}))
    """service of another kind → its URL, which may contain a password"""
    disabled: frozenset[str] = frozenset()
    """services whose URL is ``disabled``: the environment does not have them"""
    services: tuple[str, ...] = ()
    """expected services"""
    required: tuple[str, ...] = ()
    """services without which no test runs (exit code 12)"""
    hosts: tuple[str, ...] = ()
    """host names that belong only to this environment; ``*`` is allowed as the first label"""
    known_hosts: tuple[str, ...] = ()
    """all hosts of this environment in the files of the project: ``hosts``, and those of its addresses"""
    loopback: bool = False
    """whether a release may be tested with services on this machine, if the environment is not the first stage"""
    timeouts: Timeouts = Timeouts()
    max_response_mib: int = 16
    """largest response body or event stream that is read, in MiB after decoding"""
    writes: bool = False
    """whether tests marked ``writes=True`` may write"""
    direct: Direct = "refuse"
    """what happens to connections to services without their clients; by default `refuse` without `writes`, else `warn`"""
    experimental: bool = True
    """whether tests marked ``experimental=True`` apply"""
    core_only: bool = False
    """whether only tests marked ``core=True`` run when nothing is selected"""
    concurrency: int = 16
    """maximum number of concurrent tests in one process"""
    suites: tuple[str, ...] | None = None
    """suites that run when nothing is selected; None means all"""
    tolerance: Tolerance = field(default_factory=Tolerance)
    """which failures block"""
    release: str | None = None
    """deployed version, if it is known"""
    source: DeployFiles | None = None
    """deploy tool whose files contain addresses and services (``from``), or None"""
    deploy: DeploySettings | None = None
    """how it is deployed; None if this project does not deploy it"""
    stage: Stage = field(default_factory=Stage)
    """what a release needs for promotion to this environment"""
    sandbox: bool = False
    """whether it runs on the embedded platform"""
    simulated: bool = False
    """whether this is another environment, simulated on the sandbox"""
    api_key: Secret | None = None
    jwt_secret: Secret | None = None
    """HS256 key that signs user tokens, if tests may create them"""
    token: Secret | None = None
    """user token, used without ``jwt_secret``"""
    credentials: Mapping[str, Secret] = field(default_factory=lambda: MappingProxyType({}))
    """``SERVICE.SECRET`` (``orders.api_key``) → a credential for this service only"""
    sources: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    deploy_folder: DeployFolder | None = field(default=None, repr=False, compare=False)
    """folder of the deploy files; None for an environment that is not deployed"""

    def __repr__(self) -> str:
        values = ", ".join(f"{item.name}={getattr(self, item.name)!r}" for item in fields(self) if item.repr)
        return mask_url(f"Environment({values})")

    def url_of(self, service: str) -> str | None:
        """Return the URL of a service of any kind, which may contain a password; None without one."""
        connection = self.connections.get(service)
        return self.urls.get(service) if connection is None else connection.reveal()

    def has(self, service: str) -> bool:
        """Whether the service has an address of its own."""
        return service in self.urls or service in self.connections

    def credentials_of(self, service: str) -> dict[str, Secret]:
        """Return the headers that authenticate requests to a service: the first credential in its ``auth`` that is set."""
        described = self.platform[service]
        for auth in described.auth:
            secret = self._secret(service, auth.secret)
            if secret is not None:
                value = f"{auth.scheme} {secret.reveal()}" if auth.scheme else secret.reveal()
                return {auth.header.lower(): Secret(value)}
        return {}

    def _secret(self, service: str, name: str) -> Secret | None:
        own = self.credentials.get(f"{service}.{name.lower()}")
        if own is not None or self.platform[service].external:
            # A credential of the whole environment is never sent to an external service.
            return own
        general = {"API_KEY": self.api_key, "TOKEN": self.token}
        return general.get(name)

    def timeouts_of(self, service: str) -> Timeouts:
        """Return the timeouts for a service."""
        given = self.platform[service].timeouts if service in self.platform else {}
        return replace(self.timeouts, **given) if given else self.timeouts

    @property
    def deployment(self) -> Deployment | None:
        """The deploy files of ``from`` or of the deploy hook; None if neither needs any.

        Raises ``ConfigError`` for missing or invalid files.
        """
        source, folder = self.deploy_source, self.deploy_folder
        return None if source is None or folder is None else folder.deployment(self.name, source)

    @property
    def deploy_source(self) -> DeployFiles | None:
        """The deploy tool whose files are needed: that of ``from``, or else of the hook."""
        if self.deploy is not None and self.deploy.hook == "kubernetes":
            return None
        if self.source is not None or self.deploy is None:
            return self.source
        return "fly" if self.deploy.hook == "fly" else "compose" if self.deploy.hook == "compose" else None

    @property
    def addresses(self) -> dict[str, str]:
        """Service → host and port of its client; separated by commas if a DSN has several hosts."""
        urls = {name: self.url_of(name) for name in self.platform.sort((*self.urls, *self.connections))}
        return {service: ",".join(map(str, endpoints(url))) for service, url in urls.items() if url}

    @property
    def label(self) -> str:
        """The name for people, which marks a simulation."""
        return environment_label(self.name, simulated=self.simulated)


def not_configured(*names: str) -> str:
    """Return the message for environments that have no settings, with what to add to gaia.toml."""
    several = len(names) > 1
    which = f"environments {', '.join(names[:-1])} and {names[-1]} are" if several else f"environment {names[0]} is"
    return (
        f'the {which} not configured. In gaia.toml, add url = "https://…" to [env.{names[0]}], or from = "compose" (or '
        '"fly") if deploy files contain the addresses; `gaia init` writes both.'
    )
