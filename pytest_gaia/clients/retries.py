"""When a request is sent again: connecting, for any method; a stale connection, once, for methods that may repeat."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_gaia.clients.transport import Fault

IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})

_PAUSES = (0.1, 0.3)

# What is left of the time for connecting must be worth another try.
_WORTH = 0.05


class Trials:
    """Counts the attempts of one request and says whether there is another.

    All attempts to connect share one budget of ``connect`` seconds, so that a dead endpoint is told in that time.
    """

    def __init__(self, method: str, *, connect: float) -> None:
        self._repeatable = method in IDEMPOTENT
        self._until = time.monotonic() + connect
        self._stale = False
        self._pauses = list(_PAUSES)
        self.attempt = 1

    @property
    def connect(self) -> float:
        """Seconds left for connecting."""
        return max(self._until - time.monotonic(), _WORTH)

    def pause_after(self, fault: Fault) -> float | None:
        """Return the seconds to wait before the next attempt, or None if there is none."""
        pause = self._pause(fault)
        if pause is not None:
            self.attempt += 1
        return pause

    def _pause(self, fault: Fault) -> float | None:
        if fault.stage == "connect" and self._pauses and self.connect > self._pauses[0] + _WORTH:
            return self._pauses.pop(0)
        if fault.stale and self._repeatable and not self._stale:
            # The server closed the connection before the request reached it; the next attempt opens a new one.
            self._stale = True
            return 0.0
        return None
