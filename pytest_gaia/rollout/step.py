"""Roll out services one by one: observe, deploy, wait until the service converges, evaluate the result."""

import random
import shlex
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from pytest_gaia.deploy.contract import DeployHook, Observation, Phase, Reply, Request, utc_now
from pytest_gaia.deploy.hooks import BUILT_IN
from pytest_gaia.deploy.outcome import Outcome, Wanted, classify, converged, digests, running_image
from pytest_gaia.deploy.process import ending
from pytest_gaia.errors import ConfigError, DeployFailed, DeployUnavailable, GaiaError
from pytest_gaia.rollout.journal import Recorder, holder, only_one
from pytest_gaia.rollout.model import (
    DOING,
    GOOD,
    Progress,
    Rollout,
    RolloutInterrupted,
    RolloutResult,
    Step,
    StepOutcome,
    StepResult,
)
from pytest_gaia.system.signals import wait_for

_FIRST, _LONGEST = 1.0, 30.0
_LOOK_EVERY = 2.0
"""seconds between observations; Fly allows one request per second and app"""
_LAST_LOOK = 30.0
"""seconds for observations after the deadline: the tool may have used all the time before"""
_STUCK_AFTER = 30.0
"""after this many seconds without a change, the rollout is stuck"""
_SURE_AFTER = 2
"""good observations in a row: a machine that is about to return to its old image passes the first"""
_MOVING = frozenset(
    {"created", "creating", "starting", "stopping", "restarting", "suspending", "updating", "replacing", "destroying"}
)


def _pause(seconds: float) -> None:
    wait_for(ending, seconds)


def _spread(least: float, most: float) -> float:
    # Jitter for retries of several machines; nothing secret depends on it.
    return random.uniform(least, most)  # noqa: S311


@dataclass(frozen=True, slots=True)
class Pace:
    """A clock, and how to wait."""

    clock: Callable[[], float] = time.monotonic
    """seconds, from an arbitrary start"""
    wait: Callable[[float], None] = _pause
    spread: Callable[[float, float], float] = field(default=_spread)
    """returns a random number between two numbers, in seconds"""

    def before_attempt(self, attempt: int) -> float:
        """Return the seconds to wait before ``attempt`` (2 or more): exponential backoff with jitter, at most 30."""
        # The exponent is limited, so that hundreds of attempts do not overflow a float.
        most: float = min(_LONGEST, _FIRST * 2 ** min(attempt - 1, 10))
        return self.spread(most / 2, most)

    def between_looks(self) -> float:
        """Return the seconds to wait before the next observation."""
        return self.spread(_LOOK_EVERY, _LOOK_EVERY * 1.5)


