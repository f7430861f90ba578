"""Files that one process holds at a time. The system frees them however the process ends, so nothing is cleared away after
a crash; a lock's file stays, since removing it would let two others hold two files of the same name.
"""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_PAUSE = 0.05
"""seconds between two attempts. One call that waits would not hear of a signal that another thread was given"""
_FLAGS = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW


def hold(path: Path) -> int:
    """Wait for the lock; it is held until the descriptor that is returned is closed, here and where it was inherited.

    Raises ``OSError`` where the file cannot be made or locked.
    """
    while (descriptor := try_hold(path)) is None:
        time.sleep(_PAUSE)
    return descriptor


def try_hold(path: Path) -> int | None:
    """Return a descriptor as ``hold`` does; None where somebody else holds the lock."""
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
    """Wait for the lock, and hold it for the block."""
    descriptor = hold(path)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def is_held(path: Path) -> bool:
    """Whether somebody holds the lock; no file is made to find out."""
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
