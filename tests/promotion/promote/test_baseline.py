"""What a run is compared with: the last promoted one of its environment, and nothing in its place."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import pytest

from pytest_gaia.promotion.ledger.statements import RUN, Resource, RunDetails, RunPredicate
from pytest_gaia.promotion.promote._journal import FOLDER
from pytest_gaia.promotion.promote.child import RECORD
from pytest_gaia.promotion.promote.performance import Baseline, baseline_of
from pytest_gaia.verdict.evidence import SCHEMA, Line, Phase, RunEnd, RunStart, TestRecord, Wire
from pytest_gaia.verdict.results_log import encode
from tests.promotion.pipeline import Pipeline, made_release

if TYPE_CHECKING:
    from pathlib import Path

    from tests.promotion.conftest import Keyring


TIME = "2026-11-02T09:00:00+00:00"


@pytest.fixture
def pipeline(keyring: Keyring, tmp_path: Path) -> Pipeline:
    return Pipeline(keyring, tmp_path / "ledger")


def leave_record(pipeline: Pipeline, tmp_path: Path, milliseconds: float, verdict: Any = "PROMOTE") -> Path:
    """Leave a promoted run of the release in staging, with its record."""
    path = tmp_path / FOLDER / f"staging-{pipeline.release.short}" / RECORD
    path.parent.mkdir(parents=True)
    wires = tuple(Wire("GET", "/health", "gateway", "direct", (milliseconds + at % 7) / 1000, 200) for at in range(60))
    test = TestRecord("suites/health/test_health.py::test_it", "ran", (Phase("call", "passed"),), exchanges=wires)
    lines: tuple[Line, ...] = (RunStart(SCHEMA, "staging", "microservices", TIME), test, RunEnd(TIME, 0, 1))
    path.write_bytes(b"".join(encode(line) for line in lines))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    details = RunDetails(
        environment="staging", release=pipeline.release.id, verdict=verdict, plan="", planned=1, started="",
        finished=pipeline.now.isoformat(),
    )  # fmt: skip
    says = RunPredicate(result="PASSED", configuration=(Resource(RECORD, {"sha256": digest}),), details=details)
    pipeline.write(RUN, says)
    return path


def found(pipeline: Pipeline, tmp_path: Path, environment: str = "staging") -> Baseline:
    entries = pipeline.keyring.ledger(pipeline.folder).entries()
    return baseline_of(tmp_path, entries, environment, made_release("next").id)


def test_a_route_that_has_become_slower_is_told_with_both_times(pipeline: Pipeline, tmp_path: Path) -> None:
    leave_record(pipeline, tmp_path, 10)
    baseline = found(pipeline, tmp_path)
    assert baseline.slower({"GET /health": [20.0 + at % 7 for at in range(60)]}) == (
        "GET /health: median 23 ms, 13 ms before",
    )
    assert baseline.slower({"GET /health": [10.0 + at % 7 for at in range(60)]}) == ()


def test_a_run_with_other_concurrent_tests_has_no_baseline(pipeline: Pipeline, tmp_path: Path) -> None:
    leave_record(pipeline, tmp_path, 10)
    baseline = found(pipeline, tmp_path)
    assert (baseline.at(1), baseline.at(16)) == (baseline, Baseline())


def test_a_partial_run_is_no_baseline_and_no_entry_that_the_ledger_takes(pipeline: Pipeline, tmp_path: Path) -> None:
    leave_record(pipeline, tmp_path, 10, "PARTIAL")
    assert found(pipeline, tmp_path) == Baseline()
    (entry,) = pipeline.keyring.ledger(pipeline.folder).entries()
    assert "PARTIAL" in entry.problem


def test_a_run_that_nobody_signed_is_no_baseline_where_keys_are_trusted(pipeline: Pipeline, tmp_path: Path) -> None:
    leave_record(pipeline, tmp_path, 10)
    pipeline.strip(1)
    assert pipeline.keyring.ledger(pipeline.folder).problems() == ()
    assert found(pipeline, tmp_path) == Baseline()


def test_few_samples_decide_nothing(pipeline: Pipeline, tmp_path: Path) -> None:
    leave_record(pipeline, tmp_path, 10)
    assert found(pipeline, tmp_path).slower({"GET /health": [99.0] * 49}) == ()


def test_a_record_that_was_changed_or_is_gone_is_no_baseline(pipeline: Pipeline, tmp_path: Path) -> None:
    path = leave_record(pipeline, tmp_path, 10)
    path.write_bytes(path.read_bytes() + b"\n")
    assert found(pipeline, tmp_path) == Baseline()
    path.unlink()
    assert found(pipeline, tmp_path) == Baseline()


def test_another_environments_run_and_the_releases_own_are_none(pipeline: Pipeline, tmp_path: Path) -> None:
    leave_record(pipeline, tmp_path, 10)
    entries = pipeline.keyring.ledger(pipeline.folder).entries()
    assert found(pipeline, tmp_path, "dev") == Baseline()
    assert baseline_of(tmp_path, entries, "staging", pipeline.release.id) == Baseline()


def test_a_release_that_is_slower_than_the_last_is_not_acceptable(pipeline: Pipeline) -> None:
    pipeline.through_local()
    pipeline.through_dev()
    pipeline.through_staging(slower=("GET /health: median 23 ms, 13 ms before",))
    pipeline.ready_for_production()
    finding = next(i.finding for i in pipeline.decide("production").checks if i.id == "performance-acceptable")
    assert finding.status == "failed"
    assert "slower than the last promoted run: GET /health" in finding.reason
