"""What changed since the release that was signed off before this one."""

from collections.abc import Iterator, Mapping

from pytest_gaia.errors import ConfigError
from pytest_gaia.promotion.gate.situation import Situation
from pytest_gaia.promotion.ledger.ledger import Entry
from pytest_gaia.promotion.ledger.statements import SHORT, GatePredicate
from pytest_gaia.promotion.release.model import Release
from pytest_gaia.promotion.signoff._environments import counts_of
from pytest_gaia.promotion.signoff._look import Look, RunSeen, kept_run, may_testify, moment
from pytest_gaia.report.layout import told
from pytest_gaia.report.signoff.page import Change, Changes, Counts

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


def changes(look: Look) -> Changes:
    """Return how this release differs from the one before it in the target; nothing where there was none."""
    entry = _signed_off_before(look)
    if entry is None or not isinstance(entry.predicate, GatePredicate):
        return Changes("")
    before = entry.predicate.decision.release
    since = f"bundle {before[:SHORT]}, which the gate of {look.target.environment} let pass on "
    since += moment(entry.time) if entry.time else "a day that is not known"
    try:
        old = look.promotion.release(before)
    except ConfigError:
        note = f"bundle {before[:SHORT]} is not kept on this machine: what it held is not known here"
        return Changes(since, (), (note,))
    earlier = {each.environment: _run_of(look, each, old) for each in look.way}
    expectations, notes = _expectations(look, earlier)
    return Changes(since, (*_parts(old, look.release), *expectations, *_counts(look, earlier)), notes)


def _signed_off_before(look: Look) -> Entry | None:
    """Return the newest PROMOTE of another bundle in the target, from before this one got there."""
    found = None
    for entry in look.entries:
        says = entry.predicate
        if not isinstance(says, GatePredicate) or not may_testify(entry, look.target.stage):
            continue
        if (says.decision.environment, says.decision.verdict) != (look.target.environment, "PROMOTE"):
            continue
        if says.decision.release == look.release.id:
            break
        found = entry
    return found


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


def _expectations(look: Look, earlier: Mapping[str, RunSeen]) -> tuple[tuple[Change, ...], tuple[str, ...]]:
    """Return what differs between the rules of the two runs furthest on the way of which both verdict files are known."""
    for name in reversed(look.names):
        before, now = earlier[name].verdict, look.runs[name].verdict
        if before is not None and now is not None:
            old, new = ({use.id: told(use) for use in each.expectations} for each in (before, now))
            changed = (
                Change(f"rule {expectation}", old.get(expectation, "not there"), new.get(expectation, "removed"))
                for expectation in sorted(old | new)
                if old.get(expectation) != new.get(expectation)
            )
            return tuple(changed), ()
    return (), (
        "rules: no environment has the verdict files of both releases, so what changed in them is not known here",
    )


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
