"""The failures of recorded runs that no rule excuses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_gaia.policy.suggestions import Failing
from pytest_gaia.verdict.judge import EXECUTED, subject_of, symptom_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pytest_gaia.policy.subjects import Subject
    from pytest_gaia.verdict.evidence import RecordedRun
    from pytest_gaia.verdict.judged import Judged


def unexcused(runs: Sequence[tuple[RecordedRun, Judged]]) -> Iterator[Failing]:
    """Yield the first failure of each test in each run that no rule excuses; flaky if the test has passed as well."""
    passed = {
        (judged.context.environment, each.node)
        for _, judged in runs
        for each in judged.judgements
        if each.outcome == "passed"
    }
    for run, judged in runs:
        excused = {each.node for each in judged.judgements if each.outcome == "expected failure"}
        environment = judged.context.environment
        for record in run.tests:
            phases = (*record.phases, *record.earlier)
            failed = next((phase for phase in phases if phase.outcome == "failed"), None)
            if failed is not None and record.node not in excused:
                flaky = (environment, record.node) in passed
                yield Failing(environment, subject_of(record), symptom_of(failed), flaky)


def executed(runs: Sequence[tuple[RecordedRun, Judged]]) -> frozenset[Subject]:
    """Return every test that ran in any of ``runs``."""
    nodes = {each.node for _, judged in runs for each in judged.judgements if each.outcome in EXECUTED}
    return frozenset(subject_of(record) for run, _ in runs for record in run.tests if record.node in nodes)
