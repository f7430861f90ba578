"""File locks between processes. The system releases them when a process ends, in any way.

The file of a lock is never removed, because two processes could then hold two files of the same name.
"""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_PAUSE = 0.05
"""seconds between two attempts, because a blocking call misses signals that another thread gets"""
_FLAGS = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW


def hold(path: Path) -> int:
    """Wait for the lock. It is held until the returned descriptor is closed in all processes that have it.

    Raises ``OSError`` if the file cannot be created or locked.
    """
    while (descriptor := try_hold(path)) is None:
        time.sleep(_PAUSE)
    return descriptor


def try_hold(path: Path) -> int | None:
    """Return a descriptor as ``hold`` does, or None if another process holds the lock."""
    descriptor = os.open(path, _FLAGS | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


@contextmanager
def held(path: Path) -> Iterator[int]:
    """Wait for the lock, and hold it during the block."""
    descriptor = hold(path)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def is_held(path: Path) -> bool:
    """Whether a process holds the lock. Does not create the file."""
    try:
        descriptor = os.open(path, _FLAGS)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
