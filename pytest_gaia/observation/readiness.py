"""Is the environment there? All members are asked at once, until each has settled or one deadline has passed.

One good answer may come from a machine that is about to go; several in a row do not. Only the standard library is used:
this runs before the first test, in every run, and must cost nothing but the wait.
"""

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from pytest_gaia.config.environment import Environment
from pytest_gaia.config.platform import HTTP_SERVICES, SERVICES
from pytest_gaia.observation.asking import ABSENT, DISABLED, SLOW_START, VIA_GATEWAY, Target, ask_all, targets
from pytest_gaia.observation.probes import Dead, ProbeError, ProbeResult

_FIRST, _LONGEST, _FACTOR = 0.1, 1.0, 1.5
"""seconds before a member that did not answer is asked again, and how they grow: a waking machine is not hammered"""
_LONGEST_ASKED = 5.0
"""seconds that a server can ask to be left alone; it may be well before it thought"""
_BETWEEN = 0.25
"""seconds between two answers of one row"""
READY, WOKE, UNHEALTHY = "ready", "woke", "unhealthy"
UNSETTLED, UNREACHABLE, STOPPED = "unsettled", "unreachable", "stopped"
NOT_ASKED = (VIA_GATEWAY, DISABLED, ABSENT, STOPPED)
"""states of members that there was nothing to ask of"""
_GRACE = 0.05
"""seconds past the deadline in which a probe that ended with it can still say what it saw"""
_SURE_AFTER = 3
"""how many times in a row a failure that will not mend itself is seen before it is believed"""


@dataclass(frozen=True, slots=True)
class Demand:
    """What a member has to do to count as there."""

    successes: int = 1
    """answers in a row that must say the same, release included"""
    healthy: frozenset[str] = frozenset()
    """members of which only an answer counts that says that all is well; of others, any answer does"""
    patient: bool = False
    """whether what is plainly not there (nothing listens, unknown host) may come before the deadline"""


ONE_RESPONSE = Demand()


def demand_of(environment: Environment, *, deployed: bool = False) -> Demand:
    """Return what the members of ``environment`` have to do before the first test.

    After a deployment (``deployed``) only healthy answers count, and nobody gives up before the deadline.
    """
    if environment.sandbox or environment.deploy is None:
        return ONE_RESPONSE
    healthy = frozenset(SERVICES if deployed else ())
    return Demand(environment.deploy.consecutive_successes, healthy, patient=deployed)


def as_it_should(environment: Environment, service: str, result: ProbeResult) -> bool:
    """Whether the answer says that all is well with ``member``, as far as ``environment`` can be well.

    A gateway that is meant to stand alone says ``degraded`` for as long as it lives.
    """
    alone = service == "gateway" and not set(HTTP_SERVICES) <= set(environment.services)
    return (result.state is None and result.vouched) or (alone and result.state == "degraded")


@dataclass(slots=True)
class Row:
    """The answers of one member so far, as far as they are in a row."""

    asked: int
    only_healthy: bool = False
    length: int = 0
    last: ProbeResult | None = None
    missed: bool = False
    """whether the last question brought no answer"""
    problem: str = ""
    """why the row had to begin anew, or has not begun"""

    def take(self, result: ProbeResult, *, well: bool) -> bool:
        """Count one answer; return whether the row is long enough."""
        same = self.last is not None and (self.last.state, self.last.version) == (result.state, result.version)
        self.last, self.missed = result, False
        if self.only_healthy and not well:
            self.length, self.problem = 0, result.detail or "does not say that it is healthy"
            return False
        if self.length and not same:
            self.problem = f"it answers now as one release, now as another; last: {result.said}"
        self.length = self.length + 1 if same else 1
        return self.settled

    def broken(self, problem: str) -> None:
        """Count a question that brought no answer."""
        self.length, self.missed, self.problem = 0, True, problem

    @property
    def settled(self) -> bool:
        """Whether the row is long enough."""
        return self.length >= self.asked

    @property
    def reason(self) -> str:
        """Why the row is too short."""
        if self.asked == 1:
            return self.problem
        row = f"{self.length} good answers in a row, {self.asked} are asked for"
        return f"{self.problem} ({row})" if self.problem else row


@dataclass(slots=True)
class Pauses:
    """How long to wait before the next question; spread out, so that many runs do not ask at the same moments."""

    _next: float = field(default=_FIRST)

    def after_response(self) -> float:
        """Return the seconds to wait within a row."""
        self._next = _FIRST
        return _spread(_BETWEEN)

    def after_none(self, asked_for: float | None = None) -> float:
        """Return the seconds to wait after no answer, or after one that said how long (``Retry-After``)."""
        pause, self._next = self._next, min(self._next * _FACTOR, _LONGEST)
        return max(_spread(pause), min(asked_for or 0.0, _LONGEST_ASKED))


def _spread(seconds: float) -> float:
    # Nothing secret depends on it.
    return seconds * random.uniform(0.75, 1.25)  # noqa: S311


