"""A rate limit for each client."""

from __future__ import annotations

import time
from collections import defaultdict, deque


class RateLimit:
    """At most ``limit`` calls in any window of ``per_seconds``, counted for each client."""

    def __init__(self, limit: int, *, per_seconds: float) -> None:
        self._limit = limit
        self._window = per_seconds
        self._calls: defaultdict[str, deque[float]] = defaultdict(deque)

    def allows(self, client: str) -> bool:
        """Whether the client may call now; a call that is refused does not count."""
        now = time.monotonic()
        calls = self._calls[client]
        while calls and calls[0] <= now - self._window:
            calls.popleft()
        if len(calls) >= self._limit:
            return False
        calls.append(now)
        return True
