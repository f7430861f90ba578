"""Signals at a moment at which nothing may be interrupted."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def held_back() -> Iterator[None]:
    """Let signals that end this process come at the end of the block, and not within it.

    Nothing changes outside of the main thread, which alone hears signals.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    # What the shell has us ignore (nohup, a background job) stays ignored; None is a handler that Python did not set.
    heeded = [each for each in _ENDING if signal.getsignal(each) not in (signal.SIG_IGN, None)]
    before = {each: signal.signal(each, lambda number, _: came.append(number)) for each in heeded}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
        for number in dict.fromkeys(came):
            signal.raise_signal(number)
