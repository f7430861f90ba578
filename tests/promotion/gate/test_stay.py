"""Which release an environment runs, and since when without a break, after deployments, rollbacks and drills."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from pytest_gaia.promotion.gate.gate import evaluate
from pytest_gaia.promotion.gate.situation import Situation
from pytest_gaia.promotion.ledger.statements import NO_RELEASE
from tests.promotion.pipeline import STAGES, START, Pipeline, declared, made_release

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_gaia.promotion.gate.check import Finding
    from tests.promotion.conftest import Keyring

ONE, TWO = made_release("1"), made_release("2")
SOAK = timedelta(hours=6)
STORED = {"not_rolled_out": "phantom"}
"""outcome of a deployment → its name in the ledger"""


@pytest.fixture
def pipeline(keyring: Keyring, tmp_path: Path) -> Pipeline:
    return Pipeline(keyring, tmp_path / "ledger", ONE)


def happen(pipeline: Pipeline, events: str, environment: str = "staging") -> None:
    """Write what happened: ``0 deploy 1, 9 back 2 1 failed``, each with its hour, releases and outcome."""
    for event in events.split(", "):
        hour, what, *words = event.split()
        outcome: Any = words.pop() if not words[-1].isdigit() else "deployed"
        outcome = STORED.get(outcome, outcome)
        releases = [{"1": ONE, "2": TWO}[word] for word in words]
        pipeline.release, pipeline.now = releases[0], START + timedelta(hours=float(hour) - 0.1)
        # Writing a statement takes a tenth of an hour, and its own time is the one before.
        says = {"time": (START + timedelta(hours=float(hour))).isoformat(), "outcome": outcome}
        if what == "deploy":
            pipeline.deploy(environment, **says)
        elif what == "back":
            pipeline.roll_back(
                environment, rehearsal=False, target=releases[1].id, services=releases[1].digests, **says
            )
        else:
            pipeline.roll_back(environment, **says)
    pipeline.release = ONE


def asked(pipeline: Pipeline, environment: str, check: str, hour: float = 10) -> Finding:
    """Return the finding of one check of release 1."""
    stage = replace(STAGES[environment], soak=SOAK)
    entries = pipeline.keyring.ledger(pipeline.folder).entries()
    gate = evaluate(Situation(environment, declared(environment), stage, ONE, entries, START + timedelta(hours=hour)))
    return next(each.finding for each in gate.checks if each.id == check)


@pytest.mark.parametrize(
    ("events", "status", "reason"),
    [
        ("0 deploy 1", "passed", "running in staging since 2026-11-02 09:00"),
        ("0 deploy 1, 9 deploy 1 unchanged", "passed", "since 2026-11-02 09:00"),
        ("0 deploy 1, 1 deploy 2", "pending", f"staging now runs another release: {TWO.short}"),
        ("0 deploy 1, 1 deploy 2, 9 deploy 1", "pending", "deployed to staging 1 h ago; the soak time is 6 h: wait 5 h"),
        ("0 deploy 1, 1 deploy 2, 9 back 2 1", "pending", "restored in staging by a rollback 1 h ago; the soak time is 6 h: wait 5 h"),
        ("0 deploy 1, 1 deploy 2, 3 back 2 1", "passed", "since 2026-11-02 12:00"),
        ("0 deploy 1, 1 deploy 2, 3 back 2 1 failed", "pending", f"the rollback from {TWO.short} to {ONE.short} on 2026-11-02 12:00 ended with failed"),
        ("0 deploy 1, 1 deploy 2, 2 back 2 1 split, 9 back 2 1", "pending", "wait 5 h"),
        ("0 deploy 1, 1 deploy 2 failed", "pending", f"the deployment of {TWO.short} on 2026-11-02 10:00 ended with failed"),
        ("0 deploy 1, 1 deploy 2 not_rolled_out, 9 deploy 1", "pending", "wait 5 h (before: unknown what staging runs"),
        ("0 deploy 1, 8 deploy 1 not_rolled_out, 9 deploy 1", "pending", "wait 5 h"),
        ("0 deploy 1 not_rolled_out, 9 deploy 1", "pending", "wait 5 h"),
        ("0 deploy 1, 9 drill 1", "pending", "rollback drill in staging 1 h ago"),
        ("0 deploy 1, 1 drill 1 failed", "passed", "since 2026-11-02 10:00"),
        ("0 deploy 1, 1 deploy 2, 9 drill 1", "pending", f"staging now runs another release: {TWO.short}"),
        ("0 deploy 1, 9 deploy 2, 0 deploy 1", "pending", "wait 5 h"),
        ("1 deploy 2", "pending", "no evidence of a deployment of this release to staging"),
    ],
)  # fmt: skip
def test_only_time_without_a_break_is_soaked(pipeline: Pipeline, events: str, status: str, reason: str) -> None:
    happen(pipeline, events)
    found = asked(pipeline, "production", "soaked")
    assert (found.status, reason in found.reason) == (status, True), found.reason


def test_a_run_that_failed_before_the_break_is_no_run_of_the_soak(pipeline: Pipeline) -> None:
    happen(pipeline, "0 deploy 1")
    pipeline.now = START + timedelta(hours=1)
    pipeline.run("staging", verdict="REJECT", result="FAILED")
    assert asked(pipeline, "production", "soaked").status == "failed"
    happen(pipeline, "2 deploy 2, 3 back 2 1")
    assert asked(pipeline, "production", "soaked").status == "passed"


@pytest.mark.parametrize(
    ("events", "status", "reason"),
    [
        ("0 deploy 1, 2 deploy 2", "pending", f"production now runs another release: {TWO.short}"),
        ("0 deploy 1, 2 deploy 2, 3 back 2 1", "passed", f"running since the rollback from {TWO.short} on 2026-11-02 12:00"),
        ("0 deploy 1, 2 deploy 2, 3 back 2 1, 4 deploy 2", "pending", f"production now runs another release: {TWO.short}"),
        ("0 deploy 1, 2 deploy 2, 3 back 2 1, 4 deploy 1", "passed", "observed on 2026-11-02 13:00"),
        ("0 deploy 1, 2 deploy 2, 3 back 2 1 failed", "pending", f"unknown what production runs: the rollback from {TWO.short} to {ONE.short}"),
        ("0 deploy 1, 2 deploy 2 not_rolled_out", "pending", f"unknown what production runs: the deployment of {TWO.short}"),
        ("0 deploy 1, 2 deploy 1 not_rolled_out", "failed", "not rolled out"),
        ("0 deploy 1 not_rolled_out, 2 deploy 2, 3 back 2 1", "passed", "since the rollback"),
        ("0 deploy 1, 2 drill 1", "passed", "observed on 2026-11-02 09:00"),
    ],
)  # fmt: skip
def test_what_came_back_by_a_rollback_runs(pipeline: Pipeline, events: str, status: str, reason: str) -> None:
    happen(pipeline, events, "production")
    found = asked(pipeline, "production", "deployed")
    assert (found.status, reason in found.reason) == (status, True), found.reason


def test_the_gate_before_counts_for_what_came_back(pipeline: Pipeline) -> None:
    happen(pipeline, "0 deploy 1")
    pipeline.now = START + timedelta(hours=1)
    pipeline.gate("staging", verdict="PROMOTE")

    for events, status in (
        ("2 deploy 2", "failed"),
        ("3 back 2 1 failed", "pending"),
        ("4 back 2 1", "passed"),
    ):
        happen(pipeline, events)
        for check in ("previous-stage", "staging-validated"):
            assert asked(pipeline, "production", check).status == status, events


@pytest.mark.parametrize("changes", [{"by": None}, {"by": "rita"}, {"services": TWO.digests}, {"fence": 1}])
def test_a_rollback_that_is_no_evidence_brings_nothing_back(pipeline: Pipeline, changes: dict[str, Any]) -> None:
    happen(pipeline, "0 deploy 1, 2 deploy 2", "production")
    pipeline.release = TWO
    pipeline.run("production", fence=2)
    values: dict[str, Any] = {"services": ONE.digests, "target": ONE.id, "rehearsal": False} | changes
    pipeline.roll_back("production", **values)

    found = asked(pipeline, "production", "deployed")
    assert found.status == "pending"
    assert TWO.short in found.reason or "not the images" in found.reason


def test_what_was_deployed_outside_of_a_promotion_ends_the_stay_before(pipeline: Pipeline) -> None:
    happen(pipeline, "0 deploy 1")
    pipeline.deploy("staging", release=NO_RELEASE, time=(START + timedelta(hours=1)).isoformat(), reason="by hand")
    assert asked(pipeline, "production", "soaked").status == "pending"
    happen(pipeline, "9 deploy 1")

    found = asked(pipeline, "production", "soaked")
    assert found.status == "pending"
    assert "wait 5 h (before: staging was deployed outside of a promotion on 2026-11-02)" in found.reason
