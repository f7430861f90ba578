"""Is the environment there? All members are asked at once, until each has answered or one deadline has passed.

Only the standard library is used: this runs before the first test, in every run, and must cost nothing but the wait.
"""

from __future__ import annotations

import queue
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_gaia.config.environment import HTTP_SERVICES, MEMBERS, NATS_DISABLED
from pytest_gaia.config.secrets import mask_url
from pytest_gaia.run.probes import Answer, Dead, NotYet, probe_http, probe_nats, probe_postgres

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pytest_gaia.config.environment import Environment

READY, WOKE, DEGRADED, UNHEALTHY, UNREACHABLE = "ready", "woke", "degraded", "unhealthy", "unreachable"
VIA_GATEWAY, DISABLED, ABSENT, STOPPED = "via gateway", "disabled", "not configured", "stopped"

_PAUSE = 0.1
_GRACE = 0.05
"""seconds past the deadline in which a probe that ended with it can still say what it saw"""
_SLOW_START = 2.0
"""seconds; a first answer that takes longer than this came from a machine that had to wake"""
_SURE_AFTER = 3
"""how many times in a row a failure that will not mend itself is seen before it is believed"""


@dataclass(frozen=True, slots=True)
class MemberState:
    """What one member turned out to be."""

    member: str
    state: str
    endpoint: str = ""
    detail: str = ""
    attempts: int = 0
    elapsed: float = 0.0
    version: str | None = None

    @property
    def reachable(self) -> bool:
        """Whether something answered there; a member that is not there to be asked counts as well."""
        return self.state != UNREACHABLE


def probe_members(
    environment: Environment,
    *,
    deadline: float,
    stopped: tuple[str, ...] = (),
    waiting: Callable[[tuple[str, ...]], None] = lambda _: None,
) -> tuple[MemberState, ...]:
    """Ask all members of ``environment`` at once; return one state each within ``deadline`` seconds.

    ``stopped`` are members that are down because the user wants them down: they are not asked. ``waiting`` is called
    about five times a second with the members that have not answered yet.
    """
    until = time.monotonic() + deadline
    states: dict[str, MemberState] = {}
    answers: queue.SimpleQueue[MemberState] = queue.SimpleQueue()
    pending: dict[str, str] = {}
    for member, endpoint, probe in _targets(environment):
        if probe is None or member in stopped:
            states[member] = MemberState(member, endpoint) if probe is None else _stopped(member, endpoint)
            continue
        pending[member] = endpoint
        arguments = (member, endpoint, probe, until, answers)
        # A daemon: a look-up that hangs in the system's resolver must not hold up the end of the run.
        threading.Thread(target=_watch, args=arguments, daemon=True, name=f"gaia-probe-{member}").start()
    while pending and (left := until + _GRACE - time.monotonic()) > 0:
        try:
            state = answers.get(timeout=min(0.2, left))
        except queue.Empty:
            waiting(tuple(pending))
            continue
        states[state.member] = state
        pending.pop(state.member)
    for member, endpoint in pending.items():
        states[member] = MemberState(member, UNREACHABLE, endpoint, "no answer", 1, deadline)
    return tuple(states[member] for member in MEMBERS if member in states)


def _stopped(member: str, endpoint: str) -> MemberState:
    return MemberState(member, STOPPED, endpoint, "as asked")


def _targets(environment: Environment) -> Iterator[tuple[str, str, Callable[[float], Answer] | None]]:
    """Yield member, endpoint (or the state, where there is nothing to ask) and how to ask it."""
    wait = environment.timeouts.connect
    for service in HTTP_SERVICES:
        if url := environment.urls.get(service):
            yield service, url, lambda left, url=url: probe_http(url, min(left, max(wait, _SLOW_START)))  # type: ignore[misc]  # mypy cannot type a default argument of a lambda
        elif service in environment.services:
            yield service, VIA_GATEWAY, None
    if environment.nats == NATS_DISABLED:
        yield "nats", DISABLED, None
    elif url := environment.nats:
        yield "nats", mask_url(url), lambda left, url=url: probe_nats(url, min(left, wait))  # type: ignore[misc]  # as above
    if environment.database is not None:
        dsn = environment.database.reveal()
        yield "postgres", mask_url(dsn), lambda left: probe_postgres(dsn, min(left, wait))
    elif "postgres" in environment.services:
        yield "postgres", ABSENT, None


def _watch(
    member: str,
    endpoint: str,
    probe: Callable[[float], Answer],
    until: float,
    answers: queue.SimpleQueue[MemberState],
) -> None:
    """Ask one member until it answers, until it is surely dead, or until the deadline; put its state into ``answers``."""
    began = time.monotonic()
    attempts = sure = 0
    detail = "no answer"
    while (left := until - time.monotonic()) > 0:
        attempts += 1
        try:
            answer = probe(left)
        except NotYet as problem:
            detail, sure = str(problem), 0
        except Dead as problem:
            detail, sure = str(problem), sure + 1
            if sure >= _SURE_AFTER:
                break
        else:
            answers.put(_answered(member, endpoint, answer, attempts, time.monotonic() - began))
            return
        threading.Event().wait(min(_PAUSE, max(0.0, until - time.monotonic())))
    answers.put(MemberState(member, UNREACHABLE, endpoint, detail, attempts, time.monotonic() - began))


def _answered(member: str, endpoint: str, answer: Answer, attempts: int, elapsed: float) -> MemberState:
    state, detail = answer.state or READY, answer.detail
    if state == READY and (attempts > 1 or elapsed > _SLOW_START):
        state, detail = WOKE, f"answered after {elapsed:.1f} s, attempt {attempts}"
    return MemberState(member, state, endpoint, detail, attempts, elapsed, answer.version)
