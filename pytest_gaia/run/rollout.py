"""Rolling out: one service after the other, each observed, deployed, observed until it converges, and judged."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_gaia.run.rollout_model import Progress, Rollout, RolloutInterrupted, RolloutResult, Step, StepResult
from pytest_gaia.run.rollout_plan import plan_rollout

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


def roll_out(
    rollout: Rollout, hook: DeployHook, *, progress: Progress = _SILENT, dry_run: bool = False
) -> RolloutResult:
    """Deploy (or roll back) the services of ``rollout`` in their order; stop at the first that does not succeed.

    Every service is observed before the first one is touched, so that what only the user can mend (no tool, nobody
    logged in, an unknown app) leaves everything as it was. A service that already runs the wanted image, and is well,
    is left alone. What is done is written to the journal before and after it is done.

    With ``dry_run`` the hook is asked to plan alone; nothing is changed or written.

    Returns what became of each service; ``RolloutResult.check`` turns a failure into an error. Raises ``ConfigError``
    for what only the user can mend, ``DeployLocked`` (13) where another roll-out of the environment is under way, and
    ``RolloutInterrupted`` (a ``KeyboardInterrupt``) with the result so far.
    """
    raise NotImplementedError
