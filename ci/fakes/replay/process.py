"""What the processes of both tools do alike: show their help, print, wait, end at a signal, note how they were called."""

from __future__ import annotations

import signal
import sys
import time
from typing import TYPE_CHECKING, Any

from .calls import note
from .help import text
from .state import Store, state_file

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

LONGEST = 120.0
"""seconds that a slow call may take at most: nothing hangs"""
_SLICE = 0.05
"""seconds of one wait: a signal that comes just before the system waits is heard of only when the wait ends"""


class Process:
    """What a command does with its terminal and its time."""

    def say(self, text: str) -> None:
        """Print to standard output, at once."""
        print(text, flush=True)

    def note(self, text: str) -> None:
        """Print to standard error, at once."""
        print(text, file=sys.stderr, flush=True)

    def follow(self, seconds: float) -> None:
        """Stay until a signal comes, at most so long."""
        end = time.monotonic() + min(seconds, LONGEST)
        while (left := end - time.monotonic()) > 0:
            time.sleep(min(left, _SLICE))


def answer(tool: str, words: Sequence[str], run: Callable[[list[str], Store], int], *, interrupted: int) -> int:
    """Run one command line of ``tool`` and return its exit code, which is ``interrupted`` after a signal.

    What was called is noted in the state file, also where ``run`` raises.
    """
    if list(words) == ["--fake-help"]:
        print(text(tool))
        return 0
    store = Store(state_file())
    signal.signal(signal.SIGTERM, _interrupt)
    code = 1
    try:
        code = run(list(words), store)
    except KeyboardInterrupt:
        code = interrupted
    finally:
        note(store, tool, words, code)
    return code


def _interrupt(number: int, frame: Any) -> None:
    raise KeyboardInterrupt
