"""Measurement of service level objectives from a results log, and comparison with the last promoted run.

Percentiles are those of ``statistics.quantiles`` (inclusive). Two runs are compared with the Mann–Whitney U test (normal
approximation with correction for ties and continuity: Hollander, Wolfe, Chicken, *Nonparametric Statistical Methods*, 3rd
ed., section 4.1). The medians must also differ by :data:`EFFECT_FLOOR`, because with many samples every small difference
is significant.
"""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Literal

from pytest_gaia.config.stages import Slo
from pytest_gaia.errors import ConfigError
from pytest_gaia.promotion.ledger.ledger import Entry
from pytest_gaia.promotion.ledger.statements import SHORT, RunPredicate, SloResult, SloStatus, sha256_of
from pytest_gaia.promotion.promote._journal import FOLDER
from pytest_gaia.promotion.promote.child import RECORD
from pytest_gaia.verdict.evidence import TestRecord
from pytest_gaia.verdict.results_log import read_run

EFFECT_FLOOR = 1.25
"""minimum ratio of the medians for "slower" and "faster\""""
SIGNIFICANCE = 0.01
"""two-sided"""
LEAST_COMPARED = 50
"""minimum number of samples on each side for a comparison that counts"""

Samples = dict[str, list[float]]
"""route (method and template) → milliseconds, in the order of measurement"""


@dataclass(frozen=True, slots=True)
class Comparison:
    """One route in this run and in the baseline."""

    route: str
    samples: int
    baseline_samples: int
    median_ms: float
    baseline_median_ms: float
    p_value: float
    word: Literal["slower", "faster", "same"]
    decides: bool
    """whether there were enough samples; otherwise the comparison is only information"""


def samples_of(tests: Iterable[TestRecord]) -> Samples:
    """Return the response times of each route, from the tests that passed.

    Repeated attempts of a test and repeated requests count, too, because users wait for them. A request without a
    response has no time; it is part of the outcome of its test.
    """
    found: Samples = {}
    for test in tests:
        if not test.clean:
            continue
        for wire in test.exchanges:
            if wire.status is not None and wire.status < 500:
                found.setdefault(f"{wire.method} {wire.route}", []).append(wire.elapsed * 1000)
    return found


def measure(slos: Iterable[Slo], samples: Mapping[str, Sequence[float]]) -> tuple[SloResult, ...]:
    """Return each objective with its measurement. With too few samples, the result is inconclusive."""
    return tuple(_measured(slo, samples.get(slo.route, ())) for slo in slos)


