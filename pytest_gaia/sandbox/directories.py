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
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import BinaryIO

from pytest_gaia.config.platform import HTTP_SERVICES
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


@dataclass(frozen=True, slots=True)
class Request:
    """The configuration of the platform, and its secrets."""

    api_key: str = field(repr=False)
    jwt_secret: str = field(repr=False)
    without: tuple[str, ...] = ()
    """services that do not run"""
    topology: str = "microservices"
    fixed: bool = False
    """whether to fix the known bugs"""

    @property
    def running(self) -> tuple[str, ...]:
        """The services that run in every stack."""
        there = ("gateway",) if self.topology == "gateway-only" else HTTP_SERVICES
        return tuple(service for service in there if service not in self.without)

    @property
    def has_broker(self) -> bool:
        """Whether NATS runs from the start."""
        return self.topology != "gateway-only" and "nats" not in self.without

    def write(self, directory: Path) -> None:
        """Write the request for the supervisor into ``directory``; only this user can read it."""
        write_private(directory / REQUEST, json.dumps(asdict(self)))

    @classmethod
    def read(cls, directory: Path) -> Request:
        """Read the request from ``directory``."""
        stored = json.loads((directory / REQUEST).read_text("utf-8"))
        return cls(**{**stored, "without": tuple(stored["without"])})
