"""Clean up after killed runs: end their processes, free their shared memory and delete their files."""

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

# At SIGTERM, PostgreSQL would wait for its clients; at SIGQUIT it ends immediately.
_REQUESTS = {"postgres": signal.SIGQUIT}
_END_SECONDS = 2.0
_UNFINISHED_SECONDS = 60.0
"""age of a folder without a request after which it counts as left over"""

_SHMKEY_LINE = 6
_IPC_RMID = 0


def reclaim() -> list[Path]:
    """Clean up every run of this user whose supervisor and starter are gone; return the deleted folders. Blocks."""
    found = [each for root in roots() for each in root.glob(f"{PREFIX}{os.geteuid()}-*") if _is_left(each)]
    for directory in found:
        clear(directory)
    return found


def clear(directory: Path) -> None:
    """End the processes of a run and delete its folder. Blocks."""
    end_children(directory)
    free_shared_memory(directory)
    # A process that was just killed may have written one more file.
    for _ in range(3):
        shutil.rmtree(directory, ignore_errors=True)
        if not directory.exists():
            return


def end_children(directory: Path) -> None:
    """End the recorded processes of a run that still run. Blocks."""
    with suppress(OSError):
        for record in (directory / RECORDS).iterdir():
            end_recorded(record, _REQUESTS.get(record.name, signal.SIGTERM), _END_SECONDS)


def _is_left(directory: Path) -> bool:
    """Whether this user's folder is unlocked and not being created, which is when it has no request yet."""
    try:
        status = directory.lstat()
    except OSError:
        return False
    if status.st_uid != os.geteuid() or directory.is_symlink():
        return False
    # The starter of a sandbox that could not start keeps its lock until it has read the reason.
    if is_held(directory, LOCK) or is_held(directory, STARTER):
        return False
    return (directory / REQUEST).exists() or time.time() - status.st_mtime > _UNFINISHED_SECONDS


def free_shared_memory(directory: Path) -> None:
    """Free the shared memory segment of a killed PostgreSQL, if no process is attached to it."""
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