@dataclass(frozen=True, slots=True)
class Worker:
    """Runs the steps of one rollout."""

    rollout: Rollout
    hook: DeployHook
    progress: Progress
    pace: Pace

    def plan(self, step: Step) -> StepResult:
        """Return the commands of ``step``. Nothing is changed."""
        reply = self._ask("plan", step, self.rollout.deadline)
        outcomes: dict[str, StepOutcome] = {"failed": "failed", "retry": "unavailable"}
        outcome = outcomes.get(reply.status, "planned")
        return StepResult(
            step.service, step.app, outcome, reply.message, image=step.image, commands=reply.commands, tail=reply.tail
        )

    def begin(self, step: Step) -> Observation:
        """Observe, and let a built-in adapter refuse what it cannot deploy: its plan changes nothing.

        Raises ``ConfigError`` if it refuses, and as :meth:`look`.
        """
        seen = self.look(step)
        if self.hook.name in BUILT_IN:
            self.plan(step)
        return seen

    def look(self, step: Step, until: float | None = None) -> Observation:
        """Observe; retry until the deadline while the tool is rate-limited or does not respond.

        Raises ``DeployUnavailable`` if it never responded, ``DeployFailed`` if the hook cannot observe.
        """
        began = self.pace.clock()
        end = began + self.rollout.deadline if until is None else max(until, began + _LAST_LOOK)
        attempt = 1
        while True:
            reply = self._ask("observe", step, end - self.pace.clock(), attempt)
            if reply.observation is not None and reply.status in ("done", "unchanged"):
                return reply.observation
            if reply.status != "retry":
                raise DeployFailed(f"{step.app} cannot be observed: {reply.message or 'the hook gives no reason'}")
            attempt += 1
            if not self._wait(step, reply.message, self.pace.before_attempt(attempt), end):
                raise DeployUnavailable(f"{step.app} could not be observed in time: {reply.message}")

    def carry_out(self, step: Step, before: Observation) -> StepResult:
        """Deploy until the tool succeeds or fails, or the time is up; return the observed result."""
        began = self.pace.clock()
        until = began + self.rollout.deadline
        attempt = 0
        while True:
            attempt += 1
            reply = self._ask(self.rollout.action, step, until - self.pace.clock(), attempt)
            after, outcome = self._settled(step, reply, before, until)
            done = _result(step, outcome, reply, before, after, attempt, self.pace.clock() - began)
            # A tool that failed may still have deployed; retry only if it has not.
            if outcome.good or reply.status != "retry":
                return done
            if not self._wait(step, reply.message, self.pace.before_attempt(attempt + 1), until):
                return done if outcome.kind == "split" else _unavailable(done, reply, self.rollout.deadline)

    def is_there(self, step: Step, seen: Observation) -> bool:
        """Whether the requested image, by digest, runs on all machines and is healthy."""
        rollout = self.rollout
        if not step.image or "@" not in step.image or rollout.rebuild:
            return False
        if rollout.region and any(machine.region != rollout.region for machine in seen.machines):
            return False
        return not converged(seen, Wanted(step.image, None, step.checks_required, step.groups))

    def is_well(self, step: Step, seen: Observation) -> bool:
        """Whether one image runs on all machines and passes every check."""
        return not converged(seen, Wanted(None, None, step.checks_required, step.groups))

    def _settled(self, step: Step, reply: Reply, before: Observation, until: float) -> tuple[Observation, Outcome]:
        """Observe and evaluate until the target runs, nothing changes any more, or the time is up."""
        request = self._request(self.rollout.action, step)
        wanted = Wanted.of(request, reply, checks_required=step.checks_required, groups=step.groups)
        watch = _Watch(self.pace.clock(), _STUCK_AFTER if reply.status in ("done", "unchanged") else 0.0)
        while True:
            seen = self.look(step, until)
            now = self.pace.clock()
            outcome = classify(reply, before, seen, wanted)
            if watch.is_over(seen, now, good=outcome.good) or now >= until:
                return seen, outcome
            pause = min(self.pace.between_looks(), until - now)
            again = "checking again: a machine can return to its old image"
            self.progress.waiting(step.service, again if outcome.good else converged(seen, wanted))
            self.pace.wait(pause)

    def _wait(self, step: Step, reason: str, seconds: float, until: float) -> bool:
        """Wait and return True; return False immediately if the deadline comes first."""
        if self.pace.clock() + seconds >= until:
            return False
        self.progress.waiting(step.service, reason)
        self.pace.wait(seconds)
        return True

    def _ask(self, phase: Phase, step: Step, left: float, attempt: int = 1) -> Reply:
        if phase not in ("plan", "observe"):
            again = f", attempt {attempt}" if attempt > 1 else ""
            self.progress.waiting(step.service, f"{DOING[self.rollout.action]} {step.image or step.app}{again}")
        return self.hook.run(
            self._request(phase, step, deadline=max(1.0, left), attempt=attempt), self._log(step.service)
        )

    def _log(self, service: str) -> Callable[[str], None]:
        return lambda line: self.progress.line(service, line)

    def _request(self, phase: Phase, step: Step, deadline: float = 1.0, attempt: int = 1) -> Request:
        rollout = self.rollout
        back = rollout.action == "rollback"
        return Request(
            phase=phase,
            environment=rollout.environment,
            service=step.service,
            app=step.app,
            config=str(step.config) if step.config else None,
            image=step.image,
            previous=step.image if back else None,
            region=rollout.region,
            rebuild=rollout.rebuild,
            remote_only=rollout.remote_only,
            beside=step.beside,
            attempt=attempt,
            deadline=deadline,
            dry_run=phase == "plan",
            context=rollout.context,
            namespace=rollout.namespace,
            directory=str(rollout.rootdir.absolute()),
        )


