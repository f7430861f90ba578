"""Differences from the release that the target approved before, and the way back to an earlier release."""

from collections.abc import Iterator, Mapping, Sequence

from pytest_gaia.errors import ConfigError, GaiaError
from pytest_gaia.promotion.gate.situation import Situation
from pytest_gaia.promotion.ledger.ledger import Entry
from pytest_gaia.promotion.ledger.statements import RUNS_WELL, SHORT, GatePredicate, RollbackPredicate
from pytest_gaia.promotion.promote.rollback import earlier_release
from pytest_gaia.promotion.release.model import Release
from pytest_gaia.promotion.signoff._environments import counts_of
from pytest_gaia.promotion.signoff._look import Look, RunSeen, is_valid_evidence, kept_run, moment, plain_times
from pytest_gaia.report.layout import told
from pytest_gaia.report.signoff.page import SHOWN_COMMITS, Change, Changes, Commit, Counts, WayBack
from pytest_gaia.system.git import git
from pytest_gaia.verdict.classify import ACCEPTED, EXECUTED

_NOTHING = "none"
_COUNTED = {
    "planned": "planned",
    "passed": "passed",
    "expected": "expected failures",
    "failed": "unexpected failures",
    "unexpected_passes": "unexpected passes",
    "not_applicable": "not applicable",
    "blocked": "blocked",
    "not_run": "not run",
}
_NAMED_TESTS = 5
"""named tests of one kind of difference"""
_FIELDS = 3
"""of one commit: id, author, title"""
_GIT_SECONDS = 20.0


def changes(look: Look) -> Changes:
    """Return how this release differs from the one that the target approved before; nothing without one."""
    entry = _approved_before(look)
    if entry is None or not isinstance(entry.predicate, GatePredicate):
        return Changes("")
    before = entry.predicate.decision.release
    since = f"release {before[:SHORT]}, approved for {look.target.environment}"
    since += f" on {moment(entry.time)}" if entry.time else ""
    try:
        old = look.promotion.release(before)
    except ConfigError:
        note = f"release {before[:SHORT]} is not on this machine, so its content is not known"
        return Changes(since, (), (note,))
    earlier = {each.environment: _run_of(look, each, old) for each in look.way}
    rows, notes = _by_verdict_files(look, earlier)
    commits, count = _commits(look, old.commit, look.release.commit)
    return Changes(
        since,
        (*_parts(old, look.release), *rows, *_counts(look, earlier)),
        notes,
        commits,
        count,
        look.links.compare(old.commit, look.release.commit) if old.commit != look.release.commit else "",
    )


def way_back(look: Look) -> WayBack:
    """Return the release that a rollback of the target restores, as ``gaia rollback`` chooses it."""
    name = look.target.environment
    drill = _drill(look)
    try:
        found = earlier_release(look.promotion, name, look.release, look.now)
    except GaiaError as error:
        return WayBack("", drill=drill, note=str(error))
    if found is None:
        return WayBack("", drill=drill, note=f"The ledger has no earlier release that passed in {name}.")
    target, seen = found
    lacking = [each for each in look.target.wanted if each not in target.digests]
    other = target.migration_head != look.release.migration_head
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


def _drill(look: Look) -> str:
    """Return the result of the newest rollback drill of the release, in words."""
    found = [each for situation in look.way for each in situation.evidence(RollbackPredicate) if each.says.rehearsal]
    if not found:
        return "none for this release"
    latest = max(found, key=lambda each: each.time)
    result = "passed" if latest.says.outcome in RUNS_WELL else f"failed ({latest.says.outcome})"
    return f"{result} in {latest.says.environment} on {moment(latest.time)}"


def _approved_before(look: Look) -> Entry | None:
    """Return the newest PROMOTE of another release in the target, from before this one was approved there."""
    found = None
    for entry in look.entries:
        says = entry.predicate
        if not isinstance(says, GatePredicate) or not is_valid_evidence(entry, look.target.stage):
            continue
        if (says.decision.environment, says.decision.verdict) != (look.target.environment, "PROMOTE"):
            continue
        if says.decision.release == look.release.id:
            break
        found = entry
    return found


def _commits(look: Look, old: str, new: str) -> tuple[tuple[Commit, ...], int]:
    """Return the newest commits between two releases, and the number of all; none that this repository does not have."""
    try:
        log = git(
            look.promotion.rootdir, "log", "-z", "--format=%H%x00%an%x00%s", f"{old}..{new}", "--", seconds=_GIT_SECONDS
        )
    except (OSError, TimeoutError):
        return (), 0
    if log.returncode or not old or not new:
        return (), 0
    parts = log.stdout.decode(errors="replace").rstrip("\0").split("\0")
    found = [parts[at : at + _FIELDS] for at in range(0, len(parts) - _FIELDS + 1, _FIELDS)]
    shown = tuple(Commit(id, title, author, look.links.commit(id)) for id, author, title in found[:SHOWN_COMMITS])  # noqa: A001  # the field's name
    return shown, len(found)


def _run_of(look: Look, situation: Situation, old: Release) -> RunSeen:
    earlier = Situation(situation.environment, situation.stage, old, look.entries, look.now)
    return kept_run(earlier, look.promotion.rootdir)


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


def _by_verdict_files(look: Look, earlier: Mapping[str, RunSeen]) -> tuple[tuple[Change, ...], tuple[str, ...]]:
    """Return the changed expectations and test outcomes in the last environment with verdict files of both releases."""
    for name in reversed(look.names):
        before, now = earlier[name].verdict, look.runs[name].verdict
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


def _counts(look: Look, earlier: Mapping[str, RunSeen]) -> Iterator[Change]:
    for name in look.names:
        before, now = _counted(earlier[name]), _counted(look.runs[name])
        if before is None or now is None:
            continue
        for field, shown in _COUNTED.items():
            old, new = getattr(before, field), getattr(now, field)
            if old != new:
                yield Change(f"{name}: {shown}", str(old), str(new))


def _counted(seen: RunSeen) -> Counts | None:
    details = seen.evidence.says.details if seen.evidence else None
    return counts_of(details.counts, details.planned) if details else None
