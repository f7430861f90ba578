"""The contents of deploy files of any tool, as frozen values with file, line and key."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pytest_gaia.config.platform import DATABASE_NAMES, Kind, Platform
from pytest_gaia.files.toml import Place, nearest_place

if TYPE_CHECKING:
    from pytest_gaia.config.deployfiles.read import DeployFolder

Source = Literal["fly", "compose"]
Form = Literal["service", "entry"]
"""one file for each service (``fly.orders.staging.toml``), or one without a service in its name (``fly.staging.toml``)"""
Autostop = Literal["off", "stop", "suspend"]

_SERVERS: dict[str, Kind] = {
    "nats": "nats",
    **dict.fromkeys((*DATABASE_NAMES, "pgvector", "postgis", "timescaledb"), "postgres"),
    **dict.fromkeys(("redis", "redis-stack", "redis-stack-server", "valkey"), "redis"),
    "rabbitmq": "amqp",
}
"""last part of the name of an image, or name of a unit → kind of its server"""

COMPLETED = "service_completed_successfully"
"""condition of a dependency that runs once"""

DEFAULT_GROUP = "app"
"""default process group of an app on Fly"""


def kind_of_image(image: str | None) -> Kind | None:
    """Return the kind of a well-known server; None for any other image."""
    return _SERVERS.get((image or "").rpartition("/")[2].partition("@")[0].partition(":")[0])


def kind_of(service: str, image: str | None, platform: Platform) -> Kind | Literal[""]:
    """Return the kind of a service, declared or not; empty if it is unknown."""
    return platform[service].kind if service in platform else kind_of_image(image) or kind_of_image(service) or ""


@dataclass(frozen=True, slots=True)
class Check:
    """One health check. Durations are in seconds; None if the file has no value."""

    kind: Literal["http", "tcp", "command"]
    port: int | None
    """internal port; None for the port of its service"""
    path: str | None
    method: str
    interval: float | None
    timeout: float | None
    grace: float | None
    place: Place
    groups: tuple[str, ...] = ()
    """process groups on Fly whose machines have it, if it is not on a served port"""


@dataclass(frozen=True, slots=True)
class Served:
    """One port of an app that is reachable from outside its machine."""

    kind: Literal["http_service", "services", "ports", "expose"]
    """table that declares it; ``ports`` and ``expose`` are those of compose"""
    internal_port: int | None
    protocol: str
    """``http``, ``tcp`` or ``udp``"""
    ports: tuple[int, ...]
    """public ports; empty for a private port"""
    force_https: bool
    autostop: Autostop | None
    autostart: bool | None
    min_machines: int | None
    checks: tuple[Check, ...]
    """checks of this port"""
    place: Place
    groups: tuple[str, ...] = ()
    """process groups on Fly whose machines serve it"""
    open_port: str = ""
    """published port as written, if it depends on a variable without a value"""


@dataclass(frozen=True, slots=True)
class Size:
    """Size of the machines of one process group; None if the file has no value."""

    memory_mb: int | None
    cpus: int | None
    cpu_kind: str | None
    place: Place
    """place of the memory setting"""


@dataclass(frozen=True, slots=True)
class App:
    """One app (Fly) or service (compose) of one environment."""

    service: str
    """name of the service, also of one that is not declared"""
    environment: str
    form: Form
    name: str
    """name of the app on Fly, or of the service in a compose file"""
    path: Path
    """the deploy file"""
    kind: Kind | Literal[""] = ""
    """kind of a declared service, and of a server that its image or its name identifies; empty for any other"""
    image: str | None = None
    """reference of the image; None if it is built"""
    dockerfile: str | None = None
    region: str | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    withheld: frozenset[str] = frozenset()
    """variables in ``env`` whose values are not in the compose files, and must not be shown"""
    served: tuple[Served, ...] = ()
    loose_checks: tuple[Check, ...] = ()
    """checks that are not on a served port"""
    memory_mb: int | None = None
    """on Fly: of the process group that serves"""
    cpus: int | None = None
    cpu_kind: str | None = None
    groups: tuple[str, ...] = ()
    """process groups on Fly, the default one first; none for a compose service"""
    sizes: Mapping[str, Size] = field(default_factory=dict)
    """process group → size of its machines, if it has [[vm]]"""
    strategy: str | None = None
    release_command: str | None = None
    depends_on: tuple[str, ...] = ()
    waits_for: Mapping[str, str] = field(default_factory=dict)
    """name of a service in the compose file → condition that this one waits for; empty for none"""
    once: bool = False
    """for compose, whether it runs once: others wait until it succeeds, or it is declared with ``once``"""
    places: Mapping[str, Place] = field(default_factory=dict)
    """dotted key as in the file → its place"""
    comments: Mapping[int, str] = field(default_factory=dict)
    """line → comment on it, without `#`"""
    document: Mapping[str, Any] = field(default_factory=dict)
    """the file as parsed; for compose, the service's part"""
    project: Mapping[str, Any] = field(default_factory=dict)
    """for compose, the whole file; all files merged if Compose has merged them"""

    @property
    def is_server(self) -> bool:
        """Whether it has another protocol than HTTP."""
        return self.kind not in ("", "http")

    @property
    def is_built(self) -> bool:
        """Whether its image is built from a Dockerfile."""
        return self.dockerfile is not None

    @property
    def serving_group(self) -> str:
        """Process group on Fly that serves the first port, or else the default one; empty without ``[processes]``."""
        if self.groups == (DEFAULT_GROUP,):
            return ""
        serving = (group for port in self.served for group in port.groups if group in self.groups)
        return next(serving, self.groups[0] if self.groups else "")

    @property
    def checked(self) -> Mapping[str, bool]:
        """Process group on Fly → whether its machines have a health check."""
        owners = {group for port in self.served if port.checks for group in port.groups}
        owners |= {group for each in self.loose_checks for group in each.groups}
        # A check of an unknown group may be for any of them.
        is_known = owners <= set(self.groups)
        return {group: group in owners or not is_known for group in self.groups}

    def place(self, *key: str) -> Place:
        """Return the place of ``key``, or of the nearest table around it, or the head of the file."""
        head = next(iter(self.places.values()), Place(self.path.name, 1))
        return nearest_place(self.places, key) or head


@dataclass(frozen=True, slots=True)
class Deployment:
    """All apps in the deploy files of one environment."""

    environment: str
    source: Source
    folder: DeployFolder
    apps: tuple[App, ...]
    overrides: tuple[App, ...] = ()
    """other files of Compose, such as an override file, each as one app, if they were read"""
    project: str = ""
    """name of the project, as Compose prints it; empty for Fly and without Docker"""

    def app(self, service: str) -> App | None:
        """Return the app of ``service``; an app with its own file, and one of its name, takes precedence."""
        found = [app for app in self.apps if app.service == service]
        return min(found, key=lambda app: (app.form != "service", app.name != service), default=None)

    @property
    def platform(self) -> Platform:
        """The services of the project."""
        return self.folder.platform

    @property
    def role(self) -> str:
        """The role of the environment; an empty string for none."""
        return self.folder.known.get(self.environment, "")
