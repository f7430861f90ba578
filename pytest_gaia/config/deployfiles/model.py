"""What deploy files say, whatever tool they are for: frozen values, each with the file, line and key that it stands at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pytest_gaia.files.toml import Place, nearest_place

if TYPE_CHECKING:
    from pytest_gaia.config.deployfiles.read import DeployFolder

Source = Literal["fly", "compose"]
Form = Literal["service", "gateway-only"]
"""one file a service (``fly.auth.staging.toml``), or one for a gateway that stands alone (``fly.staging.toml``)"""
Autostop = Literal["off", "stop", "suspend"]

COMPLETED = "service_completed_successfully"
"""what a compose service waits for that depends on one which ends"""

DEFAULT_GROUP = "app"
"""the process group of an app on Fly that names none"""


@dataclass(frozen=True, slots=True)
class Check:
    """One health check. Durations are seconds; None where the file does not say."""

    kind: Literal["http", "tcp", "command"]
    port: int | None
    """the internal port that is asked; None for the port of the service around it"""
    path: str | None
    method: str
    interval: float | None
    timeout: float | None
    grace: float | None
    place: Place
    groups: tuple[str, ...] = ()
    """the process groups on Fly whose machines have it, for one that is on no served port"""


@dataclass(frozen=True, slots=True)
class Served:
    """One port of an app that is reachable from outside of its machine."""

    kind: Literal["http_service", "services", "ports", "expose"]
    """the table that declares it; ``ports`` and ``expose`` are compose's"""
    internal_port: int | None
    protocol: str
    """``http``, ``tcp`` or ``udp``"""
    ports: tuple[int, ...]
    """from outside; empty for a private one"""
    force_https: bool
    autostop: Autostop | None
    autostart: bool | None
    min_machines: int | None
    checks: tuple[Check, ...]
    """only those that belong to this port, and so are effective on it"""
    place: Place
    groups: tuple[str, ...] = ()
    """the process groups on Fly whose machines serve it"""
    open_port: str = ""
    """the published port as it is written, where it depends on a variable that has no value"""


@dataclass(frozen=True, slots=True)
class Size:
    """What the machines of one process group are given; None where the file does not say."""

    memory_mb: int | None
    cpus: int | None
    cpu_kind: str | None
    place: Place
    """of the memory"""


@dataclass(frozen=True, slots=True)
class App:
    """One app (Fly) or service (compose) of one environment."""

    service: str
    """the platform's name of what it runs: gateway, auth, asset, chat, nats, postgres, or another"""
    environment: str
    form: Form
    name: str
    """of the app on Fly; of the service in a compose file"""
    path: Path
    """the deploy file"""
    image: str | None = None
    """a reference that the file names; None where it is built"""
    dockerfile: str | None = None
    region: str | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    served: tuple[Served, ...] = ()
    loose_checks: tuple[Check, ...] = ()
    """checks that are on no served port: nothing waits for them"""
    memory_mb: int | None = None
    """on Fly: of the group that serves"""
    cpus: int | None = None
    cpu_kind: str | None = None
    groups: tuple[str, ...] = ()
    """the process groups on Fly, the default one first; none for a compose service"""
    sizes: Mapping[str, Size] = field(default_factory=dict)
    """process group → what its machines are given; one without [[vm]] is missing"""
    strategy: str | None = None
    release_command: str | None = None
    depends_on: tuple[str, ...] = ()
    waits_for: Mapping[str, str] = field(default_factory=dict)
    """name of a service in the compose file → the condition that this one waits for; empty text for none"""
    places: Mapping[str, Place] = field(default_factory=dict)
    """dotted key as in the file → where it stands"""
    comments: Mapping[int, str] = field(default_factory=dict)
    """line → comment on it, without the sign"""
    document: Mapping[str, Any] = field(default_factory=dict)
    """the file as parsed; for compose, the service's part"""
    project: Mapping[str, Any] = field(default_factory=dict)
    """for compose, the whole file"""

    @property
    def checked(self) -> Mapping[str, bool]:
        """Process group on Fly → whether the file gives its machines a health check."""
        owners = {group for port in self.served if port.checks for group in port.groups}
        owners |= {group for each in self.loose_checks for group in each.groups}
        # A check of a group that does not exist could be meant for any of them.
        is_known = owners <= set(self.groups)
        return {group: group in owners or not is_known for group in self.groups}

    def place(self, *key: str) -> Place:
        """Return where ``key`` stands, or the nearest table around it, or the head of the file."""
        head = next(iter(self.places.values()), Place(self.path.name, 1))
        return nearest_place(self.places, key) or head


@dataclass(frozen=True, slots=True)
class Deployment:
    """All apps that the deploy files name for one environment."""

    environment: str
    source: Source
    folder: DeployFolder
    apps: tuple[App, ...]
    overrides: tuple[App, ...] = ()
    """files that Compose would lay over the one that is read, each as it is, where they were looked for"""

    def app(self, service: str) -> App | None:
        """Return the app that runs ``service``; where both forms are there, the one of a file of its own."""
        found = [app for app in self.apps if app.service == service]
        return min(found, key=lambda app: app.form != "service", default=None)
