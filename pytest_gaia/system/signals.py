"""Signals that end this process: taken like Ctrl-C, held back for a moment, or as the end of what runs until then.

The system may deliver a signal to any thread, and just before the main thread begins to wait; Python runs the handler
only once that wait ends. So the main thread waits in rounds, with what stands at the end here.
"""

import math
import queue
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from types import FrameType
from typing import NoReturn, TypeAlias, TypeVar

T = TypeVar("T")

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

ROUND = 0.5
"""seconds of one wait at most, after which a signal is heard that came in it"""

_Handler: TypeAlias = Callable[[int, FrameType | None], object] | int | None


class Ended(BaseException):
    """A signal asked this process to end."""


@contextmanager
def like_interrupts() -> Iterator[None]:
    """Let SIGTERM and SIGHUP do what Ctrl-C does, each time: what is under way tidies up, a second one hurries it.

    Nothing changes outside of the main thread, which alone hears signals.
    """

    def interrupt(number: int, frame: FrameType | None) -> NoReturn:
        raise KeyboardInterrupt

    heeded = _heeded(signal.SIGTERM, signal.SIGHUP)
    try:
        _handle(heeded, interrupt)
        yield
    finally:
        _restore(heeded)


@contextmanager
def held_back() -> Iterator[None]:
    """Let signals that end this process come at the end of the block, and not within it.

    Nothing changes outside of the main thread, which alone hears signals.
    """
    came: list[int] = []
    heeded = _heeded(*ENDING)
    _handle(heeded, lambda number, _: came.append(number))
    try:
        yield
    finally:
        _restore(heeded)
        for number in dict.fromkeys(came):
            signal.raise_signal(number)


@contextmanager
def until_signalled() -> Iterator[None]:
    """Raise ``Ended`` at the first SIGINT, SIGTERM or SIGHUP. Afterwards they are ignored, so that stopping can finish."""

    def end() -> NoReturn:
        raise Ended

    heeded = _heeded(*ENDING)
    try:
        _handle(heeded, _once(heeded, end))
        yield
    finally:
        _handle(heeded, signal.SIG_IGN)


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
    heeded = _heeded(*ENDING)
    try:
        _handle(heeded, _once(heeded, stop.ask))
        yield stop
    finally:
        _restore(heeded)


def _heeded(*numbers: signal.Signals) -> dict[signal.Signals, _Handler]:
    """Return those of ``numbers`` that this process heeds, with their handlers; none outside of the main thread."""
    if threading.current_thread() is not threading.main_thread():
        return {}
    known = {each: signal.getsignal(each) for each in numbers}
    # What the shell has us ignore (nohup, a background job) stays ignored; None is a handler that Python did not set.
    return {each: handler for each, handler in known.items() if handler not in (signal.SIG_IGN, None)}


def _once(heeded: Iterable[signal.Signals], end: Callable[[], object]) -> _Handler:
    """Return a handler that calls ``end`` for the first signal, and has those after it ignored."""

    def handle(number: int, frame: FrameType | None) -> None:
        _handle(heeded, signal.SIG_IGN)
        end()

    return handle


def _handle(numbers: Iterable[signal.Signals], handler: _Handler) -> None:
    for each in numbers:
        signal.signal(each, handler)


def _restore(handlers: Mapping[signal.Signals, _Handler]) -> None:
    for each, handler in handlers.items():
        signal.signal(each, handler)


def rounds(seconds: float = math.inf) -> Iterator[float]:
    """Divide ``seconds`` into waits of ``ROUND``: yield the length of each, at least one, until the time has passed."""
    until = time.monotonic() + seconds
    yield max(0.0, min(seconds, ROUND))
    while (left := until - time.monotonic()) > 0:
        yield min(left, ROUND)


def take(source: queue.SimpleQueue[T], seconds: float = math.inf) -> T:
    """Return what arrives next. Raises ``queue.Empty`` where nothing does in time."""
    for each in rounds(seconds):
        with suppress(queue.Empty):
            return source.get(timeout=each)
    raise queue.Empty


def wait_for(event: threading.Event, seconds: float = math.inf) -> bool:
    """Wait until ``event`` is set; return whether it is."""
    return any(event.wait(each) for each in rounds(seconds))


def join(thread: threading.Thread) -> None:
    """Wait until ``thread`` has ended."""
    while thread.is_alive():
        thread.join(ROUND)
