"""Service level objectives, measured from the exchanges of a recorded run, and compared with the last promoted one.

Percentiles are those of ``statistics.quantiles`` (inclusive). Two runs are compared by the Mann–Whitney U test (normal
approximation with correction for ties and for continuity: Hollander, Wolfe, Chicken, *Nonparametric Statistical
Methods*, 3rd ed., section 4.1), and only a difference that is also large counts: the medians must differ by
:data:`EFFECT_FLOOR`. A run of many samples would otherwise find every nothing significant.
"""

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
from pytest_gaia.verdict.evidence import TestRecord, read_run

EFFECT_FLOOR = 1.25
"""how much slower the median must be to be called slower"""
SIGNIFICANCE = 0.01
"""two-sided"""
LEAST_COMPARED = 50
"""samples on either side below which a comparison only advises"""

Samples = dict[str, list[float]]
"""route (method and template) → milliseconds, in the order in which they were taken"""


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
    """whether there were enough samples for it to count; else it only advises"""


def samples_of(tests: Iterable[TestRecord]) -> Samples:
    """Return how long each route took, answered requests of tests that passed alone.

    A test's later attempts count no less than its first, and a request's repetitions no less: users wait for them.
    What never got an answer has no time of its own, and is the judge's matter.
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
    """Return each objective with what was measured. Too few samples conclude nothing; none at all neither."""
    return tuple(_measured(slo, samples.get(slo.route, ())) for slo in slos)


def compare(samples: Mapping[str, Sequence[float]], baseline: Mapping[str, Sequence[float]]) -> tuple[Comparison, ...]:
    """Return every route that both runs have, by name."""
    return tuple(
        _compared(route, samples[route], baseline[route]) for route in sorted(samples.keys() & baseline.keys())
    )


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the ``percent``-th percentile of ``values``, of which there is at least one."""
    if len(values) == 1:
        return values[0]
    # In thousandths, so that 99.9 is one of the cut points; there are 999 of them.
    cut = round(percent * 10)
    return max(values) if cut >= 1000 else statistics.quantiles(values, n=1000, method="inclusive")[max(0, cut - 1)]


def mann_whitney(first: Sequence[float], second: Sequence[float]) -> float:
    """Return the two-sided p-value of the hypothesis that both were drawn alike (1.0 where they hold the same values)."""
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
    """Return value → its rank from 1; equal values share the mean of theirs."""
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
    """An earlier run; empty where there is none to compare with."""

    record: str = ""
    """SHA-256 of its record"""
    samples: Samples = field(default_factory=dict)

    def slower(self, samples: Samples) -> tuple[str, ...]:
        """Return a sentence for each route that is slower now, as far as there were enough samples to decide."""
        return tuple(
            f"{each.route}: median {each.median_ms:g} ms, {each.baseline_median_ms:g} ms before"
            for each in compare(samples, self.samples)
            if each.word == "slower" and each.decides
        )


def baseline_of(rootdir: Path, entries: Sequence[Entry], environment: str, release: str) -> Baseline:
    """Return the last run of another release in ``environment`` that came to PROMOTE.

    Its record counts if it is what the ledger says that it was. An older run never stands in for it.
    """
    for entry in reversed(entries):
        says = entry.predicate
        if entry.problem or entry.doubt or not isinstance(says, RunPredicate) or says.details.release == release:
            continue
        if (says.details.environment, says.details.verdict, says.details.rehearsal) == (environment, "PROMOTE", False):
            return _read(rootdir / FOLDER / f"{environment}-{says.details.release[:SHORT]}" / RECORD, says)
    return Baseline()


def _read(path: Path, says: RunPredicate) -> Baseline:
    known = says.digest_of(RECORD)
    try:
        found = sha256_of(path.read_bytes())
        return Baseline(known, samples_of(read_run(path).tests)) if found == known else Baseline()
    except (OSError, ConfigError):
        return Baseline()
