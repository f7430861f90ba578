"""Holding a lock for as long as something takes: renewed in the background, and given back at the end."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime

from pytest_gaia.errors import DeployLocked, GaiaError
from pytest_gaia.promotion.lock import Lock
from pytest_gaia.system.waiting import join


@contextmanager
def renewed(lock: Lock, lost: Callable[[], object]) -> Iterator[int]:
    """Take ``lock`` and keep it; give its fencing number. ``lost`` is called, in another thread, if it is taken over.

    A renewal that fails for another reason (a remote out of reach) is tried again until the lock ends by itself; who
    writes evidence renews it once more before, and learns then. Raises ``DeployLocked`` where somebody else holds it.
    """
    fence = lock.acquire(datetime.now(UTC))
    ended = threading.Event()

    def renew() -> None:
        while not ended.wait(lock.lifetime.total_seconds() / 3):
            try:
                lock.renew(datetime.now(UTC))
            except DeployLocked:
                lost()
                return
            except GaiaError:
                continue

    thread = threading.Thread(target=renew, name="gaia-lock", daemon=True)
    thread.start()
    try:
        yield fence
    finally:
        ended.set()
        join(thread)
        # What cannot be given back ends by itself.
        with suppress(GaiaError):
            lock.release()
