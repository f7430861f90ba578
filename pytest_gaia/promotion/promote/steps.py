"""The steps of a promotion: lock, test plan, deployment and tests, evidence, decision.

A step is complete when its line is in the journal. A resumed promotion continues after the last complete step. It deploys
again, which changes nothing that already runs. It records a finished run only if no other promotion took the lock since.

A split promotion deploys after its test plan. Its shards then run at the same time, and do not write to the journal. Its last
part merges what they left into one run, and continues like any other.
"""

import os
import secrets
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import msgspec
from msgspec.structs import replace

from pytest_gaia.deploy.hooks import hook_for
from pytest_gaia.errors import ConfigError, DeployLocked
from pytest_gaia.files.writing import make_folder, write_file
from pytest_gaia.promotion.gate.gate import Gate, check_plan, evaluate
from pytest_gaia.promotion.ledger.lock import Attempt, Lock, LockState, attempts_of, renewed
from pytest_gaia.promotion.ledger.statements import GATE, DeploymentPredicate
from pytest_gaia.promotion.promote._evidence_kept import (
    abandon,
    baseline_in_ledger,
    keep_abandoned,
    keep_evidence,
)
from pytest_gaia.promotion.promote._journal import Journal, Mark, StepName
from pytest_gaia.promotion.promote._shards import digest_of, gather, keep_attempts, run_shard
from pytest_gaia.promotion.promote.child import (
    BASELINE,
    PLAN,
    RECORD,
    VERDICT,
    Interrupted,
    run_pytest,
    save_plan,
)
from pytest_gaia.promotion.promote.plan import Plan, changed_since, check_writable, digests_in, observed
from pytest_gaia.promotion.promote.rollback import outcome_of
from pytest_gaia.report.services import ending
from pytest_gaia.rollout.course import roll_out
from pytest_gaia.rollout.journal import Journal as Rollouts
from pytest_gaia.rollout.model import Progress, Rollout, StepResult
from pytest_gaia.rollout.plan import plan_rollout
from pytest_gaia.system.processes import hide_memory
from pytest_gaia.verdict.evaluated import EXIT_CODES
from pytest_gaia.verdict.evidence import Shard
from pytest_gaia.verdict.plan import groups, read_plan
from pytest_gaia.wording import listed

LOCKED = DeployLocked.exit_code
STEPS = ("lock", "plan", "run", "evidence", "gate")
"""in order, as progress messages name them"""
STEPS_OF_PLAN = ("lock", "plan", "deploy")
_ITS_OWN = ("INFRA", "DRIFT")
"""verdicts of a run whose exit code is more specific than that of the gate"""


@dataclass(frozen=True, slots=True)
class Ending:
    """How a promotion ended."""

    exit_code: int
    gate: Gate | None
    reason: str = ""
    """what ended it, other than the checks"""


