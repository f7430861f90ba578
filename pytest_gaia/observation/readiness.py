"""Wait until an environment is ready: probe all services in parallel until each is stable or the deadline passes.

One success may come from a machine that is about to stop, so several consecutive successes are required after a
deployment. This runs before the first test of every run and uses only the standard library, to save imports.
"""

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from pytest_gaia.config.environment import Environment
from pytest_gaia.observation.probes import PermanentProbeError, ProbeError, ProbeResult
from pytest_gaia.observation.targets import ABSENT, DISABLED, SLOW_START, VIA, Target, run_all, targets

_FIRST, _LONGEST, _FACTOR = 0.1, 1.0, 1.5
"""seconds before the next probe after a failure: the first, the longest, and the factor of growth"""
_LONGEST_ASKED = 5.0
"""seconds; the limit for ``Retry-After``, because a server may recover earlier"""
_BETWEEN = 0.25
"""seconds between two consecutive successes"""
READY, STARTED, UNHEALTHY = "ready", "started", "unhealthy"
UNSETTLED, UNREACHABLE, STOPPED = "unsettled", "unreachable", "stopped"
NOT_ASKED = (DISABLED, ABSENT, STOPPED)
"""states of services that were not probed, other than :data:`VIA`"""
_GRACE = 0.05
"""seconds after the deadline in which a probe can still return its result"""
_SURE_AFTER = 3
"""consecutive permanent errors after which waiting ends"""
_SHORT = 1.0
"""seconds in which even a healthy service may not respond"""


@dataclass(frozen=True, slots=True)
class Demand:
    """The requirements for a service to be ready."""

    successes: int = 1
    """consecutive equal responses, version included"""
    healthy: frozenset[str] = frozenset()
    """services that must report to be healthy; of others, any response counts"""
    patient: bool = False
    """whether to wait until the deadline after permanent errors (connection refused, unknown host)"""


ONE_RESPONSE = Demand()


def demand_of(environment: Environment, *, deployed: bool = False) -> Demand:
    """Return the requirements for the services of ``environment`` before the first test.

    After a deployment (``deployed``) only healthy responses count, and probes continue until the deadline. External
    services were not deployed.
    """
    if environment.sandbox or environment.deploy is None:
        return ONE_RESPONSE
    services = environment.platform.services if deployed else {}
    healthy = frozenset(name for name, service in services.items() if not service.external)
    return Demand(environment.deploy.consecutive_successes, healthy, patient=deployed)


def is_as_expected(environment: Environment, service: str, result: ProbeResult) -> bool:
    """Whether the result is healthy for ``service`` in ``environment``.

    Where the environment lacks a service that it depends on, the values ``partial`` of its description are healthy too.
    """
    if result.state is None:
        return result.confirmed
    return result.partial and environment.platform.lacks_dependency(service, environment.services)


@dataclass(slots=True)
class Row:
    """The consecutive successful probes of one service."""

    asked: int
    only_healthy: bool = False
    length: int = 0
    last: ProbeResult | None = None
    missed: bool = False
    """whether the last probe had no response"""
    problem: str = ""
    """why the count restarted, or has not begun"""

    def take(self, result: ProbeResult, *, well: bool) -> bool:
        """Count one response; return whether more of them would change nothing."""
        same = self.last is not None and (self.last.state, self.last.version) == (result.state, result.version)
        self.last, self.missed = result, False
        if self.only_healthy and not well and not result.mute:
            self.length, self.problem = 0, result.detail or "does not report to be healthy"
            return False
        if self.length and not same:
            self.problem = f"responses alternate between versions or states; last: {result.said}"
        self.length = self.length + 1 if same else 1
        return self.length >= self.asked

    def broken(self, problem: str) -> None:
        """Count a probe without a response."""
        self.length, self.missed, self.problem = 0, True, problem

    @property
    def settled(self) -> bool:
        """Whether there are enough consecutive successes."""
        return self.length >= self.asked and not self.is_no_evidence

    @property
    def is_no_evidence(self) -> bool:
        """Whether only a healthy response counts, and the service has no way to give one."""
        return self.only_healthy and self.last is not None and self.last.mute

    @property
    def reason(self) -> str:
        """Why there are too few consecutive successes."""
        if self.is_no_evidence and not self.missed:
            return "it accepts connections, which does not show after a deployment that it is healthy"
        if self.asked == 1:
            return self.problem
        row = f"{self.length} of {self.asked} consecutive successes"
        return f"{self.problem} ({row})" if self.problem else row


@dataclass(slots=True)
class Pauses:
    """The pauses between probes, with jitter so that parallel runs do not probe at the same moments."""

    _next: float = field(default=_FIRST)

    def after_response(self) -> float:
        """Return the seconds to wait after a success."""
        self._next = _FIRST
        return _spread(_BETWEEN)

    def after_none(self, asked_for: float | None = None) -> float:
        """Return the seconds to wait after a failure; ``asked_for`` is the value of ``Retry-After``."""
        pause, self._next = self._next, min(self._next * _FACTOR, _LONGEST)
        return max(_spread(pause), min(asked_for or 0.0, _LONGEST_ASKED))


def _spread(seconds: float) -> float:
    # Not used for secrets.
    return seconds * random.uniform(0.75, 1.25)  # noqa: S311


