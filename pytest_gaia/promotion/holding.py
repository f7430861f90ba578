"""Holding a lock for as long as something lasts: it is renewed meanwhile, and given back at the end."""

from __future__ import annotations

import threading
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pytest_gaia.errors import GaiaError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_gaia.promotion.lock import Lock

_SHARE = 3
"""how often it is renewed in a lifetime, so that one renewal may fail"""


@contextmanager
def held(lock: Lock) -> Iterator[int]:
    """Take ``lock``, give its fencing number, and hold it until the end.

    Raises ``DeployLocked`` (13) where somebody else holds it. A lock that is lost meanwhile stops nothing: what is
    written with its fencing number counts for nothing then.
    """
    fence = lock.acquire(datetime.now(UTC))
    over = threading.Event()
    renewal = threading.Thread(target=_renew, args=(lock, over), name="gaia-lock", daemon=True)
    renewal.start()
    try:
        yield fence
    finally:
        over.set()
        renewal.join()
        # A remote that is out of reach: the lock ends by itself.
        with suppress(GaiaError):
            lock.release()


def _renew(lock: Lock, over: threading.Event) -> None:
    while not over.wait(lock.lifetime.total_seconds() / _SHARE):
        with suppress(GaiaError):
            lock.renew(datetime.now(UTC))