class Promote:
    """One promotion, or one ``part`` of it. Progress goes to ``say``, as (step, message)."""

    def __init__(self, plan: Plan, say: Callable[[str, str], object], *, output: int | None = None) -> None:
        self.plan = plan
        self.say = say
        self.output = output
        self.part = plan.part
        self.journal = Journal(plan.promotion.rootdir, plan.name)
        self.run = secrets.token_hex(6)
        self.fence = 0
        self._lost = False

    def go(self, *, resume: bool) -> Ending:
        """Run the steps. Raises ``DeployLocked``, ``ConfigError`` and :class:`Interrupted`; the journal has the last step."""
        check_writable(self.plan)
        if self.part.shard is not None:
            # Tests run as the same user, and must not read the key.
            hide_memory()
            with self.journal.alone(self.part.shard) as descriptor:
                lock = self.plan.promotion.lock(self.plan.name, _holder())
                code, reason = run_shard(self.plan, self.journal, lock, self.say, self.output, descriptor)
                self.say("run", f"pytest exited with {code}")
                return Ending(code, None, reason)
        if self.part.only == "plan" and self.plan.deploys:
            # Raises an error for a hook that only pytest can call.
            hook_for(self.plan.environment, rootdir=self.plan.promotion.rootdir)
        with self.journal.alone() as descriptor:
            done = self._taken_up() if resume or self.part.only == "evidence" else ()
            lock = self.plan.promotion.lock(self.plan.name, _holder())
            if done:
                lock.token = done[0].token
                lock.check = partial(self._all_ended, done)
            else:
                self._mark("begin", token=lock.token)
            with renewed(lock, self._lose) as fence:
                self.fence = fence
                if done:
                    # Not before: the lines of the unfinished promotion stay the last ones if the lock is held.
                    self._mark("begin", token=lock.token)
                self._mark("lock", fence=fence)
                self.say("lock", f"taken, fencing token {fence}")
                ending = self._steps(lock, _still_good(done, fence, self.plan.commands.folder), descriptor)
                # Before the lock is released: later lines belong to another promotion.
                if self.part.only in (None, "evidence"):
                    self._mark("end", exit_code=ending.exit_code)
                return ending

    def _all_ended(self, marks: Sequence[Mark], state: LockState | None) -> None:
        """Raise ``ConfigError`` while a shard of the unfinished promotion runs, or if another part is to continue it."""
        found = {mark.step: mark for mark in marks}
        sealed, deployed = found.get("seal"), found.get("deploy")
        if sealed is None or not sealed.shards or "run" in found:
            return
        name, short, count = self.plan.name, self.plan.release.short, sealed.shards
        if self.part.only != "evidence":
            raise ConfigError(
                f"{name}: the unfinished promotion is split into {count} shards. To continue it, run: gaia promote {name} "
                f"{short} --only run --shard 1/{count} (and the others), then --only evidence. Nothing was done."
            )
        fence = deployed.fence if deployed else 0
        shards = [str(Shard(index, count)) for index in range(1, count + 1)]
        last = [attempts_of(shard, fence, state.attempts if state else ())[-1:] for shard in shards]
        if running := [each for found in last for each in found if each.code is None]:
            which = listed([f"shard {each.shard} ({each})" for each in running])
            raise ConfigError(
                f"{name}: no end was reported by {which}. Wait while it runs. If it was killed, run it again: gaia promote {name} "
                f"{short} --only run --shard {running[0].shard}. Nothing was written."
            )

    def _steps(self, lock: Lock, done: dict[StepName, Mark], descriptor: int) -> Ending:
        if done:
            self._take_over(done, lock.attempts)
        elif self.part.only == "evidence":
            raise ConfigError(
                f"{self.plan.name}: there is no finished run to record: it was interrupted, its files changed, or "
                "another promotion took the lock since. Nothing was written, and no test ran. Test again: "
                f"gaia promote {self.plan.name} {self.plan.release.short} --only run"
            )
        else:
            done = {"seal": self._seal(descriptor)}
            kept = self._kept()
            if not kept.checks[0].good:
                reason = "The test plan lacks tests of the last promoted release. Nothing was deployed"
                return Ending(kept.exit_code, kept, reason)
            done["run"] = self._deploy() if self.part.only == "plan" else self._test(descriptor)
        if self._lost:
            raise DeployLocked(f"{self.plan.name}: the lock was lost while the tests ran. Nothing was recorded.")
        # Fails if another promotion has taken the lock; nothing may be recorded then.
        lock.renew(datetime.now(UTC))
        ran = done["run"]
        if self.part.only in ("plan", "run"):
            did = "The tests ran" if self.part.only == "run" else ran.refused or "Ready for the shards"
            return Ending(ran.exit_code or 0, None, f"{did}. Nothing is recorded or decided yet")
        ending = self._decide(done["seal"], ran, lock.attempts)
        if lock.attempts:
            lock.forget(self.plan.release.id)
        return ending

    def _take_over(self, done: dict[StepName, Mark], attempts: Sequence[Attempt]) -> None:
        """Copy the complete steps to the lines of this promotion, so that another resumption need not test again either."""
        for step in ("seal", "deploy", "run"):
            if step in done:
                self.journal.add(replace(done[step], run=self.run))
        if "run" not in done:
            done["run"] = self._gathered(done["seal"], done["deploy"], attempts)
        else:
            self.say("run", "already complete; continuing")

    def _seal(self, descriptor: int) -> Mark:
        folder = self.plan.commands.folder
        make_folder(folder)
        abandon(self.plan)
        for name in (PLAN, BASELINE, RECORD, VERDICT):
            (folder / name).unlink(missing_ok=True)
        self.say("plan", "collecting the required tests")
        save_plan(self.plan.commands.seal, self.plan.promotion, descriptor)
        if (count := self.part.shards) > (most := groups(read_plan(folder / PLAN).tests)):
            raise ConfigError(
                f"--shards {count}: the tests can be divided into {most} shards at most, because tests that share state stay "
                "together. Nothing was deployed."
            )
        for left in folder.glob("shard-*/*"):
            left.unlink()
        baseline = baseline_in_ledger(self.plan)
        write_file(folder / BASELINE, msgspec.json.format(msgspec.json.encode(baseline)) + b"\n")
        split = {"shards": count, "promotion": self.run, "strays": digest_of(self.plan.strays)} if count else {}
        mark = self._mark("seal", files=digests_in(folder, PLAN, BASELINE), **split)
        self.say("plan", f"saved as {mark.files[PLAN][:12]}; API compared with {baseline.name}")
        return mark

    def _kept(self) -> Gate:
        """Compare the plan with the tests of the last promoted run."""
        plan = self.plan
        required = read_plan(plan.commands.folder / PLAN).nodes
        kept = check_plan(plan.promotion.situation(plan.name, plan.release), required)
        if kept.checks[0].finding.names:
            self.say("plan", kept.checks[0].finding.reason)
        return kept

    def _test(self, descriptor: int) -> Mark:
        plan = self.plan
        before = {} if plan.deploys else observed(plan.environment, plan.promotion.rootdir, plan.services)
        what = f"deploying {', '.join(plan.services)}, then testing" if plan.deploys else "testing what runs there"
        self.say("run", what)
        touched = self._touched()
        try:
            code, record = run_pytest(plan.commands.run, plan.promotion, descriptor, self.output, lambda: self._lost)
        except Interrupted:
            abandon(plan)
            # No later step records it, and another machine cannot read this journal.
            if self.part.only is None and not self._lost:
                keep_abandoned(plan, self.fence)
            raise
        self.say("run", f"pytest exited with {code}")
        differing = [] if plan.deploys else [s for s in plan.services if before.get(s) != plan.release.digests[s]]
        problem = f"did not run the release before the first test: {', '.join(differing)}" if differing else ""
        if self._touched() > touched:
            problem = "the deployment had started"
        files = digests_in(plan.commands.folder, PLAN, BASELINE, RECORD, VERDICT)
        return self._mark(
            "run", exit_code=code, files=files, record=record, changed=changed_since(plan), problem=problem
        )

    def _deploy(self) -> Mark:
        """Deploy before the shards; without deployments, observe what runs."""
        plan = self.plan
        files = digests_in(plan.commands.folder, PLAN, BASELINE)
        if not plan.deploys:
            runs = observed(plan.environment, plan.promotion.rootdir, plan.services)
            differing = [each for each in plan.services if runs.get(each) != plan.release.digests[each]]
            problem = f"did not run the release before the first test: {', '.join(differing)}" if differing else ""
            return self._mark("deploy", fence=self.fence, files=files, problem=problem)
        images = {part.service: part.image for part in plan.release.components if part.service in plan.services}
        environment, rootdir = plan.environment, plan.promotion.rootdir
        rollout = plan_rollout(
            environment, environment.deployment, rootdir=rootdir, services=plan.services, images=images
        )
        result = roll_out(rollout, hook_for(environment, rootdir=rootdir), progress=_Progress(self.say))
        deployment = DeploymentPredicate(
            environment=plan.name,
            release=plan.release.id,
            outcome=outcome_of(result),
            reason=result.problem,
            services={step.service: step.digests[0] for step in result.steps if len(step.digests) == 1},
            versions={step.service: step.version for step in result.steps if step.version is not None},
            time=result.started,
            fence=self.fence,
        )
        refused = f"the deployment failed: {result.problem}" if result.problem else ""
        return self._mark(
            "deploy", fence=self.fence, files=files, deployment=deployment, refused=refused, exit_code=result.exit_code
        )

    def _gathered(self, sealed: Mark, deployed: Mark, attempts: Sequence[Attempt]) -> Mark:
        """Merge what the shards left into the run of this promotion."""
        found = gather(self.plan, sealed, deployed, attempts)
        self.say("run", f"{len(found.seen)} of {sealed.shards} shards merged")
        return self._mark(
            "run",
            exit_code=found.exit_code,
            files=digests_in(self.plan.commands.folder, PLAN, BASELINE, RECORD, VERDICT, *found.files),
            record=found.record,
            refused=found.refused,
            seen=found.seen,
            problem=deployed.problem,
            deployment=deployed.deployment,
            fence=deployed.fence,
        )

    def _touched(self) -> int:
        """Return the number of deployments of services that were started in the environment."""
        entries = Rollouts(self.plan.promotion.rootdir, self.plan.name).entries()
        return sum(entry.event == "start" for entry in entries)

    def _decide(self, sealed: Mark, ran: Mark, attempts: Sequence[Attempt]) -> Ending:
        plan = self.plan
        keep_abandoned(plan, self.fence)
        keep_attempts(plan, attempts, ran.seen, self.fence, ran.fence)
        kept = keep_evidence(plan, sealed, ran, self.fence)
        if kept.untouched:
            return Ending(LOCKED if ran.exit_code == LOCKED else ConfigError.exit_code, None, kept.problem)
        self._mark("evidence")
        self.say("evidence", kept.problem or f"recorded: deployment {kept.deployment}, run {kept.word}")
        situation = plan.promotion.situation(plan.name, plan.release)
        gate = evaluate(situation)
        predicate = gate.predicate(situation.now, _policies(plan.promotion.project.path), self.fence)
        plan.promotion.ledger.append(GATE, plan.release.subjects(), predicate, signers=plan.signers)
        self._mark("gate")
        self.say("gate", gate.verdict)
        code = EXIT_CODES[kept.word] if gate.exit_code and kept.word in _ITS_OWN else gate.exit_code
        return Ending(code, gate, kept.problem)

    def _taken_up(self) -> tuple[Mark, ...]:
        name, release = self.plan.name, self.plan.release
        left = self.journal.unfinished()
        again = f"gaia promote {name} {release.short}"
        if not left:
            raise ConfigError(f"{name}: this machine has no unfinished promotion. To start one, run: {again}")
        if left[0].release != release.id:
            raise ConfigError(
                f"{name}: the unfinished promotion is of release {left[0].release[:12]}, not {release.short}. To continue it, "
                f"run: gaia promote {name} {left[0].release[:12]} --resume. To start this one, run: {again}"
            )
        self.say("resume", f"promotion of {left[0].when}, last step {left[-1].step}")
        return left

    def _mark(self, step: StepName, **values: object) -> Mark:
        now = datetime.now(UTC).isoformat(timespec="seconds")
        mark = Mark(step=step, run=self.run, when=now, release=self.plan.release.id, **values)  # type: ignore[arg-type]  # fields of Mark
        self.journal.add(mark)
        return mark

    def _lose(self) -> None:
        self._lost = True


