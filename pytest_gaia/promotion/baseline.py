"""What a run's times are compared with: the last promoted run of the same environment, if its record is still here."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pytest_gaia.errors import ConfigError
from pytest_gaia.promotion.bundle import SHORT
from pytest_gaia.promotion.ledger import Entry
from pytest_gaia.promotion.performance import Samples, compare, samples_of
from pytest_gaia.promotion.promote_commands import RECORD
from pytest_gaia.promotion.promote_journal import FOLDER
from pytest_gaia.promotion.statements import RunPredicate
from pytest_gaia.verdict.evidence import read_run


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


def baseline_of(rootdir: Path, entries: Sequence[Entry], environment: str, bundle: str) -> Baseline:
    """Return the last run of another bundle in ``environment`` that came to PROMOTE.

    Its record counts if it is what the ledger says that it was. An older run never stands in for it.
    """
    for entry in reversed(entries):
        says = entry.predicate
        if entry.problem or entry.doubt or not isinstance(says, RunPredicate) or says.details.bundle == bundle:
            continue
        if (says.details.environment, says.details.verdict, says.details.rehearsal) == (environment, "PROMOTE", False):
            return _read(rootdir / FOLDER / f"{environment}-{says.details.bundle[:SHORT]}" / RECORD, says)
    return Baseline()


def _read(path: Path, says: RunPredicate) -> Baseline:
    known = says.digest_of(RECORD)
    try:
        found = hashlib.sha256(path.read_bytes()).hexdigest()
        return Baseline(known, samples_of(read_run(path).tests)) if found == known else Baseline()
    except (OSError, ConfigError):
        return Baseline()