@dataclass(frozen=True, slots=True)
class ServiceState:
    """What one member turned out to be."""

    service: str
    state: str
    endpoint: str = ""
    detail: str = ""
    attempts: int = 0
    elapsed: float = 0.0
    """seconds until it had settled"""
    version: str | None = None
    cold_start_ms: float | None = None
    """milliseconds from the first question to the first answer. It is no part of any latency of the run"""
    remedy: str = ""
    """what to do, where that is known of what keeps it away"""
    settled: bool = True
    """whether it did what was demanded of it"""

    @property
    def reachable(self) -> bool:
        """Whether something answered there; a member that is not there to be asked counts as well."""
        return self.state != UNREACHABLE

    @property
    def asked(self) -> bool:
        """Whether there was anything to ask."""
        return self.state not in NOT_ASKED


def probe_services(
    environment: Environment,
    *,
    deadline: float,
    demand: Demand = ONE_RESPONSE,
    stopped: tuple[str, ...] = (),
    waiting: Callable[[tuple[str, ...]], None] = lambda _: None,
) -> tuple[ServiceState, ...]:
    """Ask all members of ``environment`` at once; return one state each within ``deadline`` seconds.

    ``stopped`` are members that are down because the user wants them down: they are not asked. ``waiting`` is called
    about five times a second with the members that have not settled yet.
    """
    over = threading.Event()
    states: dict[str, ServiceState] = {}
    watches: dict[str, _Watch] = {}
    for target in targets(environment):
        if target.ask is None:
            states[target.service] = ServiceState(target.service, target.endpoint)
        elif target.service in stopped:
            states[target.service] = ServiceState(target.service, STOPPED, target.endpoint, "as asked")
        else:
            watches[target.service] = _Watch(environment, target, demand, time.monotonic() + deadline, over)
    asks = {service: watch.run for service, watch in watches.items()}
    try:
        states |= ask_all(asks, deadline=deadline + _GRACE, waiting=waiting)
    finally:
        over.set()
    # What is left hangs in its last question.
    states |= {service: watch.state() for service, watch in watches.items() if service not in states}
    return tuple(states[service] for service in SERVICES if service in states)


class _Watch:
    """Asks one member until it has settled, until it is surely dead, or until the deadline."""

    def __init__(
        self, environment: Environment, target: Target, demand: Demand, until: float, over: threading.Event
    ) -> None:
        self.environment = environment
        self.target = target
        self.patient = demand.patient
        self.until = until
        self.over = over
        self.began = time.monotonic()
        self.attempts = self.sure = 0
        self.first: float | None = None
        """seconds to the first answer"""
        self.first_attempt = 0
        self.remedy = ""
        self.row = Row(demand.successes, target.service in demand.healthy)

    @property
    def elapsed(self) -> float:
        return time.monotonic() - self.began

    def run(self) -> ServiceState:
        """Ask; return what it turned out to be."""
        pauses = Pauses()
        pause = 0.0
        while (left := self.until - time.monotonic()) > 0 and not self.over.wait(min(pause, left)):
            try:
                settled = self._ask(self.until - time.monotonic())
            except ProbeError as problem:
                self.sure = self.sure + 1 if isinstance(problem, Dead) else 0
                self.remedy = problem.remedy
                self.row.broken(str(problem))
                if self.sure >= _SURE_AFTER and not self.patient:
                    break
                pause = pauses.after_none(problem.retry_after)
            else:
                if settled:
                    break
                pause = pauses.after_response() if self.row.length else pauses.after_none()
        return self.state()

    def _ask(self, left: float) -> bool:
        assert self.target.ask is not None
        self.attempts += 1
        result = self.target.ask(max(left, _GRACE))
        if self.first is None:
            self.first, self.first_attempt = self.elapsed, self.attempts
        self.sure, self.remedy = 0, ""
        return self.row.take(result, well=as_it_should(self.environment, self.target.service, result))

    def state(self) -> ServiceState:
        """Return what the member is as far as it is known by now."""
        result, first = self.row.last, self.first
        state, detail = _described(result, self.row)
        if state == READY and first is not None and (self.first_attempt > 1 or first > SLOW_START):
            state, detail = WOKE, f"first answer after {first:.1f} s, attempt {self.first_attempt}"
        elif state == READY and first is not None and self.row.asked > 1:
            detail = f"{self.row.asked} answers in a row, the first after {first * 1000:.0f} ms"
        return ServiceState(
            self.target.service,
            state,
            self.target.endpoint,
            detail,
            self.attempts,
            self.elapsed,
            result.version if result else None,
            None if first is None else round(first * 1000, 1),
            self.remedy,
            self.row.settled,
        )


def _described(result: ProbeResult | None, row: Row) -> tuple[str, str]:
    """Return the state of a member, and what is worth knowing of it."""
    if result is None:
        return UNREACHABLE, row.problem or "no response"
    if row.settled:
        return result.state or READY, result.detail
    return result.state if result.state and not row.missed else UNSETTLED, row.reason
