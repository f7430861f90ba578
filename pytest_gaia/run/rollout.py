"""Rolling out: one service after the other, each observed, deployed, observed until it converges, and judged."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from pytest_gaia.run.backoff import Pace
from pytest_gaia.run.deploy_lock import only_one
from pytest_gaia.run.rollout_course import Course, go_on
from pytest_gaia.run.rollout_journal import Recorder, holder, utc_now
from pytest_gaia.run.rollout_model import Progress, Rollout, RolloutInterrupted, RolloutResult, Step, StepResult
from pytest_gaia.run.rollout_plan import plan_rollout
from pytest_gaia.run.rollout_step import Worker

if TYPE_CHECKING:
    from pytest_gaia.deploy.contract import DeployHook

__all__ = [
    "Progress",
    "Rollout",
    "RolloutInterrupted",
    "RolloutResult",
    "Step",
    "StepResult",
    "plan_rollout",
    "roll_out",
]

_SILENT = Progress()
_PACE = Pace()


def roll_out(
    rollout: Rollout, hook: DeployHook, *, progress: Progress = _SILENT, dry_run: bool = False, pace: Pace = _PACE
) -> RolloutResult:
    """Deploy (or roll back) the services of ``rollout`` in their order; stop at the first that does not succeed.

    Every service is observed before the first one is touched, so that what only the user can mend (no tool, nobody
    logged in, an unknown app) leaves everything as it was. A service that already runs the wanted image with the
    same deploy file, and is well, is left alone. What is done is written to the journal before and after it is done.

    With ``dry_run`` the hook is asked for its commands alone; nothing is changed or written. What would be refused has
    the exit code of the refusal.

    Returns what became of each service; ``RolloutResult.check`` turns a failure into an error. Raises ``ConfigError``
    for what only the user can mend, ``DeployLocked`` (13) where another roll-out of the environment is under way, and
    ``RolloutInterrupted`` (a ``KeyboardInterrupt``) with the result so far.
    """
    worker = Worker(rollout, hook, progress, pace)
    began = Beginning(utc_now(), pace.clock())
    if dry_run:
        planned = tuple(worker.plan(step) for step in rollout.steps)
        return RolloutResult(
            rollout.environment,
            rollout.action,
            planned,
            began.when,
            0.0,
            dry_run=True,
            notes=tuple(line.strip() for line in rollout.refused.splitlines()),
            refused=rollout.refused,
        )
    recorder = Recorder(rollout, progress)
    with only_one(recorder.lock, rollout.environment, holder(rollout.action)):
        notes = recorder.interrupted_before()
        course = Course(rollout, worker, recorder, progress)
        interruption = course.run()
    steps = course.results()
    result = RolloutResult(
        environment=rollout.environment,
        action=rollout.action,
        steps=steps,
        started=began.when,
        elapsed=pace.clock() - began.clock,
        go_on=go_on(rollout, steps),
        notes=notes,
    )
    if interruption is not None:
        raise RolloutInterrupted(result) from interruption
    return result


class Beginning(NamedTuple):
    """When a roll-out began: for people, and for measuring."""

    when: str
    clock: float
