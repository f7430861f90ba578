"""Commands that run until somebody ends them: what Ctrl-C, SIGTERM and SIGHUP do."""

from __future__ import annotations

import queue
import signal
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, NoReturn

from pytest_gaia.system.waiting import take

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from types import FrameType
    from typing import TypeAlias

    _Handler: TypeAlias = Callable[[int, FrameType | None], object] | int | None


class Ended(BaseException):
    """A signal asked this process to end."""


@contextmanager
def until_signalled() -> Iterator[None]:
    """Raise ``Ended`` at the first SIGINT, SIGTERM or SIGHUP. Afterwards they are ignored, so that stopping can finish."""

    def end() -> NoReturn:
        raise Ended

    with _heeding(end) as heeded:
        try:
            yield
        finally:
            _ignore(heeded)


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
                take(self._queue, seconds)
        return self.asked


@contextmanager
def stopped_by_signals() -> Iterator[Stop]:
    """Give a loop what the first SIGINT, SIGTERM or SIGHUP ends; later ones are ignored until it has ended."""
    stop = Stop()
    with _heeding(stop.ask) as heeded:
        try:
            yield stop
        finally:
            for each, handler in heeded.items():
                signal.signal(each, handler)


@contextmanager
def _heeding(end: Callable[[], object]) -> Iterator[dict[signal.Signals, _Handler]]:
    """Let the first signal call ``end``, and ignore those after it; give the signals with their handlers before."""
    known = {each: signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    # A signal that the shell has us ignore (nohup, a background job) stays ignored.
    heeded = {each: handler for each, handler in known.items() if handler != signal.SIG_IGN}

    def handle(number: int, frame: FrameType | None) -> None:
        _ignore(heeded)
        end()

    for each in heeded:
        signal.signal(each, handle)
    yield heeded


def _ignore(signals: Iterable[signal.Signals]) -> None:
    for each in signals:
        signal.signal(each, signal.SIG_IGN)
