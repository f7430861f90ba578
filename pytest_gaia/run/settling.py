"""When has a member settled? One good answer may come from a machine that is about to go; several in a row do not."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pytest_gaia.config.platform import HTTP_SERVICES, MEMBERS

if TYPE_CHECKING:
    from pytest_gaia.config.environment import Environment
    from pytest_gaia.run.probes import Answer

_FIRST, _LONGEST, _FACTOR = 0.1, 1.0, 1.5
"""seconds before a member that did not answer is asked again, and how they grow: a waking machine is not hammered"""
_LONGEST_ASKED = 5.0
"""seconds that a server can ask to be left alone; it may be well before it thought"""
_BETWEEN = 0.25
"""seconds between two answers of one row"""


@dataclass(frozen=True, slots=True)
class Demand:
    """What a member has to do to count as there."""

    answers: int = 1
    """answers in a row that must say the same, release included"""
    healthy: frozenset[str] = frozenset()
    """members of which only an answer counts that says that all is well; of others, any answer does"""
    patient: bool = False
    """whether what is plainly not there (nothing listens, unknown host) may come before the deadline"""


ONE_ANSWER = Demand()


def demand_of(environment: Environment, *, deployed: bool = False) -> Demand:
    """Return what the members of ``environment`` have to do before the first test.

    After a deployment (``deployed``) only healthy answers count, and nobody gives up before the deadline.
    """
    if environment.sandbox or environment.deploy is None:
        return ONE_ANSWER
    healthy = frozenset(MEMBERS if deployed else ())
    return Demand(environment.deploy.answers, healthy, patient=deployed)


def as_it_should(environment: Environment, member: str, answer: Answer) -> bool:
    """Whether the answer says that all is well with ``member``, as far as ``environment`` can be well.

    A gateway that is meant to stand alone says ``degraded`` for as long as it lives.
    """
    alone = member == "gateway" and not set(HTTP_SERVICES) <= set(environment.services)
    return (answer.state is None and answer.vouched) or (alone and answer.state == "degraded")


@dataclass(slots=True)
class Row:
    """The answers of one member so far, as far as they are in a row."""

    asked: int
    only_healthy: bool = False
    length: int = 0
    last: Answer | None = None
    missed: bool = False
    """whether the last question brought no answer"""
    problem: str = ""
    """why the row had to begin anew, or has not begun"""

    def take(self, answer: Answer, *, well: bool) -> bool:
        """Count one answer; return whether the row is long enough."""
        same = self.last is not None and (self.last.state, self.last.version) == (answer.state, answer.version)
        self.last, self.missed = answer, False
        if self.only_healthy and not well:
            self.length, self.problem = 0, answer.detail or "does not say that it is healthy"
            return False
        if self.length and not same:
            self.problem = f"it answers now as one release, now as another; last: {answer.said}"
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

    def after_answer(self) -> float:
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
