"""Writing the results of a promotion to the ledger: first the deployment, then the tests."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Literal

import msgspec

from pytest_gaia.errors import ConfigError, DeployLocked, GaiaError
from pytest_gaia.expectations.apis import Baseline
from pytest_gaia.promotion.gate.services import baseline_of as api_baseline
from pytest_gaia.promotion.gate.services import with_declared
from pytest_gaia.promotion.ledger.statements import (
    DEPLOYMENT,
    RUN,
    DeploymentPredicate,
    Resource,
    RunDetails,
    RunPredicate,
    sha256_of,
)
from pytest_gaia.promotion.promote._evidence import Unfit, contradiction, deployment_predicate, located, run_predicate
from pytest_gaia.promotion.promote._journal import Mark
from pytest_gaia.promotion.promote.child import BASELINE, PLAN, RECORD, VERDICT
from pytest_gaia.promotion.promote.performance import baseline_of
from pytest_gaia.promotion.promote.plan import Plan, observed
from pytest_gaia.report.allure.around import ci_run
from pytest_gaia.verdict.evaluated import EXIT_CODES, EvaluatedRun, Word, evaluate_run
from pytest_gaia.verdict.evidence import DeploymentSeen, RecordedRun
from pytest_gaia.verdict.plan import Plan as RequiredTests
from pytest_gaia.verdict.plan import read_plan
from pytest_gaia.verdict.report import VerdictFile, verdict_file
from pytest_gaia.verdict.results_log import decode_run, time_of
from pytest_gaia.wording import counted, listed

_ABANDONED = "abandoned-"
"""prefix of results logs of runs that are not in the ledger yet"""
_IN_PYTEST = "plugin"
_UNTOUCHED = (ConfigError.exit_code, DeployLocked.exit_code)


@dataclass(frozen=True, slots=True)
class Kept:
    """The result of writing the evidence."""

    deployment: str = ""
    word: Word = "HOLD"
    problem: str = ""
    """reason why the run proves nothing"""
    untouched: bool = False
    """nothing was deployed or tested, and nothing was written"""


@dataclass(frozen=True, slots=True)
class _Left:
    """The files of a run, with the verdict that the promotion computed."""

    plan: RequiredTests
    record: RecordedRun
    verdict: VerdictFile
    problem: str
    """how the other files contradict the results log"""


def keep_evidence(plan: Plan, sealed: Mark, ran: Mark, fence: int) -> Kept:
    """Write the results of the run to the ledger. Raises ``ConfigError``."""
    running = _running(plan)
    if sealed.shards and not ran.record:
        return _nothing_ran(plan, ran, fence)
    try:
        left = _left(plan, sealed, ran)
    except Unfit as unfit:
        if _untouched(plan, ran):
            return Kept(problem=f"pytest exited with {ran.exit_code} before any deployment", untouched=True)
        abandon(plan)
        keep_abandoned(plan, fence)
        return _nothing_known(plan, running, str(unfit), fence)
    except ConfigError as error:
        kept = _nothing_known(plan, running, str(error), fence)
        write_rejected(plan, str(error), ran.files, (sealed.when, ran.when), fence)
        return replace(kept, word="REJECT")
    deployment = _deployment(plan, left.verdict, ran, running, fence)
    seen = deployment.services if plan.hook == _IN_PYTEST and not left.verdict.changed else running
    run = _run(plan, left, ran, seen, fence)
    # A resumed promotion may have written the run already. One run is never evidence twice.
    if not any(_same(entry.predicate, run) for entry in plan.promotion.ledger.entries()):
        _write_deployment(plan, deployment)
        plan.promotion.ledger.append(RUN, plan.release.subjects(), run, signers=plan.signers)
    return Kept(deployment.outcome, run.details.verdict, run.details.problem)


def baseline_in_ledger(plan: Plan) -> Baseline:
    """Return the operations that the run compares those of the release with."""
    return api_baseline(plan.promotion.situation(plan.name, plan.release))


def abandon(plan: Plan) -> None:
    """Rename the results log of an interrupted run with failed tests that is not in the ledger.

    The next promotion writes it to the ledger first (:func:`keep_abandoned`), because repeating a run until it passes is
    no proof.
    """
    path = plan.commands.folder / RECORD
    digest = sha256_of(content := read_file(path))
    runs = (each.predicate for each in plan.promotion.ledger.entries() if isinstance(each.predicate, RunPredicate))
    if not any(Resource(RECORD, {"sha256": digest}) in run.configuration for run in runs) and failed_tests(
        plan, content
    ):
        path.replace(path.with_name(f"{_ABANDONED}{digest[:12]}.jsonl"))


def keep_abandoned(plan: Plan, fence: int) -> None:
    """Write the runs of :func:`abandon` to the ledger as rejected. Raises ``ConfigError``."""
    for path in sorted(plan.commands.folder.glob(f"{_ABANDONED}*.jsonl")):
        content = read_file(path)
        if failed := failed_tests(plan, content):
            reason = f"the run was interrupted after {counted(len(failed), 'failed test')}: {listed(failed)}"
            started = decode_run(content, path).start.started
            write_rejected(plan, reason, {RECORD: sha256_of(content)}, (started, _now()), fence, failed)
        path.unlink()


def failed_tests(plan: Plan, content: bytes) -> tuple[str, ...]:
    """Return the blocking tests in an incomplete results log; none if it cannot be read."""
    try:
        record = decode_run(content, plan.commands.folder / RECORD)
    except ConfigError:
        return ()
    return tuple(
        classification.node for classification in evaluated_by(plan, record).classifications if classification.blocks
    )


def evaluated_by(plan: Plan, record: RecordedRun, day: date | None = None) -> EvaluatedRun:
    """Evaluate a results log with the expectations from before the run."""
    # A run evaluates expectations at the day of its start, and shards at that of their plan.
    context = record.start.context(plan.name, day or time_of(record.start.started).date(), plan.tolerance)
    return evaluate_run(record.start, record.tests, record.end, plan.expectations, context)


def write_rejected(
    plan: Plan,
    reason: str,
    files: Mapping[str, str],
    between: tuple[str, str],
    fence: int,
    failed: tuple[str, ...] = (),
    word: Literal["HOLD", "REJECT"] = "REJECT",
) -> None:
    """Write a run that proves nothing, with the ``reason``, by default as rejected."""
    details = RunDetails(
        environment=plan.name, release=plan.release.id, verdict=word, plan="", planned=0, problem=reason,
        started=between[0], finished=between[1], fence=fence,
    )  # fmt: skip
    configuration = tuple(Resource(name, {"sha256": digest}) for name, digest in sorted(files.items()))
    run = RunPredicate(result="FAILED", configuration=configuration, failed=failed, details=details)
    plan.promotion.ledger.append(RUN, plan.release.subjects(), run, signers=plan.signers)


def _left(plan: Plan, sealed: Mark, ran: Mark) -> _Left:
    """Evaluate the results log with the expectations from before the run, and compare the other files with it.

    Raises :class:`Unfit` if pytest did not complete, and ``ConfigError`` if the files were changed.
    """
    folder = plan.commands.folder
    record = decode_run(_written(folder / RECORD, ran.record), folder / RECORD)
    if record.end is None:
        raise Unfit("the results log is incomplete: the run was killed")
    content = read_file(folder / PLAN)
    if sha256_of(content) != sealed.files.get(PLAN):
        raise ConfigError(
            f"{PLAN}: changed since it was saved: {sha256_of(content)[:12]}, saved as {sealed.files.get(PLAN, '')[:12]}"
        )
    required = read_plan(folder / PLAN)
    day = required.day if record.end.shards else None
    if sha256_of(read_file(folder / BASELINE)) != sealed.files.get(BASELINE):
        raise ConfigError(f"{BASELINE}: changed since it was saved")
    evaluated = evaluated_by(plan, record, day)
    own = verdict_file(evaluated)
    problem = contradiction(
        required,
        own,
        _theirs(plan),
        record,
        # The ledger and not the file, which the run could have replaced. No other release is promoted under this lock.
        baseline=baseline_in_ledger(plan),
        release=plan.release,
        codes=(ran.exit_code, evaluated.exit_code),
        between=(sealed.when, ran.when),
    )
    changed = f"files changed during the run: {listed(ran.changed)}" if ran.changed else ""
    problem = "; ".join(filter(None, (ran.refused, problem, changed)))
    return _Left(required, record, own, problem)


def _written(path: Path, reported: str) -> bytes:
    """Return the results log, if its hash is the one that pytest reported at its end."""
    content = read_file(path)
    if not reported or (not content and reported == sha256_of(content)):
        raise Unfit("pytest ended without a results log; its result is unknown")
    if sha256_of(content) != reported:
        raise ConfigError(f"{path.name}: changed since the run: {sha256_of(content)[:12]}, reported as {reported[:12]}")
    return content


def _untouched(plan: Plan, ran: Mark) -> bool:
    """Whether the run ended before its first test and before any deployment."""
    return ran.exit_code in _UNTOUCHED and not ran.problem and not read_file(plan.commands.folder / RECORD)


def _nothing_known(plan: Plan, running: dict[str, str], reason: str, fence: int) -> Kept:
    """Write a failed deployment, because it is unknown what the environment runs."""
    _write_deployment(plan, msgspec.structs.replace(_deployed(plan, None, fence), services=running, reason=reason))
    return Kept("failed", problem=reason)


def _nothing_ran(plan: Plan, ran: Mark, fence: int) -> Kept:
    """Write a split run without the results of any shard."""
    if ran.deployment is not None:
        _write_deployment(plan, msgspec.structs.replace(ran.deployment, time=_now(), fence=fence))
    word: Literal["HOLD", "REJECT"] = "HOLD" if ran.exit_code == EXIT_CODES["HOLD"] else "REJECT"
    write_rejected(plan, ran.refused, ran.files, (ran.when, _now()), fence, word=word)
    return Kept(ran.deployment.outcome if ran.deployment else "", word, ran.refused)


def _run(plan: Plan, left: _Left, ran: Mark, running: dict[str, str], fence: int) -> RunPredicate:
    run = run_predicate(
        left.plan,
        left.verdict,
        left.record,
        files=ran.files | plan.release.configs,
        running=running,
        fence=fence,
        baseline=baseline_of(plan.promotion.rootdir, plan.promotion.ledger.entries(), plan.name, plan.release.id),
        problem=left.problem,
        ci=ci_run(plan.promotion.environ),
        shards=ran.seen,
    )
    run = located(run, plan.environment, left.verdict.addresses)
    return msgspec.structs.replace(run, details=with_declared(run.details, plan.promotion.declared(plan.name)))


def _deployment(
    plan: Plan, verdict: VerdictFile, ran: Mark, running: dict[str, str], fence: int
) -> DeploymentPredicate:
    """Return the deployment; or, without a deployment, whether the release ran before and after the tests."""
    if ran.deployment is not None:
        return msgspec.structs.replace(ran.deployment, time=_now(), fence=fence)
    if plan.deploys:
        return _deployed(plan, verdict.deployment, fence)
    wrong = ran.problem or ", ".join(s for s in plan.services if running.get(s) != plan.release.digests[s])
    deployment = msgspec.structs.replace(_deployed(plan, None, fence), services=running)
    if wrong or verdict.changed:
        return msgspec.structs.replace(deployment, reason=f"nothing was deployed, and other images run there: {wrong}")
    return msgspec.structs.replace(deployment, outcome="unchanged", reason="")


def _deployed(plan: Plan, seen: DeploymentSeen | None, fence: int) -> DeploymentPredicate:
    return deployment_predicate(
        seen, plan.services, environment=plan.name, release=plan.release, time=_now(), fence=fence
    )


def _write_deployment(plan: Plan, deployment: DeploymentPredicate) -> None:
    plan.promotion.ledger.append(DEPLOYMENT, plan.release.subjects(), deployment, signers=plan.signers)


def _running(plan: Plan) -> dict[str, str]:
    """Return the images that run after the last test. Only pytest itself can use a hook in conftest.py."""
    if plan.hook == _IN_PYTEST:
        return {}
    try:
        return observed(plan.environment, plan.promotion.rootdir, plan.services)
    except GaiaError:
        # Without an observation, the gate decides HOLD.
        return {}


def _theirs(plan: Plan) -> VerdictFile | None:
    with suppress(msgspec.MsgspecError, UnicodeDecodeError):
        return msgspec.json.decode(read_file(plan.commands.folder / VERDICT), type=VerdictFile)
    return None


def read_file(path: Path) -> bytes:
    """Return the content of the file at ``path``; empty if it does not exist."""
    with suppress(OSError):
        return path.read_bytes()
    return b""


def _same(predicate: object, run: RunPredicate) -> bool:
    if not isinstance(predicate, RunPredicate):
        return False
    return _identity(predicate) == _identity(run)


def _identity(run: RunPredicate) -> tuple[str, ...]:
    details = run.details
    return details.environment, details.release, details.plan, details.started, details.finished


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
