"""Where a sandbox keeps its files: one directory for each run, with what the run asks for, and one cache for each user.

A run's directory is held by a file lock for as long as its supervisor lives, and by another one for as long as the
process that started it may want to read why it has ended. A directory that nobody holds is known to be a leftover.
The process that starts a sandbox needs this, too: nothing is imported here that takes time."""

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
"""What the name of every run's directory begins with, followed by the user's number."""

LOCK = "lock"
"""held by the supervisor"""
STARTER = "starter.lock"
"""held by the process that has started it"""
REQUEST = "request.json"
READY = "stack.json"
"""appears, complete, when the sandbox serves"""
ERROR = "error.txt"
"""appears instead if it could not start: why, and what to do"""
LOG = "supervisor.log"

# The place for files in memory on Linux, not a temporary file with a fixed name.
MEMORY = Path("/dev/shm")  # noqa: S108
ENOUGH = 512 * 1024 * 1024
"""bytes that have to be free in memory for a run to live there"""

# Where temporary files of all users are, if TMPDIR is a place of root's own.
_SHARED = ("/tmp", "/var/tmp")  # noqa: S108


def roots() -> list[Path]:
    """Return the places that runs may live in, the best first."""
    places = dict.fromkeys(Path(place) for place in (MEMORY, tempfile.gettempdir(), *_SHARED))
    return [place for place in places if place.is_dir()]


def is_open(directory: Path) -> bool:
    """Whether everybody may enter a directory. Raises ``OSError`` where there is none."""
    path = directory.resolve()
    return all(each.stat().st_mode & stat.S_IXOTH for each in (path, *path.parents))


def create_run() -> tuple[Path, int]:
    """Make a directory for a run and lock it. Return it with the lock's descriptor, for the supervisor to inherit.

    Raises ``OSError`` where no place can be written to.
    """
    failure: OSError | None = None
    for root in roots():
        # As root, the server of another user has to get there.
        if (root != MEMORY or _has_room(root)) and (os.geteuid() != 0 or is_open(root)):
            try:
                directory = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.geteuid()}-", dir=root))
            except OSError as error:
                failure = error
                continue
            return directory, hold(directory)
    raise failure or FileNotFoundError("there is no temporary directory that the servers can use")


def hold(directory: Path, lock: str = LOCK) -> int:
    """Hold a run's directory until the descriptor that is returned is closed. Raises ``OSError``."""
    return locks.hold(directory / lock)


def is_held(directory: Path, lock: str = LOCK) -> bool:
    """Whether somebody holds this run's directory: by default, whether its supervisor is alive (or about to be)."""
    return locks.is_held(directory / lock)


def cache_directory() -> Path | None:
    """Return the user's cache directory, made if need be; None where nothing can be kept between runs."""
    for candidate in _cache_candidates():
        try:
            candidate.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError:
            continue
        if _is_own(candidate) and os.access(candidate, os.W_OK | os.X_OK):
            return candidate
    return None


def write_private(path: Path, content: str) -> None:
    """Write a file that only this user may read, and let it appear complete or not at all."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(content)
    draft.replace(path)


def private_log(path: Path) -> BinaryIO:
    """Open a log to write at its end, which only this user may read."""
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600), "ab")


def _has_room(root: Path) -> bool:
    try:
        free = os.statvfs(root)
    except OSError:
        return False
    return free.f_bavail * free.f_frsize >= ENOUGH and os.access(root, os.W_OK | os.X_OK)


def _cache_candidates() -> list[Path]:
    """Places for the cache, in the order in which they are tried."""
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
    """Whether this user alone can write there: a name in /tmp that can be guessed may be somebody else's trap."""
    status = directory.lstat()
    return stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid() and not status.st_mode & 0o022


@dataclass(frozen=True, slots=True)
class Request:
    """The shape of the platform, and its secrets."""

    api_key: str = field(repr=False)
    jwt_secret: str = field(repr=False)
    without: tuple[str, ...] = ()
    """members that do not run"""
    topology: str = "microservices"
    fixed: bool = False
    """whether to serve the platform without its known defects"""

    @property
    def running(self) -> tuple[str, ...]:
        """The services that run in every cell."""
        there = ("gateway",) if self.topology == "gateway-only" else HTTP_SERVICES
        return tuple(service for service in there if service not in self.without)

    @property
    def has_broker(self) -> bool:
        """Whether the broker runs from the start."""
        return self.topology != "gateway-only" and "nats" not in self.without

    def write(self, directory: Path) -> None:
        """Store the request for the supervisor of ``directory``, readable by this user only."""
        write_private(directory / REQUEST, json.dumps(asdict(self)))

    @classmethod
    def read(cls, directory: Path) -> Request:
        """Return the request of ``directory``."""
        stored = json.loads((directory / REQUEST).read_text("utf-8"))
        return cls(**{**stored, "without": tuple(stored["without"])})
