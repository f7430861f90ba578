"""Roll out a group of services: observe, deploy, wait until they converge, evaluate the result."""

import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from pytest_gaia.deploy.contract import DeployHook, JointHook, Observation, Phase, Reply, Request
from pytest_gaia.deploy.hooks import BUILT_IN
from pytest_gaia.deploy.outcome import (
    Outcome,
    Wanted,
    classify,
    converged,
    digest_of,
    digests,
    fingerprint,
    running_image,
)
from pytest_gaia.deploy.process import ending
from pytest_gaia.deploy.states import LOOP, age, condition, is_final, label, restarted
from pytest_gaia.errors import ConfigError, DeployFailed, DeployUnavailable
from pytest_gaia.rollout.model import DOING, Progress, Rollout, Step, StepOutcome, StepResult
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
    compare: bool = False
    """whether observations compare what runs with the deploy files"""

    def plan(self) -> tuple[StepResult, ...]:
        """Return the commands of every step. Nothing is changed."""
        outcomes: dict[str, StepOutcome] = {"failed": "failed", "retry": "unavailable"}
        replies = ((step, reply) for group in self.groups() for step, reply in self._planned(group))
        return tuple(
            StepResult(
                step.service, step.app, outcomes.get(reply.status, "planned"), reply.message,
                image=step.image, commands=reply.commands, tail=reply.tail,
            )
            for step, reply in replies
        )  # fmt: skip

    def _planned(self, group: Sequence[Step]) -> Iterator[tuple[Step, Reply]]:
        replies = self._ask("plan", group, self.rollout.deadline)
        return ((step, replies[step.service]) for step in group)

    def groups(self) -> tuple[tuple[Step, ...], ...]:
        """Return the steps that are taken together, in order: all of them if the hook can do that, otherwise each alone."""
        steps = self.rollout.steps
        return (steps,) if steps and isinstance(self.hook, JointHook) else tuple((step,) for step in steps)

    def begin(self, steps: Sequence[Step]) -> Mapping[str, Observation]:
        """Observe, and let a built-in adapter refuse what it cannot deploy: its plan changes nothing.

        Raises ``ConfigError`` if it refuses, or if something else responds at the address of a service, and as :meth:`look`.
        """
        seen = self.look(steps)
        for step in steps:
            if obstacle := _obstacle(seen[step.service]):
                raise ConfigError(
                    f"{step.service} cannot be deployed to {self.rollout.environment}: {obstacle} Nothing was changed."
                )
        if self.hook.name in BUILT_IN:
            self._ask("plan", steps, self.rollout.deadline)
        return seen

    def look(self, steps: Sequence[Step], until: float | None = None) -> Mapping[str, Observation]:
        """Return service → observation; retry until the deadline while the tool is rate-limited or does not respond.

        Raises ``DeployUnavailable`` if it never responded, ``DeployFailed`` if the hook cannot observe.
        """
        began = self.pace.clock()
        end = began + self.rollout.deadline if until is None else max(until, began + _LAST_LOOK)
        attempt = 1
        while True:
            replies = self._ask("observe", steps, end - self.pace.clock(), attempt)
            seen = {service: each.observation for service, each in replies.items() if _has_observed(each)}
            missing = [step for step in steps if step.service not in seen]
            if not missing:
                return {service: each for service, each in seen.items() if each is not None}
            step = missing[0]
            reply = replies[step.service]
            if reply.status != "retry":
                raise DeployFailed(f"{step.app} cannot be observed: {reply.message or 'the hook gives no reason'}")
            attempt += 1
            if not self._wait(step, reply.message, self.pace.before_attempt(attempt), end):
                raise DeployUnavailable(f"{step.app} could not be observed in time: {reply.message}")

    def carry_out(self, steps: Sequence[Step], before: Mapping[str, Observation]) -> tuple[StepResult, ...]:
        """Deploy until the tool succeeds or fails, or the time is up; return the observed results, in order."""
        began = self.pace.clock()
        until = began + self.rollout.deadline
        attempt = 0
        while True:
            attempt += 1
            replies = self._ask(self.rollout.action, steps, until - self.pace.clock(), attempt)
            try:
                ends = self._settled(steps, replies, before, until)
            except ConfigError as problem:
                # The deployment has begun, so its result is unknown.
                raise DeployUnavailable(f"the result could not be observed: {problem}") from None
            elapsed = self.pace.clock() - began
            done = {
                step.service: _result(
                    step, ends[step.service][1], replies[step.service], before[step.service], ends[step.service][0],
                    attempt, elapsed,
                )
                for step in steps
            }  # fmt: skip
            # A tool that failed may still have deployed; retry only if it has not.
            again = [step for step in steps if replies[step.service].status == "retry" and not done[step.service].good]
            if again:
                message = replies[again[0].service].message
                if self._wait(again[0], message, self.pace.before_attempt(attempt + 1), until):
                    continue
            for step in again:
                if done[step.service].outcome != "split":
                    done[step.service] = _unavailable(done[step.service], replies[step.service], self.rollout.deadline)
            return _without_consequences(steps, done)

    def is_there(self, step: Step, seen: Observation) -> bool:
        """Whether the requested image, by digest, runs on all machines and is healthy."""
        rollout = self.rollout
        if not step.image or not digest_of(step.image) or rollout.rebuild:
            return False
        if rollout.region and any(machine.region != rollout.region for machine in seen.machines):
            return False
        return not converged(seen, Wanted(step.image, None, step.checks_required, step.groups))

    def is_well(self, step: Step, seen: Observation) -> bool:
        """Whether one image runs on all machines and passes every check."""
        return not converged(seen, Wanted(None, None, step.checks_required, step.groups))

    def _settled(
        self, steps: Sequence[Step], replies: Mapping[str, Reply], before: Mapping[str, Observation], until: float
    ) -> Mapping[str, tuple[Observation, Outcome]]:
        """Observe and evaluate until every target runs, nothing changes any more, or the time is up."""
        watches = {step.service: self._watch(step, replies[step.service], before[step.service]) for step in steps}
        open_ones = list(steps)
        ends: dict[str, tuple[Observation, Outcome]] = {}
        while True:
            seen = self.look(open_ones, until)
            now = self.pace.clock()
            for step in open_ones:
                ends[step.service] = watches[step.service].evaluate(seen[step.service], now)
            open_ones = [step for step in open_ones if not watches[step.service].is_over]
            if not open_ones or now >= until:
                return ends
            for step in open_ones:
                self.progress.waiting(step.service, watches[step.service].reason)
            pause = min(self.pace.between_looks(), until - now)
            self.pace.wait(min((pause, *(each for step in open_ones if (each := watches[step.service].left(now))))))

    def _watch(self, step: Step, reply: Reply, before: Observation) -> "Watch":
        request = self._request(self.rollout.action, step)
        wanted = Wanted.of(request, reply, checks_required=step.checks_required, groups=step.groups)
        return Watch(reply, before, wanted, self.rollout.stable_for)

    def _wait(self, step: Step, reason: str, seconds: float, until: float) -> bool:
        """Wait and return True; return False immediately if the deadline comes first."""
        if self.pace.clock() + seconds >= until:
            return False
        self.progress.waiting(step.service, reason)
        self.pace.wait(seconds)
        return True

    def _ask(self, phase: Phase, steps: Sequence[Step], left: float, attempt: int = 1) -> Mapping[str, Reply]:
        if phase not in ("plan", "observe"):
            again = f", attempt {attempt}" if attempt > 1 else ""
            for step in steps:
                self.progress.waiting(step.service, f"{DOING[self.rollout.action]} {step.image or step.app}{again}")
        requests = [self._request(phase, step, deadline=max(1.0, left), attempt=attempt) for step in steps]
        if isinstance(self.hook, JointHook):
            replies: Sequence[Reply] = self.hook.run_all(requests, self.progress.line)
        else:
            replies = [self.hook.run(each, self._log(each.service)) for each in requests]
        return {step.service: reply for step, reply in zip(steps, replies, strict=True)}

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
            attempt=attempt,
            deadline=deadline,
            dry_run=phase == "plan",
            context=rollout.context,
            namespace=rollout.namespace,
            compare=self.compare,
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


