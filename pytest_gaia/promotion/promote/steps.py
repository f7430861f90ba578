"""Promoting a bundle into an environment: seal, deploy, test, observe, write it down, decide. In this order, or not at all.

Each step is done once its line is in the journal; a promotion that was killed goes on behind the last of them. What was
deployed is deployed again, which leaves alone what already runs; what was tested and not yet written down is written
down only if nobody else was there meanwhile.
"""

import os
import secrets
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, TypeAlias

from msgspec.structs import replace

from pytest_gaia.errors import ConfigError, DeployLocked
from pytest_gaia.files.writing import make_folder
from pytest_gaia.promotion.gate.gate import Gate, evaluate
from pytest_gaia.promotion.ledger.lock import Lock, renewed
from pytest_gaia.promotion.ledger.statements import GATE, sha256_of
from pytest_gaia.promotion.promote._evidence_kept import abandon, keep_abandoned, keep_evidence
from pytest_gaia.promotion.promote._journal import Journal, Mark, StepName
from pytest_gaia.promotion.promote.child import PLAN, RECORD, VERDICT, Interrupted, run_pytest, seal_plan
from pytest_gaia.promotion.promote.plan import Plan, check_writable, observed, strays_of
from pytest_gaia.rollout.journal import Journal as Rollouts
from pytest_gaia.verdict.evaluated import EXIT_CODES

LOCKED = DeployLocked.exit_code
Part: TypeAlias = Literal["run", "evidence"]
"""``run``: everything that runs tests, without the signing key; ``evidence``: everything that signs, without any test"""
_ITS_OWN = ("INFRA", "DRIFT")
"""words of a run whose exit code says more than the gate's"""


@dataclass(frozen=True, slots=True)
class Ending:
    """How a promotion ended."""

    exit_code: int
    gate: Gate | None
    reason: str = ""
    """what ended it, if not the gate's items"""


