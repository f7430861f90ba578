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
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from pytest_gaia.system import processes

if TYPE_CHECKING:
    # The process that starts a sandbox has it, and the supervisor does not need it.
    from pytest_gaia.config.platform import Platform

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
    return processes.hold(directory / lock)


def is_held(directory: Path, lock: str = LOCK) -> bool:
    """Whether a run's folder is locked: by default, whether its supervisor runs or is about to start."""
    return processes.is_held(directory / lock)


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


REFERENCES: Mapping[str, tuple[str, ...]] = {
    "current": ("gateway", "auth", "asset", "chat"),
    "next": ("gateway", "auth", "asset", "chat", "kb", "web"),
}
"""API → the reference services that offer it, in ``_services``"""
TABLES: Mapping[str, tuple[str, ...]] = {"current": ("schema.sql",), "next": ("schema.sql", "next/schema.sql")}
"""API → the files in ``_services`` that create the tables"""

START_SECONDS = 30.0
"""time limit for the start of the servers"""
MIGRATE_SECONDS = 120.0
"""time limit for the command that creates the tables of a database"""


SCHEMES = {"redis": "redis", "amqp": "amqp", "tcp": "tcp", "postgres": "postgresql", "nats": "nats"}
"""kind → scheme of its URLs; other kinds are HTTP"""


class Described:
    """What the supervisor needs to know about one service.

    A plain class: the classes of a platform would take a tenth of the supervisor's start.
    """

    def __init__(self, content: Mapping[str, Any]) -> None:
        self.content = content
        self.name: str = content["name"]
        self.kind: str = content["kind"]
        self.place: str = content["place"]
        """where it is declared"""
        self.depends_on: tuple[str, ...] = tuple(content["depends_on"])
        self.health: str = content["health"]
        """path of the health check"""
        self.field: str | None = content["field"]
        """key in its response; None if every response with status 200 is healthy"""
        self.healthy: tuple[str, ...] = tuple(content["healthy"])
        """its values in a healthy service, here where some dependencies may not run"""
        self.ready: float = content["ready"]
        """seconds until it is ready"""
        self.reference: bool = content["reference"]
        self.command: tuple[str, ...] = tuple(content["command"])
        self.migrate: tuple[str, ...] = tuple(content["migrate"])
        self.env: Mapping[str, str] = content["env"]
        self.cwd: str = content["cwd"]
        self.shared: bool = content["shared"]

    @property
    def is_program(self) -> bool:
        """Whether it runs as a program of its own."""
        return bool(self.command) or (self.kind == "redis" and not self.reference)


def described(platform: Platform, running: Collection[str], ready: float) -> Iterator[Described]:
    """Yield the services of ``platform`` that the sandbox can run, in the order of their start."""
    for name in platform.in_order(platform):
        service = platform[name]
        if service.sandbox is None or not service.runs_in_sandbox:
            continue
        partial = service.healthy.partial if platform.lacks_dependency(name, running) else ()
        keys = ("reference", "command", "migrate", "cwd", "shared")
        yield Described(
            {
                **{key: getattr(service, key) for key in ("name", "kind", "place", "depends_on", "health")},
                **{key: getattr(service.sandbox, key) for key in keys},
                "env": dict(service.sandbox.env),
                "field": service.healthy.field,
                "healthy": (*service.healthy.values, *partial),
                "ready": service.timeouts.get("ready", ready),
            }
        )


@dataclass(frozen=True, slots=True)
class Request:
    """The configuration of the sandbox, and its secrets."""

    api_key: str = field(repr=False)
    jwt_secret: str = field(repr=False)
    services: Mapping[str, Described]
    """the services that the sandbox can run, in the order of declaration; each has an address in every stack"""
    waves: tuple[tuple[str, ...], ...] = ()
    """the services that run in every stack, in the order of their start"""
    present: tuple[str, ...] = ()
    """the services of the environment; those that were left out do not run"""
    fixed: bool = False
    """whether to fix the known bugs"""
    folder: str = "/"
    """the folder of gaia.toml, absolute"""
    api: str = "current"
    """the API that the reference services offer"""
    faulty: bool = False
    """whether the responses of programs can have faults"""

    @classmethod
    def of(
        cls,
        platform: Platform,
        secrets: tuple[str, str],
        services: Collection[str],
        without: Collection[str] = (),
        *,
        fixed: bool = False,
        folder: str = "/",
        ready: float = 15.0,
        api: str = "current",
        faulty: bool = False,
    ) -> Request:
        """Return the request for the ``services`` of an environment, except that ``without`` do not run.

        ``secrets`` are the API key and the key for tokens; ``ready`` is how many seconds a program may take.
        """
        known = [name for name in platform if platform[name].runs_in_sandbox]
        present = tuple(name for name in known if name in services)
        running = [name for name in present if name not in without]
        found = {each.name: each for each in described(platform, running, ready)}
        ordered = {name: found[name] for name in known}
        return cls(*secrets, ordered, platform.waves(running), present, fixed, folder, api, faulty)

    @property
    def running(self) -> tuple[str, ...]:
        """The services that run in every stack, each after those that it depends on."""
        return tuple(name for wave in self.waves for name in wave)

    @property
    def references(self) -> tuple[str, ...]:
        """The reference services that run."""
        running = self.running
        return tuple(name for name, each in self.services.items() if each.reference and name in running)

    def embedded(self, kind: str) -> tuple[str, ...]:
        """Return the services of the environment that are on the sandbox's server of this kind."""
        return tuple(name for name in self.present if self.services[name].kind == kind)

    @property
    def main_database(self) -> str:
        """The PostgreSQL service that the reference services need, or else the first one; empty without any."""
        known = self.embedded("postgres")
        needed = [other for name in self.references for other in self.services[name].depends_on]
        return next((name for name in needed if name in known), known[0] if known else "")

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
        running = [self.services[name] for name in self.running]
        migrations = sum(bool(each.migrate) for each in running)
        return START_SECONDS + MIGRATE_SECONDS * migrations + sum(each.ready for each in running if each.command)

    def write(self, directory: Path) -> None:
        """Write the request for the supervisor into ``directory``; only this user can read it."""
        content = {item.name: getattr(self, item.name) for item in fields(self)}
        content["services"] = [each.content for each in self.services.values()]
        write_private(directory / REQUEST, json.dumps(content))

    @classmethod
    def read(cls, directory: Path) -> Request:
        """Read the request from ``directory``."""
        stored = json.loads((directory / REQUEST).read_text("utf-8"))
        stored["services"] = {each["name"]: Described(each) for each in stored["services"]}
        stored |= {"waves": tuple(map(tuple, stored["waves"])), "present": tuple(stored["present"])}
        return cls(**stored)
