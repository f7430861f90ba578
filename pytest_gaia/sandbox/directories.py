"""The folders of a sandbox: one folder for each run, with its request, and one cache for each user.

The supervisor holds a file lock on the run's folder while it lives. The process that started it holds another lock while
it may read error messages. A folder without a lock is left over from a killed run. This module has no slow imports,
because the process that starts a sandbox needs it.
"""

from __future__ import annotations

import json
import os
import stat
import sys
import tempfile
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, BinaryIO

from pytest_gaia.config.platform import Health, Kind, Platform, SandboxSettings, Service
from pytest_gaia.system import locks

PREFIX = "pytest-gaia-"
"""prefix of the folders of runs; the user's id follows"""

LOCK = "lock"
"""held by the supervisor"""
STARTER = "starter.lock"
"""held by the process that has started it"""
REQUEST = "request.json"
READY = "stack.json"
"""written when the sandbox is ready"""
ERROR = "error.txt"
"""written instead if it could not start, with reason and remedy"""
LOG = "supervisor.log"

# The file system in memory on Linux, not a temporary file with a fixed name.
MEMORY = Path("/dev/shm")  # noqa: S108
ENOUGH = 512 * 1024 * 1024
"""bytes that must be free in memory to place a run there"""

# Folders for temporary files of all users, if TMPDIR is private to root.
_SHARED = ("/tmp", "/var/tmp")  # noqa: S108


def roots() -> list[Path]:
    """Return the folders for runs, best first."""
    places = dict.fromkeys(Path(place) for place in (MEMORY, tempfile.gettempdir(), *_SHARED))
    return [place for place in places if place.is_dir()]


def is_open(directory: Path) -> bool:
    """Whether all users can enter a folder. Raises ``OSError`` if it does not exist."""
    path = directory.resolve()
    return all(each.stat().st_mode & stat.S_IXOTH for each in (path, *path.parents))


def create_run() -> tuple[Path, int]:
    """Create and lock a folder for a run. Return it with the lock's descriptor, which the supervisor inherits.

    Raises ``OSError`` if no folder is writable.
    """
    failure: OSError | None = None
    for root in roots():
        # If this is root, PostgreSQL's user must be able to enter it.
        if (root != MEMORY or _has_room(root)) and (os.geteuid() != 0 or is_open(root)):
            try:
                directory = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.geteuid()}-", dir=root))
            except OSError as error:
                failure = error
                continue
            return directory, hold(directory)
    raise failure or FileNotFoundError("the servers can use no temporary folder")


def hold(directory: Path, lock: str = LOCK) -> int:
    """Lock a run's folder until the returned descriptor is closed. Raises ``OSError``."""
    return locks.hold(directory / lock)


def is_held(directory: Path, lock: str = LOCK) -> bool:
    """Whether a run's folder is locked: by default, whether its supervisor runs or is about to start."""
    return locks.is_held(directory / lock)


def cache_directory() -> Path | None:
    """Return the user's cache folder, created if necessary; None if there is no usable folder."""
    for candidate in _cache_candidates():
        try:
            candidate.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError:
            continue
        if _is_own(candidate) and os.access(candidate, os.W_OK | os.X_OK):
            return candidate
    return None


