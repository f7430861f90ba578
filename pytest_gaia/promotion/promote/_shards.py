"""The shards of a split promotion: running one, and merging what all of them left.

A shard may run on another machine, and does not hold the lock. It leaves a folder with its results log, and a DSSE envelope with
a statement about it, which a process signs that never ran code of the project. The type of this statement is its own, so that
neither an entry of the ledger nor an attestation of a run outside of a promotion can pass as one.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Final, Literal

import msgspec

from pytest_gaia.errors import ConfigError, DeployLocked
from pytest_gaia.files.writing import make_folder, write_file
from pytest_gaia.promotion.ledger._signatures import Statement
from pytest_gaia.promotion.ledger.keys import read_signed
from pytest_gaia.promotion.ledger.lock import Attempt, Lock, attempts_of
from pytest_gaia.promotion.ledger.statements import (
    RUNS_WELL,
    SHORT,
    RunPredicate,
    ShardSeen,
    sha256_of,
)
from pytest_gaia.promotion.promote._evidence_kept import evaluated_by, failed_tests, read_file, write_rejected
from pytest_gaia.promotion.promote._journal import FOLDER, Journal, Mark
from pytest_gaia.promotion.promote.child import (
    BASELINE,
    PLAN,
    RECORD,
    SIGNED,
    VERDICT,
    Interrupted,
    run_pytest,
    shard_folder,
)
from pytest_gaia.promotion.promote.plan import Plan, changed_since, digests_in
from pytest_gaia.report.allure.around import ci_run
from pytest_gaia.verdict.evaluated import EXIT_CODES
from pytest_gaia.verdict.evidence import RecordedRun, Shard
from pytest_gaia.verdict.merging import Merge
from pytest_gaia.verdict.plan import read_plan
from pytest_gaia.verdict.report import write_report
from pytest_gaia.verdict.results_log import decode_run
from pytest_gaia.wording import listed

SHARD: Final = "urn:pytest-gaia:shard/1"
HOLD, INTERRUPTED = EXIT_CODES["HOLD"], 130
_BAD = (EXIT_CODES["REJECT"], EXIT_CODES["DRIFT"], None)
"""exit codes of a rejected run; None for an attempt that did not report its end"""
_CI_ATTEMPTS = ("GITHUB_RUN_ATTEMPT", "CI_JOB_ID")
"""variables of GitHub and GitLab that tell the attempts of a job apart"""


class ShardRun(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The run of one shard of a promotion, as the process that started pytest saw it."""

    environment: str
    release: str
    promotion: str
    """ID of the promotion"""
    fence: int
    """fencing token of its lock, when the test plan was created"""
    plan: str
    """SHA-256 of the file of the test plan"""
    shard: str
    """such as ``2/5``"""
    attempt: int
    """from 1"""
    record: str
    """SHA-256 of the results log, as pytest reported it at its end"""
    exit_code: int
    strays: str
    """SHA-256 of the differences between the files and the commit of the release, before the run"""
    changed: tuple[str, ...]
    """suites, settings, expectations and keys that changed during the run"""
    started: str
    """ISO 8601, UTC"""
    finished: str
    version: str
    """of pytest-gaia"""
    ci: str = ""
    """web address of the CI run; empty outside of CI"""
    ci_attempt: str = ""
    """what the CI system calls the attempt: its number, or the ID of the job"""


