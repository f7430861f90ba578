"""Waiting on the main thread, so that it hears of signals.

The system may deliver a signal to any thread, and just before the main thread begins to wait; Python runs the handler
only once that wait ends. So nothing waits for long at a time.
"""

from __future__ import annotations

import math
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import TypeVar

T = TypeVar("T")

ROUND = 0.5
"""seconds of one wait at most, after which a signal is heard that came in it"""


def rounds(seconds: float = math.inf) -> Iterator[float]:
    """Divide ``seconds`` into waits of ``ROUND``: yield the length of each, at least one, until the time has passed."""
    until = time.monotonic() + seconds
    yield max(0.0, min(seconds, ROUND))
    while (left := until - time.monotonic()) > 0:
        yield min(left, ROUND)


def take(source: SimpleQueue[T], seconds: float = math.inf) -> T:
    """Return what arrives next. Raises ``queue.Empty`` where nothing does in time."""
    for each in rounds(seconds):
        with suppress(Empty):
            return source.get(timeout=each)
    raise Empty


def wait_for(event: threading.Event, seconds: float = math.inf) -> bool:
    """Wait until ``event`` is set; return whether it is."""
    return any(event.wait(each) for each in rounds(seconds))


def result_of(future: Future[T]) -> T:
    """Return, or raise, what ``future`` ends with."""
    while not future.done():
        # What its function raises is not raised here, so this is the time that has passed.
        with suppress(TimeoutError):
            future.exception(ROUND)
    return future.result()


def join(thread: threading.Thread) -> None:
    """Wait until ``thread`` has ended."""
    while thread.is_alive():
        thread.join(ROUND)


def exit_code_of(process: subprocess.Popen[str]) -> int:
    """Wait until ``process`` has ended."""
    while True:
        with suppress(subprocess.TimeoutExpired):
            return process.wait(ROUND)


def output_of(process: subprocess.Popen[str]) -> str:
    """Wait until ``process`` has ended; return what it wrote to its pipe."""
    while True:
        # Nothing that was read is lost when the time passes.
        with suppress(subprocess.TimeoutExpired):
            return process.communicate(timeout=ROUND)[0]