def write_private(path: Path, content: str) -> None:
    """Write a file atomically that only this user can read."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(content)
    draft.replace(path)


def private_log(path: Path) -> BinaryIO:
    """Open a log for appending that only this user can read."""
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600), "ab")


def _has_room(root: Path) -> bool:
    try:
        free = os.statvfs(root)
    except OSError:
        return False
    return free.f_bavail * free.f_frsize >= ENOUGH and os.access(root, os.W_OK | os.X_OK)


def _cache_candidates() -> list[Path]:
    """Return the folders for the cache, in order of preference."""
    environ = os.environ
    if chosen := environ.get("GAIA_CACHE_DIR"):
        return [Path(chosen)]
    in_home = Path(environ.get("HOME", ""), "Library/Caches" if sys.platform == "darwin" else ".cache", "pytest-gaia")
    candidates = (
        Path(environ.get("XDG_CACHE_HOME", ""), "pytest-gaia"),
        in_home,
        Path(tempfile.gettempdir(), f"pytest-gaia.cache-{os.geteuid()}"),
    )
    return [candidate for candidate in candidates if candidate.is_absolute()]


def _is_own(directory: Path) -> bool:
    """Whether only this user can write there; another user may have created a predictable name in /tmp."""
    status = directory.lstat()
    return stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid() and not status.st_mode & 0o022


REFERENCES = ("gateway", "auth", "asset", "chat")
"""the reference services, in ``_services``"""

START_SECONDS = 30.0
"""time limit for the start of the servers"""
MIGRATE_SECONDS = 120.0
"""time limit for the command that creates the tables of a database"""


@dataclass(frozen=True, slots=True)
class Request:
    """The configuration of the sandbox, and its secrets."""

    api_key: str = field(repr=False)
    jwt_secret: str = field(repr=False)
    platform: Platform
    services: tuple[str, ...]
    """services of the environment; the sandbox runs those with ``sandbox`` settings"""
    without: tuple[str, ...] = ()
    """services that do not run"""
    fixed: bool = False
    """whether to fix the known bugs"""
    folder: str = "/"
    """the folder of gaia.toml, absolute"""
    ready: float = 15.0
    """seconds until a service with a command is ready"""

    @property
    def addressed(self) -> tuple[str, ...]:
        """The services that have an address in every stack, whether they run or not."""
        return tuple(name for name in self.platform if self.platform[name].runs_in_sandbox)

    @property
    def present(self) -> tuple[str, ...]:
        """The services of the environment that the sandbox can run, in the order of declaration."""
        return tuple(name for name in self.addressed if name in self.services)

    @property
    def running(self) -> tuple[str, ...]:
        """The services that run in every stack."""
        return tuple(name for name in self.present if name not in self.without)

    @property
    def references(self) -> tuple[str, ...]:
        """The reference services that run."""
        return tuple(name for name in self.running if _settings(self.platform[name]).reference)

    def embedded(self, kind: Kind) -> tuple[str, ...]:
        """Return the services of the environment that are on the sandbox's server of this kind."""
        return tuple(name for name in self.platform.of_kind(kind) if name in self.present)

    @property
    def has_broker(self) -> bool:
        """Whether NATS runs from the start."""
        return any(name in self.running for name in self.embedded("nats"))

    @property
    def needs_postgres(self) -> bool:
        """Whether there is a PostgreSQL server, also for the reference services."""
        return bool(self.embedded("postgres") or self.references)

    @property
    def limit(self) -> float:
        """Seconds within which a stack is ready."""
        running = [self.platform[name] for name in self.running]
        programs = [each for each in running if _settings(each).command]
        migrations = [each for each in running if _settings(each).migrate]
        return START_SECONDS + MIGRATE_SECONDS * len(migrations) + sum(map(self.ready_of, programs))

    def ready_of(self, service: Service) -> float:
        """Return the seconds until a service is ready."""
        return service.timeouts.get("ready", self.ready)

    def write(self, directory: Path) -> None:
        """Write the request for the supervisor into ``directory``; only this user can read it."""
        content = {item.name: getattr(self, item.name) for item in fields(self)}
        content["platform"] = {name: _described(service) for name, service in self.platform.services.items()}
        write_private(directory / REQUEST, json.dumps(content))

    @classmethod
    def read(cls, directory: Path) -> Request:
        """Read the request from ``directory``."""
        stored = json.loads((directory / REQUEST).read_text("utf-8"))
        platform = Platform({name: _service(name, each) for name, each in stored["platform"].items()})
        lists = {key: tuple(stored[key]) for key in ("services", "without")}
        return cls(**{**stored, **lists, "platform": platform})


def _settings(service: Service) -> SandboxSettings:
    return service.sandbox or SandboxSettings()


_DESCRIBED = ("kind", "health", "depends_on", "place")
_SETTINGS = ("reference", "command", "cwd", "migrate", "shared")


def _described(service: Service) -> dict[str, Any]:
    """Return what the supervisor needs to know about a service, as JSON."""
    content = {name: getattr(service, name) for name in _DESCRIBED}
    content |= {"healthy": asdict(service.healthy), "timeouts": dict(service.timeouts), "sandbox": None}
    if service.sandbox is not None:
        settings = {name: getattr(service.sandbox, name) for name in _SETTINGS}
        content["sandbox"] = {**settings, "env": dict(service.sandbox.env)}
    return content


def _service(name: str, content: dict[str, Any]) -> Service:
    healthy, settings = content.pop("healthy"), content.pop("sandbox")
    return Service(
        name,
        healthy=Health(healthy["field"], tuple(healthy["values"]), tuple(healthy["partial"])),
        sandbox=None if settings is None else SandboxSettings(**_tuples(settings)),
        **_tuples(content),
    )


def _tuples(content: dict[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in content.items()}
