"""The environment at the end of a run: is it still the one that the first test met?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_gaia.run.readiness import READY, WOKE, probe_members
from pytest_gaia.run.settling import Demand

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from pytest_gaia.config.environment import Environment
    from pytest_gaia.run.readiness import MemberState

_WELL = (READY, WOKE)


@dataclass(frozen=True, slots=True)
class Ending:
    """What was another at the end than before the first test, one sentence each."""

    gone: tuple[str, ...] = ()
    """required members that no longer answer: what failed may have failed for want of them"""
    changed: tuple[str, ...] = ()
    """another release, or a required member that was well and is not: evidence of two things, and of neither"""
    noted: tuple[str, ...] = ()
    """members that are not required and no longer answer"""


def look_again(
    environment: Environment,
    before: Sequence[MemberState],
    *,
    deadline: float,
    waiting: Callable[[tuple[str, ...]], None] = lambda _: None,
) -> Ending:
    """Ask the members that answered ``before`` once more, and say what has become of them.

    A member that was well has until ``deadline`` (seconds) to be so again: machines may have gone to sleep meanwhile.
    """
    met = {state.member: state for state in before if state.asked and state.reachable}
    left_out = tuple(state.member for state in before if state.member not in met)
    was_well = frozenset(member for member, state in met.items() if state.state in _WELL)
    demand = Demand(healthy=was_well & set(environment.required))
    now = probe_members(environment, deadline=deadline, demand=demand, stopped=left_out, waiting=waiting)
    pairs = [(met[state.member], state) for state in now if state.member in met]
    silent = [(state.member, _gone(state)) for _, state in pairs if not state.reachable]
    return Ending(
        gone=tuple(sentence for member, sentence in silent if member in environment.required),
        changed=tuple(sentence for then, state in pairs for sentence in _changes(environment, then, state)),
        noted=tuple(sentence for member, sentence in silent if member not in environment.required),
    )


def _gone(state: MemberState) -> str:
    return f"{state.member} answered before the first test and no longer does: {state.detail}"


def _changes(environment: Environment, then: MemberState, now: MemberState) -> Iterator[str]:
    if not now.reachable:
        return
    worse = not now.settled if then.state in _WELL else now.state not in (*_WELL, then.state)
    if now.member in environment.required and worse:
        yield f"{now.member} was {then.state} before the first test and is {now.state} at the end: {now.detail}"
    if now.version != then.version:
        yield f"{now.member} is version {now.version or 'unknown'} at the end, it was {then.version or 'unknown'}"
