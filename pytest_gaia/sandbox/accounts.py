"""PostgreSQL refuses to run as root: as whom it runs then, and programs that this user can reach.

No user is created and no directory that already exists is opened: where the programs lie behind a private directory
(a virtual environment under ``/root``), a copy of them is made in a place that everybody may enter.
"""

from __future__ import annotations

import os
import pwd
import shutil
import stat
import tempfile
from pathlib import Path

from pytest_gaia.errors import SandboxError
from pytest_gaia.sandbox.binaries import PostgresBinaries
from pytest_gaia.sandbox.directories import is_open
from pytest_gaia.sandbox.processes import Account

_UNPRIVILEGED = ("nobody", "daemon")


def server_account() -> Account | None:
    """Return the user for PostgreSQL if that cannot be the one who runs this, else None. Raises ``SandboxError``."""
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
        f"PostgreSQL does not run as root, and this system has none of the users {', '.join(_UNPRIVILEGED)} "
        "to run it as. Run as an ordinary user."
    )


def reachable(binaries: PostgresBinaries, account: Account | None) -> PostgresBinaries:
    """Return ``binaries``, or a copy of them that ``account`` can run. Raises ``SandboxError``."""
    if account is None or _open_to_all(binaries.folder):
        return binaries
    if binaries.wheel is None:
        raise SandboxError(
            f"PostgreSQL's programs are in {binaries.folder}, which only root may enter, and PostgreSQL does not run "
            "as root. Name another installation in GAIA_PG_BIN, or run as an ordinary user."
        )
    return _staged(binaries, binaries.wheel)


def _open_to_all(folder: Path) -> bool:
    """Whether everybody may enter ``folder`` and run what is there."""
    return is_open(folder) and bool((folder / "postgres").stat().st_mode & stat.S_IXOTH)


def _staged(binaries: PostgresBinaries, wheel: Path) -> PostgresBinaries:
    """Copy the wheel's files, once for each version, into a directory of root's that everybody may enter."""
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
            raise SandboxError(f"PostgreSQL's programs could not be copied to {place}: {error}") from error
    status = place.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != 0 or status.st_mode & 0o022:
        raise SandboxError(f"{place} belongs to somebody else. Remove it, or set TMPDIR to another directory.")
    folder = place / binaries.folder.relative_to(wheel.parent)
    if not _open_to_all(folder):
        raise SandboxError(f"{place} cannot be entered by everybody. Set TMPDIR to a directory that can.")
    return PostgresBinaries(folder, binaries.version, place / wheel.name)


def _copy(wheel: Path, draft: Path) -> None:
    """Copy the package and the libraries beside it, which its programs look for relative to themselves."""
    for source in (wheel, wheel.with_name(f"{wheel.name}.libs")):
        if source.is_dir():
            shutil.copytree(source, draft / source.name, symlinks=True, copy_function=shutil.copy)
    for path in (draft, *draft.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or os.access(path, os.X_OK) else 0o644)
