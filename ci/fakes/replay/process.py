"""Code that both tools share: help, output, waiting, signals, and recording calls."""

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
"""maximum seconds of a slow call, so that nothing hangs"""
_SLICE = 0.05
"""seconds of one wait: a signal just before a wait is handled only after it"""


class Process:
    """Output and waiting of a command."""

    def say(self, text: str) -> None:
        """Print to standard output, unbuffered."""
        print(text, flush=True)

    def note(self, text: str) -> None:
        """Print to standard error, unbuffered."""
        print(text, file=sys.stderr, flush=True)

    def follow(self, seconds: float) -> None:
        """Wait for a signal, at most for the given time."""
        end = time.monotonic() + min(seconds, LONGEST)
        while (left := end - time.monotonic()) > 0:
            time.sleep(min(left, _SLICE))


def answer(tool: str, words: Sequence[str], run: Callable[[list[str], Store], int], *, interrupted: int) -> int:
    """Run one command line of ``tool`` and return its exit code, which is ``interrupted`` after a signal.

    Record the call in the state file, even if ``run`` raises.
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