class Watch:
    """Evaluates the observations of one service, and decides when its outcome is certain.

    A machine whose start is known must have run for ``stable_for`` seconds without a restart. Of other machines, enough
    good observations in a row are required, because one that is about to return to its old image passes the first.
    """

    def __init__(self, reply: Reply, before: Observation, wanted: Wanted, stable_for: float) -> None:
        self._reply = reply
        self._before = before
        self._wanted = wanted
        self._stable_for = stable_for
        self._has_failed = reply.status not in ("done", "unchanged")
        self._still = 0.0
        self._last: tuple[object, ...] | None = None
        self._restarts: dict[str, int] = {}
        self._good = 0
        self._young: float | None = None
        """seconds until the newest machine has run long enough; None if the start of a machine is unknown"""
        self._until = 0.0
        self.is_over = False
        self.reason = ""
        """what it waits for"""

    def evaluate(self, seen: Observation, now: float) -> tuple[Observation, Outcome]:
        """Return ``seen`` with its outcome, and set :attr:`is_over` and :attr:`reason`."""
        outcome = classify(self._reply, self._before, seen, self._wanted)
        looping = self._looping(seen)
        if looping:
            outcome = Outcome("failed", looping)
        state = (seen.exists, seen.version, [fingerprint(seen), *map(condition, seen.machines)])
        if state != self._last:
            self._last, self._still = state, now
        self._good = self._good + 1 if outcome.good else 0
        self._young = _seconds_to(self._stable_for, seen)
        self._until = now + (self._young or 0.0)
        if looping:
            self.is_over = True
        elif outcome.good:
            self.is_over = self._good >= _SURE_AFTER if self._young is None else not self._young
            again = "checking again: a machine can return to its old image"
            self.reason = again if self._young is None else f"watching whether it runs for {self._stable_for:g} s"
        else:
            patience = 0.0 if self._has_failed or _is_final(seen) else _STUCK_AFTER
            self.is_over = not _moving(seen, tool_failed=self._has_failed) and now - self._still >= patience
            self.reason = converged(seen, self._wanted)
        return seen, outcome

    def left(self, now: float) -> float | None:
        """Return the seconds until the next observation can be the last one; None if that is unknown."""
        left = self._until - now
        return left if self._good and self._young and left > 0 else None

    def _looping(self, seen: Observation) -> str:
        """Return the reason if a machine is being restarted, or was since the last observation; empty if none is."""
        before = self._restarts
        self._restarts = {each.id: each.restarts for each in seen.machines}
        for each in seen.machines:
            again = each.state == "restarting" or each.restarts > before.get(each.id, each.restarts)
            if again and each.restarts >= LOOP:
                return f"{label(each)} keeps failing: it {restarted(each)}"
        return ""


