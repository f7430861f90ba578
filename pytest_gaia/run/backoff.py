"""Waiting: how long before the next attempt, and on which clock."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pytest_gaia.deploy.process import ending
from pytest_gaia.system.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable

_FIRST, _LONGEST = 1.0, 30.0
_LOOK_EVERY = 2.0
"""seconds between observations; Fly's API allows one request a second for each app"""


def _pause(seconds: float) -> None:
    wait_for(ending, seconds)


def _spread(least: float, most: float) -> float:
    # Spreading out the attempts of several machines; nothing secret depends on it.
    return random.uniform(least, most)  # noqa: S311


@dataclass(frozen=True, slots=True)
class Pace:
    """A clock, and how to wait on it."""

    clock: Callable[[], float] = time.monotonic
    """seconds, from any beginning"""
    wait: Callable[[float], None] = _pause
    spread: Callable[[float, float], float] = field(default=_spread)
    """chooses between two numbers of seconds"""

    def before_attempt(self, attempt: int) -> float:
        """Return the seconds to wait before ``attempt`` (from 2): doubled each time, spread out, 30 at most."""
        # The exponent is bounded as well: hundreds of attempts must not overflow a float.
        most: float = min(_LONGEST, _FIRST * 2 ** min(attempt - 1, 10))
        return self.spread(most / 2, most)

    def between_looks(self) -> float:
        """Return the seconds to wait before something is observed again."""
        return self.spread(_LOOK_EVERY, _LOOK_EVERY * 1.5)
