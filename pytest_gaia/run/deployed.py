"""What is deployed, looked at before the first test and after the last. Nothing is changed."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from pytest_gaia.deploy.contract import Observation, UnknownApp
from pytest_gaia.deploy.drift import difference
from pytest_gaia.errors import GaiaError
from pytest_gaia.run.backoff import Pace
from pytest_gaia.run.rollout_model import Progress
from pytest_gaia.run.rollout_step import Worker
from pytest_gaia.system.waiting import result_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pytest_gaia.deploy.contract import DeployHook
    from pytest_gaia.run.rollout_model import Rollout, Step

PATIENCE = 30.0
"""seconds in which a service has to let itself be observed"""
_PACE = Pace()


@dataclass(frozen=True, slots=True)
class Sight:
    """What was seen of one service, or why nothing was."""

    service: str
    app: str
    observation: Observation | None = None
    problem: str = ""


def look_at(rollout: Rollout, hook: DeployHook, *, pace: Pace = _PACE) -> tuple[Sight, ...]:
    """Observe every service of ``rollout``; one that cannot be observed says why, and stops nothing.

    Tools are asked side by side; a hook of this process one by one, in this thread, since its code may expect that.
    """
    patience = min(rollout.deadline, PATIENCE)
    look = partial(_look, Worker(replace(rollout, deadline=patience), hook, Progress(), pace))
    if hook.name == "plugin" or len(rollout.steps) < 2:
        return tuple(map(look, rollout.steps))
    pool = ThreadPoolExecutor(len(rollout.steps), thread_name_prefix="gaia-deployed")
    try:
        looks = [pool.submit(look, step) for step in rollout.steps]
        return tuple(map(result_of, looks))
    finally:
        # Interrupted, those that have not begun must not; a tool under way ends within its deadline.
        pool.shutdown(wait=False, cancel_futures=True)


def changes(before: Sequence[Sight], after: Sequence[Sight]) -> Iterator[str]:
    """Yield a sentence for each service that runs something else than ``before``, or cannot be observed any more."""
    now = {sight.service: sight for sight in after}
    for then in before:
        sight = now.get(then.service)
        if then.observation is None or sight is None:
            continue
        if sight.observation is None:
            yield f"{then.service}: what runs at the end could not be observed: {sight.problem}"
        elif changed := difference(then.observation, sight.observation):
            yield f"{then.service} changed during the run: {changed}"


def _look(worker: Worker, step: Step) -> Sight:
    try:
        return Sight(step.service, step.app, worker.look(step))
    except UnknownApp:
        return Sight(step.service, step.app, Observation(app=step.app, exists=False))
    except GaiaError as problem:
        return Sight(step.service, step.app, problem=str(problem))
