"""The course of one rollout: every service is observed, then deployed in order, and each change is recorded."""

import shlex
from collections.abc import Mapping, Sequence

from pytest_gaia.deploy.contract import DeployHook, Observation, UnavailableServices, utc_now
from pytest_gaia.deploy.outcome import digests, running_image
from pytest_gaia.errors import ConfigError, DeployUnavailable, GaiaError
from pytest_gaia.rollout.journal import Recorder, holder, only_one
from pytest_gaia.rollout.model import (
    GOOD,
    Progress,
    Rollout,
    RolloutInterrupted,
    RolloutResult,
    Step,
    StepOutcome,
    StepResult,
)
from pytest_gaia.rollout.step import Pace, Worker

_SILENT = Progress()
_PACE = Pace()


def roll_out(
    rollout: Rollout, hook: DeployHook, *, progress: Progress = _SILENT, dry_run: bool = False, pace: Pace = _PACE
) -> RolloutResult:
    """Deploy or roll back the services of ``rollout`` in order; stop at the first one that fails.

    Every service is observed before the first one changes. A problem that only the user can fix (a missing tool, no
    login, an unknown app) therefore changes nothing. A healthy service that already runs the wanted image with the
    same deploy file is skipped. Each change is written to the journal before and after it happens.

    With ``dry_run``, the hook only returns its commands; nothing is changed or written. A rollout that would be
    refused returns the exit code of the refusal.

    Returns the result of each service. Raises ``ConfigError`` for problems that only the user can fix,
    ``DeployLocked`` (13) if another rollout of the environment is in progress, and ``RolloutInterrupted`` (a
    ``KeyboardInterrupt``) with the result so far.
    """
    worker = Worker(rollout, hook, progress, pace)
    started, began = utc_now(), pace.clock()
    if dry_run:
        planned = worker.plan()
        return RolloutResult(
            rollout.environment,
            rollout.action,
            planned,
            started,
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
        started=started,
        elapsed=pace.clock() - began,
        go_on=go_on(rollout, steps),
        notes=notes,
    )
    if interruption is not None:
        raise RolloutInterrupted(result) from interruption
    return result


class Course:
    """One rollout, from the first observation to its end."""

    def __init__(self, rollout: Rollout, worker: Worker, recorder: Recorder, progress: Progress) -> None:
        self._rollout = rollout
        self._worker = worker
        self._recorder = recorder
        self._progress = progress
        self._ended: dict[str, StepResult] = {}
        self._current: tuple[Step, ...] = ()
        """the services that may have changed; their results are not known yet"""
        self._first: Mapping[str, Observation] | None = None

    def run(self) -> KeyboardInterrupt | None:
        """Roll out all services; return what interrupted the rollout, if anything did.

        Raises ``ConfigError`` for problems that only the user can fix, if no service has been deployed yet.
        """
        outcome = "interrupted"
        self._progress.begun(self._rollout)
        try:
            if self._look_at_all():
                self._recorder.begin()
                self._take_each()
            outcome = "done" if all(result.good for result in self.results()) else "stopped"
        except ConfigError:
            outcome = "stopped"
            raise
        except KeyboardInterrupt as interruption:
            return interruption
        finally:
            self._recorder.finish(outcome)
        return None

    def results(self) -> tuple[StepResult, ...]:
        """Return one result for each service, in order."""
        return tuple(self._ended.get(step.service) or self._not_deployed(step) for step in self._rollout.steps)

    def _look_at_all(self) -> bool:
        """Observe every service before the first one changes; return whether all observations succeeded."""
        for group in self._worker.groups():
            for step in group:
                self._progress.waiting(step.service, "checking what runs")
            try:
                seen = self._worker.begin(group)
            except ConfigError:
                raise
            except GaiaError as problem:
                self._end(group[0], _failed(group[0], problem))
                return False
            self._first = self._first or seen
        return True

    def _take_each(self) -> None:
        for group in self._worker.groups():
            results = self._take(group)
            for step, result in zip(group, results, strict=True):
                if result.outcome != "not begun" or step in self._current:
                    self._recorder.end(step, result)
                self._end(step, result)
            self._current = ()
            if not all(result.good for result in results):
                return

    def _take(self, group: Sequence[Step]) -> tuple[StepResult, ...]:
        try:
            before = self._first or self._worker.look(group)
            self._first = None
            there = {
                step.service: _unchanged(step, before[step.service]) for step in group if self._is_done(step, before)
            }
            left = tuple(step for step in group if step.service not in there)
            for step in left:
                seen = before[step.service]
                self._recorder.start(step, seen, well=self._worker.is_well(step, seen))
            self._current = left
            done = {each.service: each for each in (self._worker.carry_out(left, before) if left else ())}
            return tuple((there | done)[step.service] for step in group)
        except GaiaError as problem:
            results = tuple(_failed(step, problem) for step in group)
            if isinstance(problem, UnavailableServices) and problem.services:
                return tuple(
                    each if each.service in problem.services else StepResult(each.service, each.app, "not begun")
                    for each in results
                )
            if isinstance(problem, ConfigError) and not self._changed():
                for step, result in zip(group, results, strict=True):
                    self._recorder.end(step, result)
                raise
            return results

    def _is_done(self, step: Step, before: Mapping[str, Observation]) -> bool:
        seen = before[step.service]
        return self._worker.is_there(step, seen) and self._recorder.knows(step, seen)

    def _changed(self) -> bool:
        return any(result.outcome != "unchanged" for result in self._ended.values())

    def _end(self, step: Step, result: StepResult) -> None:
        self._ended[step.service] = result
        self._progress.ended(result)

    def _not_deployed(self, step: Step) -> StepResult:
        if step in self._current:
            return StepResult(
                step.service, step.app, "in doubt", "the rollout was interrupted while it was being deployed"
            )
        return StepResult(step.service, step.app, "not begun")


def go_on(rollout: Rollout, results: Sequence[StepResult]) -> str:
    """Return the command line that continues with the remaining services; empty if there are none."""
    left = [result.service for result in results if result.outcome not in GOOD]
    if not left:
        return ""
    image = "--image" if rollout.action == "deploy" else "--to"
    words = ["gaia", rollout.action, rollout.environment, "--services", ",".join(left)]
    for step in rollout.steps:
        if step.service in left and step.image:
            words += [image, f"{step.service}={step.image}"]
    words += ["--region", rollout.region] if rollout.region else []
    words += ["--rebuild"] if rollout.rebuild else []
    words += [] if rollout.remote_only else ["--no-remote-only"]
    return shlex.join(words)


def _unchanged(step: Step, seen: Observation) -> StepResult:
    return StepResult(
        step.service, step.app, "unchanged", version=seen.version, image=running_image(seen) or None,
        digests=digests(seen), before=seen, after=seen,
    )  # fmt: skip


def _failed(step: Step, problem: GaiaError) -> StepResult:
    outcome: StepOutcome = "unavailable" if isinstance(problem, DeployUnavailable) else "failed"
    return StepResult(step.service, step.app, outcome, str(problem))
