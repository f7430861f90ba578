"""The condition of a machine or container, in the words of every command, report and verdict."""

import datetime
from collections.abc import Iterator
from dataclasses import dataclass

from pytest_gaia.deploy.contract import Machine
from pytest_gaia.wording import counted

SERVING = ("started", "completed")
"""states of machines that do what they are for"""
SUSPENDED = ("stopped", "suspended")
"""states on Fly from which a request starts a machine"""
LOOP = 2
"""restarts by a restart policy after which a machine will not recover by itself: one may have been too early for a database"""
_SETTLED = 10.0
"""seconds that a machine must run after a restart by its restart policy before it counts as healthy"""
_SIGTERM, _SIGKILL = 143, 137
"""exit codes of processes that a signal ended: 128 and its number"""


@dataclass(frozen=True, slots=True)
class Condition:
    """The condition of one machine."""

    word: str
    """``healthy``, ``completed``, ``starting``, ``unhealthy``, ``restarting``, ``paused``, ``suspended``, ``stopped``,
    ``killed``, ``out of memory``, ``crashed``, ``created``, ``cordoned``, ``unreachable``, or a passing state of the tool"""
    text: str = ""
    """predicate of a sentence, such as ``was killed (exit code 137)``; empty if it is healthy or completed"""

    @property
    def good(self) -> bool:
        """Whether it is healthy or completed."""
        return not self.text


def condition(machine: Machine, taken: str = "") -> Condition:
    """Return the condition of ``machine``, observed at ``taken`` (ISO 8601)."""
    if not machine.host_ok:
        return Condition("unreachable", "is on a host that does not respond")
    if machine.state == "completed":
        return Condition("completed")
    if machine.state == "started":
        return _of_started(machine, taken)
    if machine.state == "restarting":
        return Condition("restarting", f"is restarting: it {restarted(machine)}")
    if machine.state == "paused":
        return Condition("paused", "is paused")
    return _of_stopped(machine)


def _of_stopped(machine: Machine) -> Condition:
    if machine.out_of_memory:
        return Condition("out of memory", f"ran out of memory{_code(machine)}")
    if machine.exit_code is not None:
        return _of_ended(machine)
    if machine.crashed:
        return Condition("crashed", "crashed or ran out of memory")
    if machine.state == "created":
        return Condition("created", "was created, but not started" + (f": {machine.error}" if machine.error else ""))
    return Condition(machine.state, f"is {machine.state}, not started")


def label(machine: Machine) -> str:
    """Return how messages call ``machine``."""
    return machine.label or f"machine {machine.id}"


def conditions(machines: tuple[Machine, ...], taken: str = "") -> Iterator[str]:
    """Yield a sentence without its full stop for each machine that is neither healthy nor completed."""
    for machine in machines:
        if text := condition(machine, taken).text:
            yield f"{label(machine)} {text}"


def is_final(machine: Machine) -> bool:
    """Whether only a request would change the condition of ``machine``, which is not good."""
    if machine.state == "restarting":
        return machine.restarts >= LOOP
    if machine.state == "started":
        # After a crash, Fly starts a machine again by itself.
        return False
    return machine.state == "paused" or machine.exit_code is not None or bool(machine.error)


def _of_started(machine: Machine, taken: str) -> Condition:
    checks = f"passes {machine.passing} of {machine.checks} health checks"
    if machine.out_of_memory:
        return Condition("out of memory", f"ran out of memory after it started{_code(machine)}")
    if machine.crashed:
        how = "or ran out of memory" if machine.exit_code is None else f"with exit code {machine.exit_code}"
        return Condition("crashed", f"crashed {how} after it started")
    if machine.cordoned:
        return Condition("cordoned", "is cordoned, so it gets no requests")
    if machine.restarts and (seconds := age(machine, taken)) is not None and seconds < _SETTLED:
        return Condition("restarting", f"{restarted(machine)}, and has run for {seconds:.0f} s only")
    if machine.critical:
        return Condition("unhealthy", f"is unhealthy: it {checks}")
    if machine.passing < machine.checks:
        seconds = age(machine, taken)
        starting = Condition("starting", f"is starting for {seconds or 0:.0f} s: it {checks}")
        return Condition("unhealthy", checks) if seconds is None else starting
    return Condition("healthy")


def restarted(machine: Machine) -> str:
    """Return how often ``machine`` was restarted and, while it does not run, how its last run ended."""
    times = f"was restarted {counted(machine.restarts, 'time')}"
    if machine.state == "started":
        return times
    how = "ran out of memory" if machine.out_of_memory else f"ended with exit code {machine.exit_code}"
    return f"{times}, and its last run {how}"


def _of_ended(machine: Machine) -> Condition:
    error = f": {machine.error}" if machine.error else ""
    if machine.ended_by == "kill" or (machine.exit_code == _SIGKILL and not machine.ended_by):
        how = "was killed" if machine.ended_by else "was stopped or killed"
        return Condition("killed", f"{how}{_code(machine)}")
    if machine.ended_by == "stop" or machine.exit_code == _SIGTERM:
        return Condition("stopped", f"was stopped{_code(machine)}")
    if machine.exit_code == 0:
        return Condition("stopped", "ended with exit code 0")
    return Condition("crashed", f"crashed with exit code {machine.exit_code}{error}")


def _code(machine: Machine) -> str:
    return f" (exit code {machine.exit_code})" if machine.exit_code is not None else ""


def age(machine: Machine, taken: str) -> float | None:
    """Return the seconds from the start of ``machine`` to ``taken``; None if one of the two times is unknown."""
    try:
        started, now = datetime.datetime.fromisoformat(machine.started_at), datetime.datetime.fromisoformat(taken)
        return max(0.0, (now - started).total_seconds())
    except (TypeError, ValueError):
        return None