def _seconds_to(stable_for: float, seen: Observation) -> float | None:
    """Return the seconds until every machine has run for ``stable_for``; None if the start of one is unknown."""
    running = [each for each in seen.machines if each.state == "started"]
    ages = [age(each, seen.taken) for each in running]
    known = [each for each in ages if each is not None]
    if len(known) < len(ages) or (not running and not all(each.started_at for each in seen.machines)):
        return None
    return max((stable_for - each for each in known if each < stable_for), default=0.0)


def _obstacle(seen: Observation) -> str:
    """Return what keeps a service from being deployed, in sentences; empty for nothing."""
    if seen.elsewhere:
        return f"its place is taken by {seen.elsewhere}. Stop or remove that first."
    paused = next((each for each in seen.machines if condition(each).word == "paused"), None)
    return "" if paused is None else f"{label(paused)} is paused. Continue it first: docker compose unpause {seen.app}."


def _has_observed(reply: Reply) -> bool:
    return reply.observation is not None and reply.status in ("done", "unchanged")


def _without_consequences(steps: Sequence[Step], done: Mapping[str, StepResult]) -> tuple[StepResult, ...]:
    """Return ``done`` in order, where a service that only waited for one that failed was not begun."""
    bad = {step.app: step.service for step in steps if not done[step.service].good}
    results = []
    for step in steps:
        result = done[step.service]
        cause = next((bad[each] for each in step.needs if each in bad), "")
        if step.app in bad and cause and _never_started(result):
            result = replace(result, outcome="not begun", reason=f"it waits for {cause}")
        results.append(result)
    return tuple(results)


def _never_started(result: StepResult) -> bool:
    """Whether no machine of a service was started or replaced."""
    before, after = result.before, result.after
    if before is None or after is None:
        return False
    return fingerprint(before) == fingerprint(after) or all(each.state == "created" for each in after.machines)


def _is_final(seen: Observation) -> bool:
    return any(is_final(each) for each in seen.machines if not condition(each).good)


def _unavailable(done: StepResult, reply: Reply, deadline: float) -> StepResult:
    reason = f"the tool was not available within {deadline:g} s: {reply.message}"
    return replace(done, outcome="unavailable", reason=reason)


def _moving(seen: Observation, *, tool_failed: bool) -> bool:
    """Whether a change is in progress, or a check is undecided."""
    if _is_final(seen):
        return False
    started = all(machine.state == "started" for machine in seen.machines)
    return (started and seen.incomplete != "") or any(
        # After a failure of the tool, nothing starts a machine that it has only created.
        (machine.state in _MOVING and not (tool_failed and machine.state == "created"))
        or (machine.state == "started" and machine.passing + machine.critical < machine.checks)
        or condition(machine, seen.taken).word == "restarting"
        for machine in seen.machines
    )
