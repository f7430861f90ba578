"""Differences from the release that the target approved before, and the way back to an earlier release."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from pytest_gaia.errors import ConfigError, GaiaError
from pytest_gaia.expectations.apis import FETCHED
from pytest_gaia.promotion.gate.situation import Situation
from pytest_gaia.promotion.ledger.ledger import Entry
from pytest_gaia.promotion.ledger.statements import RUNS_WELL, SHORT, GatePredicate, RollbackPredicate, RunDetails
from pytest_gaia.promotion.promote.rollback import earlier_release
from pytest_gaia.promotion.release.kept import Release
from pytest_gaia.promotion.signoff._context import (
    KnownRun,
    PageContext,
    is_valid_evidence,
    kept_run,
    moment,
    plain_times,
)
from pytest_gaia.promotion.signoff._environments import counts_of
from pytest_gaia.report.layout import told
from pytest_gaia.report.signoff.page import (
    SHOWN_COMMITS,
    Change,
    Changes,
    Commit,
    Counts,
    RemovedOperation,
    WayBack,
)
from pytest_gaia.system.processes import git
from pytest_gaia.verdict.classify import ACCEPTED, EXECUTED

_NOTHING = "none"
_COUNTED = {
    "planned": "planned",
    "passed": "passed",
    "expected": "expected failures",
    "failed": "unexpected failures",
    "unexpected_passes": "unexpected passes",
    "offline": "passed offline",
    "not_applicable": "not applicable",
    "blocked": "blocked",
    "not_run": "not run",
}
_NAMED_TESTS = 5
"""named tests of one kind of difference"""
_FIELDS = 3
"""of one commit: id, author, title"""
_GIT_SECONDS = 20.0


def changes(context: PageContext) -> Changes:
    """Return how this release differs from the one that the target approved before; nothing without one."""
    entry = _approved_before(context)
    if entry is None or not isinstance(entry.predicate, GatePredicate):
        return Changes("")
    before = entry.predicate.decision.release
    since = f"release {before[:SHORT]}, approved for {context.target.environment}"
    since += f" on {moment(entry.time)}" if entry.time else ""
    try:
        old = context.promotion.release(before)
    except ConfigError:
        note = f"release {before[:SHORT]} is not on this machine, so its content is not known"
        return Changes(since, (), (note,))
    earlier = {each.environment: _run_of(context, each, old) for each in context.situations}
    rows, notes = _by_verdict_files(context, earlier)
    commits, count = _commits(context, old.commit, context.release.commit)
    return Changes(
        since,
        (*_parts(old, context.release), *rows, *_counts(context, earlier)),
        notes,
        commits,
        count,
        context.links.compare(old.commit, context.release.commit) if old.commit != context.release.commit else "",
    )


def removed_operations(context: PageContext) -> tuple[RemovedOperation, ...]:
    """Return what the release no longer offers, from the newest run in each environment; what blocks it comes first."""
    found: dict[tuple[bool, str, str, str, str], list[str]] = {}
    for run in _runs(context):
        for each in run.removed:
            key = (each.blocks, each.expectation, each.operation, each.owner, each.expires)
            found.setdefault(key, []).append(run.environment)
    rows = (
        RemovedOperation(operation, tuple(names), expectation, owner, until, blocks)
        for (blocks, expectation, operation, owner, until), names in found.items()
    )
    return tuple(sorted(rows, key=lambda each: (not each.blocks, not each.expectation, each.operation)))


def compared_apis(context: PageContext) -> tuple[str, ...]:
    """Return what the operations of the release were compared with, one sentence for each environment."""
    return tuple(_compared(run) for run in _runs(context) if run.apis or run.compared_with)


def _compared(run: RunDetails) -> str:
    elsewhere = sorted({f"{name}: as in {api.source}" for name, api in run.apis.items() if api.source != FETCHED})
    source = f" ({'; '.join(elsewhere)})" if elsewhere else ""
    if not run.compared_with:
        return f"{run.environment}: no earlier release has a known API{source}."
    text = f"{run.environment}: compared with {run.compared_with}{source}"
    return f"{text}; NOT KNOWN now: {', '.join(run.unknown_apis)}." if run.unknown_apis else f"{text}."


def _runs(context: PageContext) -> Iterator[RunDetails]:
    return (seen.evidence.says.details for seen in context.runs.values() if seen.evidence)


def way_back(context: PageContext) -> WayBack:
    """Return the release that a rollback of the target restores, as ``gaia rollback`` chooses it."""
    name = context.target.environment
    drill = _drill(context)
    try:
        found = earlier_release(context.promotion, name, context.release, context.now, context.entries)
    except GaiaError as error:
        return WayBack("", drill=drill, note=str(error))
    if found is None:
        return WayBack("", drill=drill, note=f"The ledger has no earlier release that passed in {name}.")
    target, seen = found
    lacking = [each for each in context.target.wanted if each not in target.digests]
    other = target.migration_head != context.release.migration_head
    return WayBack(
        release=f"release {target.short}",
        seen=plain_times(seen),
        images=tuple((each.service, each.digest) for each in sorted(target.components)),
        drill=drill,
        command=f"gaia rollback {name} --confirm {name}" + (" --accept-migrations" if other else ""),
        note=" ".join(_limits(lacking, other)),
    )


def _limits(lacking: Sequence[str], other_migrations: bool) -> Iterator[str]:  # a fact, not a mode
    if lacking:
        yield f"It has no image of {', '.join(lacking)}: name the images of a rollback with --to SERVICE=IMAGE."
    if other_migrations:
        yield "The database migrations differ, and a rollback does not undo them."


def _drill(context: PageContext) -> str:
    """Return the result of the newest rollback drill of the release, in words."""
    found = [
        each
        for situation in context.situations
        for each in situation.evidence(RollbackPredicate)
        if each.says.rehearsal
    ]
    if not found:
        return "none for this release"
    latest = max(found, key=lambda each: each.time)
    result = "passed" if latest.says.outcome in RUNS_WELL else f"failed ({latest.says.outcome})"
    return f"{result} in {latest.says.environment} on {moment(latest.time)}"


def _approved_before(context: PageContext) -> Entry | None:
    """Return the newest PROMOTE of another release in the target, from before this one was approved there."""
    found = None
    for entry in context.entries:
        says = entry.predicate
        if not isinstance(says, GatePredicate) or not is_valid_evidence(entry, context.target.stage):
            continue
        if (says.decision.environment, says.decision.verdict) != (context.target.environment, "PROMOTE"):
            continue
        if says.decision.release == context.release.id:
            break
        found = entry
    return found


def _commits(context: PageContext, old: str, new: str) -> tuple[tuple[Commit, ...], int]:
    """Return the newest commits between two releases, and the number of all; none that this repository does not have."""
    try:
        log = git(
            context.promotion.rootdir,
            "log",
            "-z",
            "--format=%H%x00%an%x00%s",
            f"{old}..{new}",
            "--",
            seconds=_GIT_SECONDS,
        )
    except (OSError, TimeoutError):
        return (), 0
    if log.returncode or not old or not new:
        return (), 0
    parts = log.stdout.decode(errors="replace").rstrip("\0").split("\0")
    found = [parts[at : at + _FIELDS] for at in range(0, len(parts) - _FIELDS + 1, _FIELDS)]
    shown = tuple(Commit(id, title, author, context.links.commit(id)) for id, author, title in found[:SHOWN_COMMITS])  # noqa: A001  # the field's name
    return shown, len(found)


def _run_of(context: PageContext, situation: Situation, old: Release) -> KnownRun:
    earlier = replace(situation, release=old)
    return kept_run(earlier, context.promotion.rootdir)


def _parts(old: Release, new: Release) -> Iterator[Change]:
    for service in sorted(old.digests | new.digests):
        yield from _differing(f"image of {service}", old.digests.get(service, ""), new.digests.get(service, ""))
    yield from _differing("commit", old.commit, new.commit)
    yield from _differing("migration head", old.migration_head, new.migration_head)
    for name in sorted(old.configs | new.configs):
        yield from _differing(f"deploy file {name}", old.configs.get(name, ""), new.configs.get(name, ""))


def _differing(what: str, old: str, new: str) -> Iterator[Change]:
    if old != new:
        yield Change(what, old or _NOTHING, new or _NOTHING, code=True)


def _by_verdict_files(
    context: PageContext, earlier: Mapping[str, KnownRun]
) -> tuple[tuple[Change, ...], tuple[str, ...]]:
    """Return the changed expectations and test outcomes in the last environment with verdict files of both releases."""
    for name in reversed(context.names):
        before, now = earlier[name].verdict, context.runs[name].verdict
        if before is not None and now is not None:
            old, new = ({use.id: told(use) for use in each.expectations} for each in (before, now))
            changed = (
                Change(f"expectation {each}", old.get(each, _NOTHING), new.get(each, "removed"))
                for each in sorted(old | new)
                if old.get(each) != new.get(each)
            )
            then, today = ({test.node: test.outcome for test in each.tests} for each in (before, now))
            return (*changed, *_outcomes(name, then, today)), ()
    return (), (
        "no environment has the verdict files of both releases, so changed tests and expectations are not known",
    )


def _outcomes(name: str, then: Mapping[str, str], now: Mapping[str, str]) -> Iterator[Change]:
    """Return the tests that fail now, are known to fail now, and no longer run."""
    executed = [node for node, outcome in then.items() if outcome in EXECUTED]
    new = {node: outcome for node, outcome in now.items() if outcome != then.get(node)}
    groups = {
        "newly failing tests": [node for node, outcome in new.items() if outcome in ("failed", "error", "crashed")],
        "newly known failures": [node for node, outcome in new.items() if outcome in ACCEPTED],
        "tests no longer run": [node for node in executed if now.get(node) not in EXECUTED],
    }
    for what, nodes in groups.items():
        if nodes:
            more = f", and {len(nodes) - _NAMED_TESTS} more" if len(nodes) > _NAMED_TESTS else ""
            yield Change(f"{name}: {what}", "–", f"{len(nodes)}: {', '.join(sorted(nodes)[:_NAMED_TESTS])}{more}")


def _counts(context: PageContext, earlier: Mapping[str, KnownRun]) -> Iterator[Change]:
    for name in context.names:
        before, now = _counted(earlier[name]), _counted(context.runs[name])
        if before is None or now is None:
            continue
        for field, shown in _COUNTED.items():
            old, new = getattr(before, field), getattr(now, field)
            if old != new:
                yield Change(f"{name}: {shown}", str(old), str(new))


def _counted(seen: KnownRun) -> Counts | None:
    details = seen.evidence.says.details if seen.evidence else None
    return counts_of(details.counts, details.planned) if details else None
