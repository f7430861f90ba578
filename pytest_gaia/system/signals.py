"""Handle signals that end this process, and wait without blocking them.

The system may deliver a signal to any thread, or just before the main thread begins to wait. Python runs the handler only
after that wait. The functions at the end of this module therefore wait in short rounds.
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
"""maximum seconds of one wait, after which Python runs the handlers of signals"""

_Handler: TypeAlias = Callable[[int, FrameType | None], object] | int | None


class Ended(BaseException):
    """This process got a signal to end."""


@contextmanager
def like_interrupts() -> Iterator[None]:
    """Raise ``KeyboardInterrupt`` for SIGTERM and SIGHUP during the block, as Ctrl-C does.

    Has no effect outside of the main thread.
    """

    def interrupt(number: int, frame: FrameType | None) -> NoReturn:
        raise KeyboardInterrupt

    handled = _handled(signal.SIGTERM, signal.SIGHUP)
    try:
        _handle(handled, interrupt)
        yield
    finally:
        _restore(handled)


@contextmanager
def held_back(*numbers: signal.Signals) -> Iterator[None]:
    """Defer these signals, by default those that end this process, to the end of the block.

    Has no effect outside of the main thread.
    """
    came: list[int] = []
    handled = _handled(*(numbers or ENDING))
    _handle(handled, lambda number, _: came.append(number))
    try:
        yield
    finally:
        _restore(handled)
        for number in dict.fromkeys(came):
            signal.raise_signal(number)


@contextmanager
def until_signalled() -> Iterator[None]:
    """Raise ``Ended`` at the first SIGINT, SIGTERM or SIGHUP. Afterwards they are ignored, so that stopping can finish."""

    def end() -> NoReturn:
        raise Ended

    handled = _handled(*ENDING)
    try:
        _handle(handled, _once(handled, end))
        yield
    finally:
        _handle(handled, signal.SIG_IGN)


class Stop:
    """Stop flag of a loop. A signal handler can set it, unlike ``threading.Event``, which may deadlock."""

    def __init__(self) -> None:
        self.asked = False
        self._queue: queue.SimpleQueue[None] = queue.SimpleQueue()

    def ask(self) -> None:
        """Request the end of the loop. Can be called at any time."""
        self.asked = True
        # This call is documented as reentrant.
        self._queue.put(None)

    def wait(self, seconds: float) -> bool:
        """Wait until the end is requested or ``seconds`` pass; return whether it is requested."""
        if not self.asked:
            with suppress(queue.Empty):
                take(self._queue, seconds)
        return self.asked


@contextmanager
def stopped_by_signals() -> Iterator[Stop]:
    """Yield a stop flag that the first SIGINT, SIGTERM or SIGHUP sets; ignore later ones during the block."""
    stop = Stop()
    handled = _handled(*ENDING)
    try:
        _handle(handled, _once(handled, stop.ask))
        yield stop
    finally:
        _restore(handled)


def _handled(*numbers: signal.Signals) -> dict[signal.Signals, _Handler]:
    """Return the signals that this process handles, with their handlers; none outside of the main thread."""
    if threading.current_thread() is not threading.main_thread():
        return {}
    known = {each: signal.getsignal(each) for each in numbers}
    # Signals that the shell ignores (nohup, a background job) stay ignored; None is a handler that Python did not set.
    return {each: handler for each, handler in known.items() if handler not in (signal.SIG_IGN, None)}


def _once(handled: Iterable[signal.Signals], end: Callable[[], object]) -> _Handler:
    """Return a handler that calls ``end`` for the first signal, and ignores later ones."""

    def handle(number: int, frame: FrameType | None) -> None:
        _handle(handled, signal.SIG_IGN)
        end()

    return handle


def _handle(numbers: Iterable[signal.Signals], handler: _Handler) -> None:
    for each in numbers:
        signal.signal(each, handler)


def _restore(handlers: Mapping[signal.Signals, _Handler]) -> None:
    for each, handler in handlers.items():
        signal.signal(each, handler)


def rounds(seconds: float = math.inf) -> Iterator[float]:
    """Yield the lengths of waits of at most ``ROUND``, at least one, until ``seconds`` have passed."""
    until = time.monotonic() + seconds
    yield max(0.0, min(seconds, ROUND))
    while (left := until - time.monotonic()) > 0:
        yield min(left, ROUND)


def take(source: queue.SimpleQueue[T], seconds: float = math.inf) -> T:
    """Return the next item. Raises ``queue.Empty`` after ``seconds``."""
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