def _result(
    step: Step, outcome: Outcome, reply: Reply, before: Observation, after: Observation, attempts: int, elapsed: float
) -> StepResult:
    return StepResult(
        service=step.service,
        app=step.app,
        outcome=outcome.kind,
        reason=outcome.reason,
        elapsed=elapsed,
        attempts=attempts,
        version=after.version,
        image=running_image(after) or None,
        digests=digests(after),
        commands=reply.commands,
        before=before,
        after=after,
        tail=reply.tail,
    )


class _Watch:
    """Decides when to stop: enough good observations in a row, or no change for too long."""

    def __init__(self, now: float, patience: float) -> None:
        self._patience = patience
        self._still = now
        self._last: tuple[object, ...] = ()
        self._good = 0

    def is_over(self, seen: Observation, now: float, *, good: bool) -> bool:
        state = (seen.exists, seen.version, seen.machines)
        if state != self._last:
            self._last, self._still = state, now
        self._good = self._good + 1 if good else 0
        if good:
            return self._good >= _SURE_AFTER
        return not _moving(seen) and now - self._still >= self._patience


def _unavailable(done: StepResult, reply: Reply, deadline: float) -> StepResult:
    reason = f"the tool was not available within {deadline:g} s: {reply.message}"
    return replace(done, outcome="unavailable", reason=reason)


def _moving(seen: Observation) -> bool:
    """Whether a change is in progress, or a check is undecided."""
    started = all(machine.state == "started" for machine in seen.machines)
    return (started and seen.incomplete != "") or any(
        machine.state in _MOVING or (machine.state == "started" and machine.passing + machine.critical < machine.checks)
        for machine in seen.machines
    )


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
        planned = tuple(worker.plan(step) for step in rollout.steps)
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
        self._current: Step | None = None
        """the service that may have changed; its result is not known yet"""
        self._first: Observation | None = None

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
        for step in self._rollout.steps:
            self._progress.waiting(step.service, "checking what runs")
            try:
                seen = self._worker.begin(step)
            except ConfigError:
                raise
            except GaiaError as problem:
                self._end(step, _failed(step, problem))
                return False
            self._first = self._first or seen
        return True

    def _take_each(self) -> None:
        for step in self._rollout.steps:
            result = self._take(step)
            self._recorder.end(step, result)
            self._current = None
            self._end(step, result)
            if not result.good:
                return

    def _take(self, step: Step) -> StepResult:
        try:
            before = self._first or self._worker.look(step)
            self._first = None
            if self._worker.is_there(step, before) and self._recorder.knows(step, before):
                return _unchanged(step, before)
            self._recorder.start(step, before, well=self._worker.is_well(step, before))
            self._current = step
            return self._worker.carry_out(step, before)
        except GaiaError as problem:
            result = _failed(step, problem)
            if isinstance(problem, ConfigError) and not self._changed():
                self._recorder.end(step, result)
                raise
            return result

    def _changed(self) -> bool:
        return any(result.outcome != "unchanged" for result in self._ended.values())

    def _end(self, step: Step, result: StepResult) -> None:
        self._ended[step.service] = result
        self._progress.ended(result)

    def _not_deployed(self, step: Step) -> StepResult:
        if step == self._current:
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
