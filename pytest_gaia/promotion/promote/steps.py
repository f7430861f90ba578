"""The steps of a promotion: lock, test plan, deployment and tests, evidence, decision.

A step is complete when its line is in the journal. A resumed promotion continues after the last complete step. It deploys
again, which changes nothing that already runs. It records a finished run only if no other promotion took the lock since.
"""

import os
import secrets
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, TypeAlias

import msgspec
from msgspec.structs import replace

from pytest_gaia.errors import ConfigError, DeployLocked
from pytest_gaia.files.writing import make_folder, write_file
from pytest_gaia.promotion.gate.gate import Gate, check_plan, evaluate
from pytest_gaia.promotion.ledger.lock import Lock, renewed
from pytest_gaia.promotion.ledger.statements import GATE, sha256_of
from pytest_gaia.promotion.promote._evidence_kept import (
    abandon,
    baseline_in_ledger,
    keep_abandoned,
    keep_evidence,
)
from pytest_gaia.promotion.promote._journal import Journal, Mark, StepName
from pytest_gaia.promotion.promote.child import BASELINE, PLAN, RECORD, VERDICT, Interrupted, run_pytest, save_plan
from pytest_gaia.promotion.promote.plan import Plan, check_writable, observed, strays_of
from pytest_gaia.rollout.journal import Journal as Rollouts
from pytest_gaia.verdict.evaluated import EXIT_CODES
from pytest_gaia.verdict.plan import read_plan

LOCKED = DeployLocked.exit_code
Part: TypeAlias = Literal["run", "evidence"]
"""``run``: the steps that run tests, without the signing key; ``evidence``: the steps that sign, without tests"""
STEPS = ("lock", "plan", "run", "evidence", "gate")
"""in order, as progress messages name them"""
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

    def __init__(
        self, plan: Plan, say: Callable[[str, str], object], *, output: int | None = None, part: Part | None = None
    ) -> None:
        self.plan = plan
        self.say = say
        self.output = output
        self.part = part
        self.journal = Journal(plan.promotion.rootdir, plan.name)
        self.run = secrets.token_hex(6)
        self.fence = 0
        self._lost = False

    def go(self, *, resume: bool) -> Ending:
        """Run the steps. Raises ``DeployLocked``, ``ConfigError`` and :class:`Interrupted`; the journal has the last step."""
        check_writable(self.plan)
        with self.journal.alone() as descriptor:
            done = self._taken_up() if resume or self.part == "evidence" else ()
            lock = self.plan.promotion.lock(self.plan.name, _holder())
            if done:
                lock.token = done[0].token
            self._mark("begin", token=lock.token)
            with renewed(lock, self._lose) as fence:
                self.fence = fence
                self._mark("lock", fence=fence)
                self.say("lock", f"taken, fencing token {fence}")
                ending = self._steps(lock, _still_good(done, fence, self.plan.commands.folder), descriptor)
                # Before the lock is released: later lines belong to another promotion.
                if self.part != "run":
                    self._mark("end", exit_code=ending.exit_code)
                return ending

    def _steps(self, lock: Lock, done: dict[StepName, Mark], descriptor: int) -> Ending:
        if "seal" not in done or "run" not in done:
            if self.part == "evidence":
                raise ConfigError(
                    f"{self.plan.name}: there is no finished run to record: it was interrupted, its files changed, or "
                    "another promotion took the lock since. Nothing was written, and no test ran. Test again: "
                    f"gaia promote {self.plan.name} {self.plan.release.short} --only run"
                )
            done = {"seal": self._seal(descriptor)}
            kept = self._kept()
            if not kept.checks[0].good:
                reason = "The test plan lacks tests of the last promoted release. Nothing was deployed"
                return Ending(kept.exit_code, kept, reason)
            done["run"] = self._test(descriptor)
        else:
            # Copied to the lines of this promotion, so that another resumption need not test again either.
            for step in ("seal", "run"):
                self.journal.add(replace(done[step], run=self.run))
            self.say("run", "already complete; continuing")
        if self._lost:
            raise DeployLocked(f"{self.plan.name}: the lock was lost while the tests ran. Nothing was recorded.")
        # Fails if another promotion has taken the lock; nothing may be recorded then.
        lock.renew(datetime.now(UTC))
        if self.part == "run":
            return Ending(
                done["run"].exit_code or 0,
                None,
                "The tests ran. Nothing is recorded or decided yet",
            )
        return self._decide(done["seal"], done["run"])

    def _seal(self, descriptor: int) -> Mark:
        folder = self.plan.commands.folder
        make_folder(folder)
        abandon(self.plan)
        for name in (PLAN, BASELINE, RECORD, VERDICT):
            (folder / name).unlink(missing_ok=True)
        self.say("plan", "collecting the required tests")
        save_plan(self.plan.commands.seal, self.plan.promotion, descriptor)
        baseline = baseline_in_ledger(self.plan)
        write_file(folder / BASELINE, msgspec.json.format(msgspec.json.encode(baseline)) + b"\n")
        mark = self._mark("seal", files=_digests(folder, PLAN, BASELINE))
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
            if self.part is None and not self._lost:
                keep_abandoned(plan, self.fence)
            raise
        self.say("run", f"pytest exited with {code}")
        differing = [] if plan.deploys else [s for s in plan.services if before.get(s) != plan.release.digests[s]]
        problem = f"did not run the release before the first test: {', '.join(differing)}" if differing else ""
        if self._touched() > touched:
            problem = "the deployment had started"
        files = _digests(plan.commands.folder, PLAN, BASELINE, RECORD, VERDICT)
        now = strays_of(plan.promotion, plan.release)
        changed = tuple(
            sorted(name for name in now.keys() | plan.strays.keys() if now.get(name) != plan.strays.get(name))
        )
        return self._mark("run", exit_code=code, files=files, record=record, changed=changed, problem=problem)

    def _touched(self) -> int:
        """Return the number of deployments of services that were started in the environment."""
        entries = Rollouts(self.plan.promotion.rootdir, self.plan.name).entries()
        return sum(entry.event == "start" for entry in entries)

    def _decide(self, sealed: Mark, ran: Mark) -> Ending:
        plan = self.plan
        keep_abandoned(plan, self.fence)
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
    ran = found.get("run")
    held = found.get("lock")
    if ran is None or held is None or held.fence != fence - 1 or ran.files != _digests(folder, *ran.files):
        return {}
    if BASELINE not in ran.files:
        # A run of an earlier version, which compared no API.
        return {}
    return found


def _digests(folder: Path, *names: str) -> dict[str, str]:
    """Return file → SHA-256 for those of ``names`` that exist."""
    return {name: sha256_of((folder / name).read_bytes()) for name in names if (folder / name).is_file()}


def _policies(path: Path | None) -> dict[str, str]:
    return _digests(path.parent, path.name) if path else {}


def _holder() -> str:
    return f"{os.environ.get('USER') or 'unknown'}@{socket.gethostname()} ({os.getpid()})"