class Promote:
    """One promotion under way, or one ``part`` of it. ``say`` is told (step, what is happening)."""

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
        """Do it. Raises ``DeployLocked``, ``ConfigError`` and :class:`Interrupted`; the journal says how far it came."""
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
                self.say("lock", f"taken, fencing number {fence}")
                ending = self._steps(lock, _still_good(done, fence, self.plan.commands.folder), descriptor)
                # Before the lock is given back: what comes after it belongs to another promotion.
                if self.part != "run":
                    self._mark("end", exit_code=ending.exit_code)
                return ending

    def _steps(self, lock: Lock, done: dict[StepName, Mark], descriptor: int) -> Ending:
        if "seal" not in done or "run" not in done:
            if self.part == "evidence":
                raise ConfigError(
                    f"{self.plan.name}: there is no run that evidence could be written of: it did not come to its end, its "
                    "files have changed, or another promotion was there since. Nothing was written, and no test was run. "
                    f"Test again: gaia promote {self.plan.name} --bundle {self.plan.release.short} --only run"
                )
            done = {"seal": self._seal(descriptor)}
            done["run"] = self._test(descriptor)
        else:
            # Into this promotion's own lines, so that what ends it here need not be tested again either.
            for step in ("seal", "run"):
                self.journal.add(replace(done[step], run=self.run))
            self.say("run", "has been done; going on behind it")
        if self._lost:
            raise DeployLocked(f"{self.plan.name}: the lock was lost while the suites ran; nothing was written down.")
        # Learns here at the latest that somebody else has taken over; after that, nothing may be claimed.
        lock.renew(datetime.now(UTC))
        if self.part == "run":
            return Ending(
                done["run"].exit_code or 0,
                None,
                "The suites have run. Nothing is in the ledger yet, and nothing is decided",
            )
        return self._decide(done["seal"], done["run"])

    def _seal(self, descriptor: int) -> Mark:
        folder = self.plan.commands.folder
        make_folder(folder)
        abandon(self.plan)
        for name in (PLAN, RECORD, VERDICT):
            (folder / name).unlink(missing_ok=True)
        self.say("seal", "writing down which tests the run owes")
        seal_plan(self.plan.commands.seal, self.plan.promotion, descriptor)
        mark = self._mark("seal", files=_digests(folder, PLAN))
        self.say("seal", f"sealed as {mark.files[PLAN][:12]}")
        return mark

    def _test(self, descriptor: int) -> Mark:
        plan = self.plan
        before = {} if plan.deploys else observed(plan.environment, plan.promotion.rootdir, plan.services)
        what = f"deploying {', '.join(plan.services)}, and testing" if plan.deploys else "testing what runs there"
        self.say("run", what)
        touched = self._touched()
        try:
            code, record = run_pytest(plan.commands.run, plan.promotion, descriptor, self.output, lambda: self._lost)
        except Interrupted:
            abandon(plan)
            # Here nothing else is going to be written down, and on another machine nobody knows of it.
            if self.part is None and not self._lost:
                keep_abandoned(plan, self.fence)
            raise
        self.say("run", f"pytest ended with {code}")
        differing = [] if plan.deploys else [s for s in plan.services if before.get(s) != plan.release.digests[s]]
        problem = f"not seen to run the bundle before the first test: {', '.join(differing)}" if differing else ""
        if self._touched() > touched:
            problem = "the deployment had begun"
        files = _digests(plan.commands.folder, PLAN, RECORD, VERDICT)
        now = strays_of(plan.promotion, plan.release)
        changed = tuple(
            sorted(name for name in now.keys() | plan.strays.keys() if now.get(name) != plan.strays.get(name))
        )
        return self._mark("run", exit_code=code, files=files, record=record, changed=changed, problem=problem)

    def _touched(self) -> int:
        """Return how many times a service of the environment was about to be deployed."""
        entries = Rollouts(self.plan.promotion.rootdir, self.plan.name).entries()
        return sum(entry.event == "start" for entry in entries)

    def _decide(self, sealed: Mark, ran: Mark) -> Ending:
        plan = self.plan
        keep_abandoned(plan, self.fence)
        kept = keep_evidence(plan, sealed, ran, self.fence)
        if kept.untouched:
            return Ending(LOCKED if ran.exit_code == LOCKED else ConfigError.exit_code, None, kept.problem)
        self._mark("evidence")
        self.say("evidence", kept.problem or f"written down: deployment {kept.deployment}, run {kept.word}")
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
        again = f"gaia promote {name} --bundle {release.short}"
        if not left:
            raise ConfigError(f"{name}: no promotion was left unfinished on this machine. Begin one: {again}")
        if left[0].release != release.id:
            raise ConfigError(
                f"{name}: what was left unfinished is the promotion of bundle {left[0].release[:12]}, not {release.short}. "
                f"Go on with that (--bundle {left[0].release[:12]} --resume), or begin this one: {again}"
            )
        self.say("resume", f"a promotion of {left[0].when} came as far as {left[-1].step}")
        return left

    def _mark(self, step: StepName, **values: object) -> Mark:
        now = datetime.now(UTC).isoformat(timespec="seconds")
        mark = Mark(step=step, run=self.run, when=now, release=self.plan.release.id, **values)  # type: ignore[arg-type]  # fields of Mark
        self.journal.add(mark)
        return mark

    def _lose(self) -> None:
        self._lost = True


def _still_good(marks: Sequence[Mark], fence: int, folder: Path) -> dict[StepName, Mark]:
    """Return what need not be done again: nobody else held the lock since, and the files are those that were left."""
    found = {mark.step: mark for mark in marks}
    ran = found.get("run")
    held = found.get("lock")
    if ran is None or held is None or held.fence != fence - 1 or ran.files != _digests(folder, *ran.files):
        return {}
    return found


def _digests(folder: Path, *names: str) -> dict[str, str]:
    """Return file → SHA-256 of those of ``names`` that are there."""
    return {name: sha256_of((folder / name).read_bytes()) for name in names if (folder / name).is_file()}


def _policies(path: Path | None) -> dict[str, str]:
    return _digests(path.parent, path.name) if path else {}


def _holder() -> str:
    return f"{os.environ.get('USER') or 'unknown'}@{socket.gethostname()} ({os.getpid()})"