@dataclass(frozen=True, slots=True)
class ServiceState:
    """The state of one service after the probes."""

    service: str
    state: str
    endpoint: str = ""
    detail: str = ""
    attempts: int = 0
    elapsed: float = 0.0
    """seconds until it was stable"""
    version: str | None = None
    cold_start_ms: float | None = None
    """milliseconds from the first probe to the first response; not part of the latencies of the run"""
    remedy: str = ""
    """what to do, if there is a specific remedy"""
    settled: bool = True
    """whether it met the requirements"""
    late: bool = False
    """whether its last probe failed for a reason that may pass, such as no response in time or a 503"""
    is_out: bool = False
    """whether its containers do not serve it, whatever responds"""

    @property
    def reachable(self) -> bool:
        """Whether it responded, or was not probed."""
        return self.state != UNREACHABLE and not self.is_out

    @property
    def asked(self) -> bool:
        """Whether it was probed."""
        return self.state not in NOT_ASKED and not self.is_forwarded

    @property
    def is_forwarded(self) -> bool:
        """Whether it is only reached through another service."""
        return self.state.startswith(VIA)


def probe_services(
    environment: Environment,
    *,
    deadline: float,
    demand: Demand = ONE_RESPONSE,
    stopped: tuple[str, ...] = (),
    waiting: Callable[[tuple[str, ...]], None] = lambda _: None,
) -> tuple[ServiceState, ...]:
    """Probe all services of ``environment`` in parallel; return one state each within ``deadline`` seconds.

    The states are in the order of declaration.
    ``stopped`` lists services that the user has stopped: they are not probed. ``waiting`` is called about five times a
    second with the services that are not ready yet.
    """
    return Probes(environment, deadline=deadline, demand=demand, stopped=stopped).states(waiting)


class Probes:
    """The probes of one environment, as for :func:`probe_services`. Raises ``ConfigError`` for invalid variables."""

    def __init__(
        self, environment: Environment, *, deadline: float, demand: Demand = ONE_RESPONSE, stopped: tuple[str, ...] = ()
    ) -> None:
        self.until = time.monotonic() + deadline
        """the time at which they end; it can be changed while they run"""
        self.over = threading.Event()
        """set to end them now"""
        self.pending: tuple[str, ...] = ()
        """the services that are not ready yet"""
        self.given_up: frozenset[str] = frozenset()
        """services for which they do not wait; it can be changed while they run"""
        self._states: dict[str, ServiceState] = {}
        self._watches: dict[str, _Watch] = {}
        self._targets = tuple(targets(environment))
        for target in self._targets:
            if target.ask is None:
                self._states[target.service] = ServiceState(target.service, target.endpoint)
            elif target.service in stopped:
                self._states[target.service] = ServiceState(target.service, STOPPED, target.endpoint, "as requested")
            else:
                self._watches[target.service] = _Watch(environment, target, demand, self)

    def states(self, waiting: Callable[[tuple[str, ...]], None] = lambda _: None) -> tuple[ServiceState, ...]:
        """Run them; return the states in the order of declaration."""

        def wait(pending: tuple[str, ...]) -> None:
            self.pending = pending
            waiting(pending)

        asks = {service: watch.run for service, watch in self._watches.items()}
        try:
            found = run_all(asks, unwanted=self._are_over, waiting=wait)
        finally:
            self.over.set()
        # The rest hang in their last probe.
        late = {service: watch.state() for service, watch in self._watches.items() if service not in found}
        found |= self._states | late
        return tuple(found[target.service] for target in self._targets)

    def _are_over(self) -> bool:
        is_late = time.monotonic() > self.until + _GRACE
        return is_late or (bool(self.pending) and self.given_up.issuperset(self.pending))


class _Watch:
    """Probes one service until it is stable, fails permanently, or reaches the deadline."""

    def __init__(self, environment: Environment, target: Target, demand: Demand, probes: Probes) -> None:
        self.environment = environment
        self.target = target
        self.patient = demand.patient
        self.probes = probes
        self.began = time.monotonic()
        self.attempts = self.sure = 0
        self.first: float | None = None
        """seconds to the first response"""
        self.first_attempt = 0
        self.remedy = ""
        self.row = Row(demand.successes, target.service in demand.healthy)

    @property
    def elapsed(self) -> float:
        return time.monotonic() - self.began

    def run(self) -> ServiceState:
        """Probe; return the final state."""
        pauses = Pauses()
        pause = 0.0
        probes = self.probes
        while (left := probes.until - time.monotonic()) > 0 and not probes.over.wait(min(pause, left)):
            left = probes.until - time.monotonic()
            try:
                settled = self._ask(left)
            except ProbeError as problem:
                if left < _SHORT and self.attempts > 1 and time.monotonic() >= probes.until:
                    # The deadline ended this attempt, so the one before has the better reason.
                    break
                self.sure = self.sure + 1 if isinstance(problem, PermanentProbeError) else 0
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
        return self.row.take(result, well=is_as_expected(self.environment, self.target.service, result))

    def state(self) -> ServiceState:
        """Return the state so far."""
        result, first = self.row.last, self.first
        state, detail = _described(result, self.row)
        if state == READY and first is not None and (self.first_attempt > 1 or first > SLOW_START):
            state, detail = STARTED, f"cold start: first response after {first:.1f} s, attempt {self.first_attempt}"
        elif state == READY and first is not None and self.row.asked > 1:
            detail = f"{self.row.asked} consecutive successes, the first after {first * 1000:.0f} ms"
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
            self.row.missed and not self.sure,
        )


def _described(result: ProbeResult | None, row: Row) -> tuple[str, str]:
    """Return the state of a service and a detail to show."""
    if result is None:
        return UNREACHABLE, row.problem or "no response"
    if row.settled:
        return result.state or READY, result.detail
    return result.state if result.state and not row.missed else UNSETTLED, row.reason