def compare(samples: Mapping[str, Sequence[float]], baseline: Mapping[str, Sequence[float]]) -> tuple[Comparison, ...]:
    """Return a comparison for every route that both runs have, sorted by name."""
    return tuple(
        _compared(route, samples[route], baseline[route]) for route in sorted(samples.keys() & baseline.keys())
    )


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the ``percent``-th percentile of ``values``, which must not be empty."""
    if len(values) == 1:
        return values[0]
    # In thousandths, with 999 cut points, so that 99.9 is one of them.
    cut = round(percent * 10)
    return max(values) if cut >= 1000 else statistics.quantiles(values, n=1000, method="inclusive")[max(0, cut - 1)]


def mann_whitney(first: Sequence[float], second: Sequence[float]) -> float:
    """Return the two-sided p-value of the hypothesis of equal distributions (1.0 if all values are equal)."""
    n, m = len(first), len(second)
    ranks = _ranks([*first, *second])
    u = sum(ranks[value] for value in first) - n * (n + 1) / 2
    total = n + m
    ties = sum(count**3 - count for count in Counter([*first, *second]).values())
    variance = n * m / 12 * (total + 1 - ties / (total * (total - 1)))
    if variance <= 0:
        return 1.0
    z = (abs(u - n * m / 2) - 0.5) / math.sqrt(variance)
    return min(1.0, math.erfc(max(0.0, z) / math.sqrt(2)))


def _ranks(values: Iterable[float]) -> dict[float, float]:
    """Return value → rank from 1; equal values share their mean rank."""
    ranks: dict[float, float] = {}
    before = 0
    for value, same in groupby(sorted(values)):
        count = len(list(same))
        ranks[value] = before + (count + 1) / 2
        before += count
    return ranks


def _measured(slo: Slo, values: Sequence[float]) -> SloResult:
    measured = round(percentile(values, slo.percentile), 1) if values else None
    status, reason = _evaluated(slo, len(values), measured)
    return SloResult(
        route=slo.route,
        percentile=slo.percentile,
        samples=len(values),
        measured_ms=measured,
        warn_ms=slo.warn_ms,
        fail_ms=slo.fail_ms,
        status=status,
        reason=reason,
    )


def _evaluated(slo: Slo, samples: int, measured: float | None) -> tuple[SloStatus, str]:
    if measured is None or samples < slo.min_samples:
        return "inconclusive", f"{samples} samples; at least {slo.min_samples} required"
    what = f"p{slo.percentile:g} is {measured:g} ms"
    if measured > slo.fail_ms:
        return "failed", f"{what}, over {slo.fail_ms:g} ms"
    if slo.warn_ms is not None and measured > slo.warn_ms:
        return "warned", f"{what}, over {slo.warn_ms:g} ms"
    return "passed", what


def _compared(route: str, now: Sequence[float], before: Sequence[float]) -> Comparison:
    p_value = mann_whitney(now, before)
    median, baseline = statistics.median(now), statistics.median(before)
    word: Literal["slower", "faster", "same"] = "same"
    if p_value < SIGNIFICANCE and median > baseline * EFFECT_FLOOR:
        word = "slower"
    elif p_value < SIGNIFICANCE and median * EFFECT_FLOOR < baseline:
        word = "faster"
    return Comparison(
        route,
        len(now),
        len(before),
        round(median, 2),
        round(baseline, 2),
        p_value,
        word,
        min(len(now), len(before)) >= LEAST_COMPARED,
    )


@dataclass(frozen=True, slots=True)
class Baseline:
    """An earlier run; empty if there is none."""

    record: str = ""
    """SHA-256 of its results log"""
    samples: Samples = field(default_factory=dict)
    concurrency: int = 1
    """limit of its concurrent tests, which make response times longer"""

    def at(self, concurrency: int) -> Baseline:
        """Return the baseline for a run with this limit of concurrent tests: this one, or an empty one if it had another."""
        return self if concurrency == self.concurrency else Baseline()

    def slower(self, samples: Samples) -> tuple[str, ...]:
        """Return a sentence for each route that is slower now and has enough samples."""
        return tuple(
            f"{each.route}: median {each.median_ms:g} ms, {each.baseline_median_ms:g} ms before"
            for each in compare(samples, self.samples)
            if each.word == "slower" and each.decides
        )


def baseline_of(rootdir: Path, entries: Sequence[Entry], environment: str, release: str) -> Baseline:
    """Return the last run of another release in ``environment`` with the verdict PROMOTE.

    If its results log is missing or differs from the ledger, the baseline is empty; no older run replaces it.
    """
    for entry in reversed(entries):
        run = entry.predicate
        if entry.problem or entry.doubt or not isinstance(run, RunPredicate) or run.details.release == release:
            continue
        if (run.details.environment, run.details.verdict, run.details.rehearsal) == (environment, "PROMOTE", False):
            return _read(rootdir / FOLDER / f"{environment}-{run.details.release[:SHORT]}" / RECORD, run)
    return Baseline()


def _read(path: Path, run: RunPredicate) -> Baseline:
    known = run.digest_of(RECORD)
    try:
        if sha256_of(path.read_bytes()) != known:
            return Baseline()
        recorded = read_run(path)
    except (OSError, ConfigError):
        return Baseline()
    return Baseline(known, samples_of(recorded.tests), recorded.start.concurrency)
