"""Commands that run until somebody ends them: what Ctrl-C, SIGTERM and SIGHUP do."""

from __future__ import annotations

import queue
import signal
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType


class Ended(BaseException):
    """A signal asked this process to end."""


@contextmanager
def until_signalled() -> Iterator[None]:
    """Raise ``Ended`` at the first SIGINT, SIGTERM or SIGHUP. Afterwards they are ignored, so that stopping can finish."""

    def end() -> NoReturn:
        raise Ended

    with _heeding(end):
        yield


class Stop:
    """What a loop waits on between two rounds. ``threading.Event`` can lock up where a signal handler sets it."""

    def __init__(self) -> None:
        self.asked = False
        self._queue: queue.SimpleQueue[None] = queue.SimpleQueue()

    def ask(self) -> None:
        """Ask the loop to end; may be called at any moment."""
        self.asked = True
        # This call is reentrant by its documentation.
        self._queue.put(None)

    def wait(self, seconds: float) -> bool:
        """Wait, and return whether the loop has to end; at once where it has."""
        if not self.asked:
            with suppress(queue.Empty):
                self._queue.get(timeout=max(0.0, seconds))
        return self.asked


@contextmanager
def stopped_by_signals() -> Iterator[Stop]:
    """Give a loop what the first SIGINT, SIGTERM or SIGHUP ends; later ones are ignored."""
    stop = Stop()
    with _heeding(stop.ask):
        yield stop


@contextmanager
def _heeding(end: Callable[[], object]) -> Iterator[None]:
    # A signal that the shell has us ignore (nohup, a background job) stays ignored.
    heeded = [
        each for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP) if signal.getsignal(each) != signal.SIG_IGN
    ]

    def ignore() -> None:
        for each in heeded:
            signal.signal(each, signal.SIG_IGN)

    def handle(number: int, frame: FrameType | None) -> None:
        ignore()
        end()

    for each in heeded:
        signal.signal(each, handle)
    try:
        yield
    finally:
        ignore()
