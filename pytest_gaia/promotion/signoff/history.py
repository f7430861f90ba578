"""What the charts are drawn of: objectives and how they were met, and every run of the ledger."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median

from pytest_gaia.promotion.bundle import SHORT
from pytest_gaia.promotion.performance import samples_of
from pytest_gaia.promotion.signoff.environments import counts_of
from pytest_gaia.promotion.signoff.look import Look, may_testify
from pytest_gaia.promotion.signoff.words import moment
from pytest_gaia.promotion.statements import RunPredicate, SloResult
from pytest_gaia.report.signoff.page import SHOWN_RUNS, Objective, RunPoint


def objectives(look: Look) -> tuple[Objective, ...]:
    """Return each objective of each run that counts, with times of its record where that is at hand."""
    return tuple(
        _objective(look, name, result)
        for name, seen in look.runs.items()
        if seen.evidence
        for result in seen.evidence.says.details.slo
    )


def history(look: Look) -> tuple[RunPoint, ...]:
    """Return the last runs of each environment of the way, of whatever release, the oldest first."""
    return tuple(point for name in look.names for point in list(_points(look, name))[-SHOWN_RUNS:])


def _objective(look: Look, name: str, result: SloResult) -> Objective:
    record = look.runs[name].record
    times = samples_of(record.tests).get(result.route, []) if record else []
    return Objective(
        environment=name,
        route=result.route,
        percentile=result.percentile,
        samples=result.samples,
        measured_ms=result.measured_ms,
        warn_ms=result.warn_ms,
        fail_ms=result.fail_ms,
        status=result.status,
        why=result.why,
        median_ms=round(median(times), 1) if times else None,
        slowest_ms=round(max(times), 1) if times else None,
    )


def _points(look: Look, name: str) -> Iterator[RunPoint]:
    stage = next(each.stage for each in look.way if each.environment == name)
    for entry in look.entries:
        says = entry.predicate
        if not isinstance(says, RunPredicate) or not may_testify(entry, stage):
            continue
        details = says.details
        if details.environment != name or details.rehearsal:
            continue
        counts = counts_of(details.counts, details.planned)
        unexpected = counts.failed + counts.unexpected_passes
        yield RunPoint(
            environment=name,
            when=moment(entry.time) if entry.time else "",
            release=details.bundle[:SHORT],
            this=details.bundle == look.bundle.id,
            verdict=details.verdict,
            passed=counts.passed,
            excused=counts.expected,
            failed=unexpected,
            other=counts.not_applicable + counts.blocked + counts.not_run,
        )