def _still_good(marks: Sequence[Mark], fence: int, folder: Path) -> dict[StepName, Mark]:
    """Return the steps that are still valid: no other promotion held the lock since, and the files are unchanged."""
    found = {mark.step: mark for mark in marks}
    ran = found.get("run") or found.get("deploy")
    held = found.get("lock")
    if ran is None or held is None or held.fence != fence - 1 or ran.files != digests_in(folder, *ran.files):
        return {}
    if "seal" not in found or BASELINE not in ran.files:
        # A run of an earlier version, which compared no API.
        return {}
    return found


class _Progress(Progress):
    """Reports the outcome of each service."""

    def __init__(self, say: Callable[[str, str], object]) -> None:
        self._say = say

    def begun(self, rollout: Rollout) -> None:
        """Report which services are deployed."""
        self._say("deploy", f"deploying {', '.join(step.service for step in rollout.steps)}")

    def ended(self, step: StepResult) -> None:
        """Report the outcome."""
        self._say("deploy", ending(step).strip())

    def note(self, text: str) -> None:
        """Report it."""
        self._say("deploy", f"note: {text}")


def _policies(path: Path | None) -> dict[str, str]:
    return digests_in(path.parent, path.name) if path else {}


def _holder() -> str:
    return f"{os.environ.get('USER') or 'unknown'}@{socket.gethostname()} ({os.getpid()})"
