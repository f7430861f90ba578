"""What one service can take: the limit of requests in flight, the pause that a 429 asks for, and the circuit breaker."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus

from pytest_gaia.clients.running import CURRENT, RUNNING, RunningTest
from pytest_gaia.errors import NotSent

_ROW = 3
"""exceeded time limits in a row after which a service gets no more requests"""
_TESTS = 2
"""tests that they must belong to, because a single test may request something that hangs"""
_PAUSE = 30.0
"""seconds until one request is sent to find out whether the service responds again"""
_SETTLING = 1.0
"""seconds in which a smaller limit takes effect; a request of this time does not halve it again"""


class ServiceLimits:
    """Decides when each request to one service is sent, in one event loop.

    * At most ``most`` requests are in flight. The others wait, in the order of their arrival.
    * After three exceeded time limits in a row, no request is sent for 30 seconds, and then one whose response ends this.
    * In a run with ``concurrency`` > 1, a 429 halves the number of requests in flight for the rest of the run, and no
      request is sent before the end of its ``Retry-After``.
    """

    def __init__(self, service: str, *, most: int, concurrency: int, response: float) -> None:
        """``response`` is the time limit for a response, in seconds."""
        self.most = most
        self.before = min(most, concurrency)
        """limit before the first 429"""
        self.throttled = False
        """whether there was a 429 that halved it"""
        self._service = service
        self._concurrent = concurrency > 1
        self._response = response
        self._in_flight = 0
        self._waiting: deque[asyncio.Future[bool]] = deque()
        """those that wait; the result is whether the request is a trial"""
        self._resumes = 0.0
        """time of the loop at which requests may be sent again after a 429"""
        self._asked = 0.0
        """the seconds that it asked for"""
        self._settled = 0.0
        """time from which requests show whether the limit is still too high"""
        self._late: list[str | int] = []
        """test of each time limit that was exceeded since the last response"""
        self._retries = math.inf
        """time of the trial; infinite for a service that responds"""
        self._on_trial = False

    async def enter(self) -> Place:
        """Wait until a request may be sent, and return its place. Raises ``NotSent`` if it is not sent."""
        now = asyncio.get_running_loop().time()
        if problem := self._problem(now):
            raise self._not_sent(problem)
        if not self._waiting and self._is_free(now):
            return Place(self, is_trial=self._admit())
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            return Place(self, is_trial=await turn)
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                # Its turn came at the moment of the cancellation.
                Place(self, is_trial=turn.result()).leave()
            raise

    def leave(self, *, was_trial: bool) -> None:
        """End a request."""
        self._in_flight -= 1
        if was_trial:
            self._on_trial = False
        self._continue()

    def responded(self, status: int, retry_after: str, started: float) -> None:
        """Note a response to a request that was sent at ``started``, a time of the event loop."""
        self._late.clear()
        self._retries = math.inf
        if status == HTTPStatus.TOO_MANY_REQUESTS and self._concurrent:
            loop = asyncio.get_running_loop()
            self._reduce(started, loop.time())
            if (pause := _seconds(retry_after)) > 0 and loop.time() + pause > self._resumes:
                self._resumes, self._asked = loop.time() + pause, pause
                # A loop may be early by the resolution of its clock.
                loop.call_at(self._resumes + 0.01, self._continue)
        self._continue()

    def exceeded(self, within: float) -> None:
        """Note a request without a complete response ``within`` so many seconds."""
        if within < self._response:
            # A limit of the test itself is no evidence about the service.
            return
        test = RUNNING.get()
        self._late.append(test.node or id(test) if isinstance(test, RunningTest) else CURRENT)
        if len(self._late) >= _ROW and len(set(self._late)) >= _TESTS:
            self._retries = asyncio.get_running_loop().time() + _PAUSE
            self._continue()

    def _reduce(self, started: float, now: float) -> None:
        if started < self._settled:
            return
        self.most = max(1, min(self.most, self.before) // 2)
        self.throttled = True
        self._settled = now + _SETTLING

    def _admit(self) -> bool:
        """Count a request in flight; return whether it is the trial of a service that did not respond."""
        self._in_flight += 1
        is_trial = self._retries < math.inf
        self._on_trial = self._on_trial or is_trial
        return is_trial

    def _is_free(self, now: float) -> bool:
        return self._in_flight < self.most and now >= self._resumes

    def _continue(self) -> None:
        """End the wait of requests that may be sent now, and of requests that are not sent."""
        if not self._waiting:
            return
        now = asyncio.get_running_loop().time()
        while self._waiting and ((problem := self._problem(now)) or self._is_free(now)):
            turn = self._waiting.popleft()
            if turn.done():
                continue
            if problem:
                turn.set_exception(self._not_sent(problem))
            else:
                turn.set_result(self._admit())

    def _problem(self, now: float) -> str:
        """Return why a request is not sent at all; empty if it is."""
        if self._retries < math.inf and (self._on_trial or now < self._retries):
            return f"has not responded to {_ROW} requests in a row, {self._response:g} s each"
        if self._resumes - now > self._response:
            return (
                f"returned 429 and asks for a pause of {self._asked:.0f} s, which is longer than its time limit for a "
                f"response ({self._response:g} s)"
            )
        return ""

    def _not_sent(self, problem: str) -> NotSent:
        return NotSent(self._service, problem)


class Place:
    """The place of one request among those in flight. It is given back once, at the latest at the request's time limit."""

    __slots__ = ("_is_trial", "_left", "_limits", "_responded", "_timer", "started")

    def __init__(self, limits: ServiceLimits, *, is_trial: bool) -> None:
        self._limits = limits
        self._is_trial = is_trial
        self._left = False
        self._responded = False
        self._timer: asyncio.TimerHandle | None = None
        self.started = asyncio.get_running_loop().time()

    def keep_until(self, until: float) -> None:
        """Give the place back at ``until``, a time of the event loop, at the latest.

        A test that does not read its stream to the end may wait for another request meanwhile.
        """
        self._timer = asyncio.get_running_loop().call_at(until, self.leave)

    def responded(self, status: int, retry_after: str) -> None:
        """Note the response."""
        if not self._responded:
            self._responded = True
            self._limits.responded(status, retry_after, self.started)

    def exceeded(self, within: float) -> None:
        """Note that the response was not complete ``within`` so many seconds."""
        if not self._responded:
            self._limits.exceeded(within)

    def leave(self) -> None:
        """Give the place back."""
        if self._timer is not None:
            self._timer.cancel()
        if not self._left:
            self._left = True
            self._limits.leave(was_trial=self._is_trial)


def _seconds(retry_after: str) -> float:
    """Return the seconds of a ``Retry-After``: a number, or a date of HTTP; 0 for anything else."""
    try:
        return float(int(retry_after))
    except ValueError:
        pass
    try:
        moment = parsedate_to_datetime(retry_after)
    except ValueError:
        return 0.0
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() - datetime.now(UTC).timestamp()
