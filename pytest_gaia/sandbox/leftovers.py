"""What a killed run leaves behind is cleared away by the next one: its processes, shared memory and files."""

import ctypes
import os
import shutil
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path

from pytest_gaia.sandbox._processes import RECORDS, end_recorded
from pytest_gaia.sandbox.directories import LOCK, PREFIX, REQUEST, STARTER, is_held, roots

# PostgreSQL at SIGTERM would wait for its clients; at SIGQUIT it ends its own processes at once.
_REQUESTS = {"postgres": signal.SIGQUIT}
_END_SECONDS = 2.0
_UNFINISHED_SECONDS = 60.0
"""how long a directory may be without a request before it counts as left behind"""

_SHMKEY_LINE = 6
_IPC_RMID = 0


def reclaim() -> list[Path]:
    """Clear away every run of this user whose supervisor and whose starter are gone. Return what was removed. Blocks."""
    found = [each for root in roots() for each in root.glob(f"{PREFIX}{os.geteuid()}-*") if _is_left(each)]
    for directory in found:
        clear(directory)
    return found


def clear(directory: Path) -> None:
    """End what still runs of a run, and remove its directory. Blocks."""
    end_children(directory)
    free_shared_memory(directory)
    # A process that was just killed may have had the last word: then there is one more file to remove.
    for _ in range(3):
        shutil.rmtree(directory, ignore_errors=True)
        if not directory.exists():
            return


def end_children(directory: Path) -> None:
    """End the processes that a run has recorded and that still run. Blocks."""
    with suppress(OSError):
        for record in (directory / RECORDS).iterdir():
            end_recorded(record, _REQUESTS.get(record.name, signal.SIGTERM), _END_SECONDS)


def _is_left(directory: Path) -> bool:
    """Whether nobody holds this directory of ours; one that is being made has no request yet."""
    try:
        status = directory.lstat()
    except OSError:
        return False
    if status.st_uid != os.geteuid() or directory.is_symlink():
        return False
    # One that could not start is held by its starter, which has yet to read why.
    if is_held(directory, LOCK) or is_held(directory, STARTER):
        return False
    return (directory / REQUEST).exists() or time.time() - status.st_mtime > _UNFINISHED_SECONDS


def free_shared_memory(directory: Path) -> None:
    """Give back the segment by which a killed PostgreSQL marked its cluster as in use, if nobody is attached to it."""
    if sys.platform != "linux":
        return
    try:
        status = directory / "postgres" / "data" / "postmaster.pid"
        key, _, segment = status.read_text().splitlines()[_SHMKEY_LINE].strip().partition(" ")
        listing = Path("/proc/sysvipc/shm").read_text().splitlines()
    except (OSError, IndexError):
        return
    for line in listing[1:]:
        fields = line.split()
        # key, shmid, perms, size, cpid, lpid, nattch
        if fields[1] == segment.strip() and int(fields[0]) & 0xFFFFFFFF == int(key) & 0xFFFFFFFF and fields[6] == "0":
            ctypes.CDLL(None).shmctl(int(segment), _IPC_RMID, None)