class ShardStatement(Statement, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A statement about the run of one shard."""

    predicate_type: Literal["urn:pytest-gaia:shard/1"] = SHARD
    predicate: ShardRun

    @property
    def ended(self) -> str:
        """The end of the run."""
        return self.predicate.finished


def run_shard(
    plan: Plan, journal: Journal, lock: Lock, say: Callable[[str, str], object], output: int | None, descriptor: int
) -> tuple[int, str]:
    """Run the shard of ``plan``, and write a signed statement about its results log; return the exit code and a message.

    Raises ``ConfigError`` if it is no shard of the test plan here, and ``DeployLocked`` if another promotion has taken the lock
    since the test plan, also while the shard ran.
    """
    shard, folder = plan.part.shard, plan.commands.results
    assert shard is not None
    sealed, deployed = _plan_of(plan, journal, shard)
    began = datetime.now(UTC)
    attempt = Attempt(
        release=plan.release.id, fence=deployed.fence, shard=str(shard), began=began.isoformat(), holder=lock.holder
    )
    number = _begin(attempt, lock, say)
    make_folder(folder)
    for name in (RECORD, VERDICT, SIGNED):
        (folder / name).unlink(missing_ok=True)
    try:
        code, record = run_pytest(plan.commands.run, plan.promotion, descriptor, output, lambda: False)
    except Interrupted:
        lock.end_attempt(attempt, _ended(plan, INTERRUPTED))
        raise
    if not lock.end_attempt(attempt, code if record else _ended(plan, code)):
        raise DeployLocked(
            f"{plan.name}: another promotion or rollback took the lock while shard {shard} ran, so its results prove nothing. "
            "Begin again with --only plan."
        )
    if not record:
        return code or HOLD, f"Shard {shard} left no complete results log, so it counts as missing"
    run = ShardRun(
        environment=plan.name,
        release=plan.release.id,
        promotion=sealed.promotion,
        fence=deployed.fence,
        plan=sealed.files[PLAN],
        shard=str(shard),
        attempt=number,
        record=record,
        exit_code=code,
        strays=digest_of(plan.strays),
        changed=changed_since(plan),
        started=began.isoformat(timespec="seconds"),
        finished=datetime.now(UTC).isoformat(timespec="seconds"),
        version=version("pytest-gaia"),
        ci=ci_run(plan.promotion.environ),
        ci_attempt=next(filter(None, map(plan.promotion.environ.get, _CI_ATTEMPTS)), ""),
    )
    statement = ShardStatement(subject=plan.release.subjects(), predicate=run)
    write_file(folder / SIGNED, statement.signed(plan.signers))
    signed = "signed" if plan.signers else "unsigned, because no stage requires signatures"
    return code, f"Attempt {number} of shard {shard} ran; its record is {signed}. Nothing is decided yet"


def _begin(attempt: Attempt, lock: Lock, say: Callable[[str, str], object]) -> int:
    """Note that ``attempt`` begins; return its number, and name earlier ones that did not report their end."""
    *earlier, _ = lock.begin_attempt(attempt)
    number = len(earlier) + 1
    say("run", f"testing shard {attempt.shard}{f', attempt {number}' if earlier else ''}")
    for past, each in enumerate(earlier, 1):
        if each.code is None:
            say(
                "run",
                f"attempt {past} ({each}) did not report its end. If it still runs, end it, because only the last attempt counts. "
                f"Attempt {past} will be recorded as a rejected run",
            )
    return number


def digest_of(strays: Mapping[str, str]) -> str:
    """Return the SHA-256 of the differences between the files and the commit of the release."""
    return sha256_of(msgspec.json.encode(dict(strays), order="sorted"))


def _ended(plan: Plan, code: int) -> int:
    """Return the exit code of a shard without a complete results log: 1 if a test failed before."""
    content = read_file(plan.commands.results / RECORD)
    return EXIT_CODES["REJECT"] if content and failed_tests(plan, content) else code


def _plan_of(plan: Plan, journal: Journal, shard: Shard) -> tuple[Mark, Mark]:
    """Return the lines of the test plan and of the deployment. Raises ``ConfigError`` if the shard is not of this plan."""
    begin = f"gaia promote {plan.name} {plan.release.short} --only plan --shards {shard.count}"
    marks = journal.unfinished()
    found = {mark.step: mark for mark in marks}
    sealed, deployed = found.get("seal"), found.get("deploy")
    if not marks:
        raise _refused(plan, f"there is no test plan here. Create it: {begin}, and pass {FOLDER} on to this machine")
    if marks[0].release != plan.release.id:
        raise _refused(plan, f"the test plan is of release {marks[0].release[:SHORT]}, not {plan.release.short}")
    if sealed is None or not sealed.shards or deployed is None:
        raise _refused(
            plan, f"the unfinished promotion is not split, or its deployment did not end. Begin again: {begin}"
        )
    for problem, is_so in (
        (f"--shard {shard}: the test plan is for {sealed.shards} shards", sealed.shards != shard.count),
        (f"{deployed.refused}. Record it with --only evidence, or begin again: {begin}", bool(deployed.refused)),
        (
            f"{PLAN} or {BASELINE} was changed since it was saved. Begin again: {begin}",
            digests_in(plan.commands.folder, PLAN, BASELINE) != sealed.files,
        ),
        (
            "the suites or settings here differ from those of the test plan. Check out the same files",
            sealed.strays != digest_of(plan.strays),
        ),
    ):
        if is_so:
            raise _refused(plan, problem)
    return sealed, deployed


def _refused(plan: Plan, problem: str) -> ConfigError:
    return ConfigError(f"{plan.name}: {problem}. No test ran.")


@dataclass(frozen=True, slots=True)
class Gathered:
    """What the shards of a split run left, merged."""

    record: str = ""
    """SHA-256 of the merged results log; empty if there is none"""
    exit_code: int = HOLD
    """the one that the merged results log gives"""
    files: tuple[str, ...] = ()
    """the files of the shards, relative to the folder of the promotion"""
    seen: tuple[ShardSeen, ...] = ()
    """the shards whose signed statement belongs to this promotion"""
    refused: str = ""
    """why other shards prove nothing"""


def gather(plan: Plan, sealed: Mark, deployed: Mark, attempts: Sequence[Attempt]) -> Gathered:
    """Merge the results logs of the shards, and write the merged results log and its verdict file.

    A results log counts only if it is the one of a signed statement about this shard of this promotion. Without such
    results logs, nothing is written. A missing one makes the verdict HOLD.
    """
    folder = plan.commands.folder
    seen: list[ShardSeen] = []
    refused: list[str] = [deployed.deployment.reason] if not _runs_well(deployed) and deployed.deployment else []
    files: list[str] = []
    for shard in (Shard(index, sealed.shards) for index in range(1, sealed.shards + 1)):
        own = shard_folder(folder, shard.index)
        files += [f"{own.name}/{name}" for name in (RECORD, SIGNED) if (own / name).is_file()]
        if not (own / SIGNED).is_file():
            # The merge reports it.
            continue
        try:
            seen.append(_checked(plan, sealed, deployed, shard, attempts))
        except (ValueError, ConfigError) as error:
            refused.append(f"shard {shard}: {str(error).rstrip('.')}")
    required = read_plan(folder / PLAN)
    paths = [shard_folder(folder, Shard.parse(each.shard).index) / RECORD for each in seen]
    try:
        merged = Merge(required, plan.expectations, plan.tolerance).of(paths)
        if any(merged.end.shards.get(each.shard) != each.record for each in seen):
            raise ConfigError("a results log was changed while it was merged")
        merged.write_results_log(folder / RECORD)
        write_report(folder / VERDICT, merged.evaluated)
    except ConfigError as error:
        # Without any results log, it is only that.
        code = EXIT_CODES["REJECT"] if refused else HOLD
        nothing = f"none of the {sealed.shards} shards left a results log" if not seen else str(error).rstrip(".")
        return Gathered(exit_code=code, files=tuple(files), refused="; ".join((*refused, nothing)))
    return Gathered(
        sha256_of(read_file(folder / RECORD)), merged.evaluated.exit_code, tuple(files), tuple(seen), "; ".join(refused)
    )


def _runs_well(deployed: Mark) -> bool:
    return deployed.deployment is None or deployed.deployment.outcome in RUNS_WELL


def _checked(plan: Plan, sealed: Mark, deployed: Mark, shard: Shard, attempts: Sequence[Attempt]) -> ShardSeen:
    """Return what a shard left. Raises ``ValueError`` or ``ConfigError`` with the reason if it proves nothing."""
    folder = shard_folder(plan.commands.folder, shard.index)
    # If this promotion signs its entries, an unsigned statement is not enough.
    statement, keys = read_signed(
        read_file(folder / SIGNED),
        plan.promotion.ledger.keys,
        ShardStatement,
        "a statement about a shard",
        must_sign=bool(plan.signers),
    )
    run, content = statement.predicate, read_file(folder / RECORD)
    for what, wanted, found in (
        ("shard", str(shard), run.shard),
        ("environment", plan.name, run.environment),
        ("release", plan.release.id, run.release),
        ("test plan", sealed.files.get(PLAN, ""), run.plan),
        ("promotion", sealed.promotion, run.promotion),
        ("fencing token", str(deployed.fence), str(run.fence)),
    ):
        if found != wanted:
            raise ValueError(f"is signed for another {what}: {found[:SHORT] or 'none'}, not {wanted[:SHORT]}")
    if sha256_of(content) != run.record:
        raise ValueError(
            f"{RECORD} was changed after it was signed: {sha256_of(content)[:SHORT]}, signed as {run.record[:SHORT]}"
        )
    record = decode_run(content, folder / RECORD)
    code = evaluated_by(plan, record, read_plan(plan.commands.folder / PLAN).day).exit_code
    if problem := next(
        filter(None, (*_of_files(run, sealed), *_of_end(run, code, attempts), _of_images(plan, record))), ""
    ):
        raise ValueError(problem)
    if statement.subject != plan.release.subjects():
        raise ValueError("is signed for other images than those of the release")
    return ShardSeen(run.shard, run.attempt, run.record, tuple(key.name for key in keys), run.ci, run.ci_attempt)


def _of_files(run: ShardRun, sealed: Mark) -> Iterator[str]:
    if run.changed:
        yield f"files changed during the run: {listed(run.changed)}"
    if run.strays != sealed.strays:
        yield "its suites or settings differ from those of the test plan"


def _of_end(run: ShardRun, code: int, attempts: Sequence[Attempt]) -> Iterator[str]:
    own = attempts_of(run.shard, run.fence, attempts)
    if run.attempt != len(own) or own[-1].code != run.exit_code:
        last = f"the last attempt is {len(own)}, with exit code {own[-1].code}" if own else "no attempt is known"
        yield f"its results are of attempt {run.attempt} with exit code {run.exit_code}, but {last}"
    if code != run.exit_code:
        yield f"pytest exited with {run.exit_code}, its results log gives {code}"


def _of_images(plan: Plan, record: RecordedRun) -> str:
    seen = record.start.deployment.services if record.start.deployment else ()
    wanted = {name: (plan.release.digests[name],) for name in plan.services}
    other = [each.service for each in seen if each.images and each.images != wanted.get(each.service, each.images)]
    return f"tested other images than those of the release: {', '.join(other)}" if other else ""


def keep_attempts(plan: Plan, attempts: Sequence[Attempt], seen: Sequence[ShardSeen], fence: int, merged: int) -> None:
    """Write the attempts of shards of this release that failed, or never ended, to the ledger as rejected runs.

    Those in ``seen``, of the promotion with the fencing token ``merged``, are part of its run. Repeating a shard until it
    passes is no proof.
    """
    count: Counter[tuple[int, str]] = Counter()
    known = {
        each.predicate.details.problem
        for each in plan.promotion.ledger.entries()
        if isinstance(each.predicate, RunPredicate)
    }
    used = {(merged, each.shard, each.attempt) for each in seen}
    for attempt in attempts:
        if attempt.release != plan.release.id:
            continue
        count[attempt.fence, attempt.shard] += 1
        number = count[attempt.fence, attempt.shard]
        if (attempt.fence, attempt.shard, number) in used or attempt.code not in _BAD:
            continue
        how = "did not report its end" if attempt.code is None else f"ended with exit code {attempt.code}"
        reason = f"attempt {number} of shard {attempt.shard}, begun {attempt.began[:19]} (fencing token {attempt.fence}), {how}"
        if reason not in known:
            write_rejected(plan, reason, {}, (attempt.began, datetime.now(UTC).isoformat(timespec="seconds")), fence)
