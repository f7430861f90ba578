"""What a run's files are turned into: nothing is claimed that they do not show."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any

import msgspec
import pytest

from pytest_gaia.config.stages import Stage
from pytest_gaia.config.tolerance import tolerance_of
from pytest_gaia.expectations.apis import Api
from pytest_gaia.expectations.expectation import ExpectationSet
from pytest_gaia.expectations.subjects import Context
from pytest_gaia.promotion.ledger.statements import RunDetails, RunPredicate
from pytest_gaia.promotion.promote._evidence import deployment_predicate, located, run_predicate
from pytest_gaia.verdict.evaluated import evaluate_run
from pytest_gaia.verdict.evidence import (
    SCHEMA,
    DeploymentSeen,
    Phase,
    PhaseOutcome,
    RecordedRun,
    RunEnd,
    RunStart,
    ServiceSeen,
    TestRecord,
)
from pytest_gaia.verdict.plan import Plan, PlannedTest
from pytest_gaia.verdict.report import expectations_digest, verdict_file
from tests.projects import gaia_environment
from tests.promotion.pipeline import made_release

RELEASE = made_release()


def seen(*outcomes: str, by_this_run: bool = True) -> DeploymentSeen:
    """Return the evidence of a run on auth, gateway …, in this order."""
    names = ("auth", "gateway")
    services = tuple(
        ServiceSeen(service=name, app=name, outcome=outcome, images=(f"sha256:{name}",), version=2)
        for name, outcome in zip(names, outcomes, strict=False)
    )
    return DeploymentSeen(hook="fly", services=services, by_this_run=by_this_run)


def told(deployment: DeploymentSeen | None) -> Any:
    return deployment_predicate(
        deployment, ("auth", "gateway"), environment="dev", release=RELEASE, time="2026-11-02T09:00:00+00:00", fence=3
    )


@pytest.mark.parametrize(
    ("outcomes", "word"),
    [
        (("unchanged", "unchanged"), "unchanged"),
        (("unchanged", "deployed"), "deployed"),
        (("deployed_with_tool_error", "deployed"), "deployed_with_tool_error"),
        (("deployed", "phantom"), "phantom"),
        (("split", "failed"), "split"),
        (("deployed", "unavailable"), "failed"),
        (("deployed", "not begun"), "failed"),
        (("deployed", ""), "failed"),
        (("deployed",), "failed"),
    ],
)
def test_the_worst_service_says_what_became_of_all(outcomes: tuple[str, ...], word: str) -> None:
    assert told(seen(*outcomes)).outcome == word


def test_a_run_that_deployed_nothing_shows_no_deployment() -> None:
    assert told(None).outcome == "failed"
    assert told(seen("unchanged", "unchanged", by_this_run=False)).outcome == "failed"


def test_what_runs_is_told_where_it_is_one_image() -> None:
    says = told(seen("deployed", "deployed"))
    assert says.services == {"auth": "sha256:auth", "gateway": "sha256:gateway"}
    assert (says.versions, says.fence, says.reason) == ({"auth": 2, "gateway": 2}, 3, "")


def test_a_partial_run_is_written_down_as_one_that_holds() -> None:
    test = "suites/health/test_health.py::test_it"
    digest = expectations_digest(())
    plan = Plan(
        environment="dev",
        release=RELEASE.id,
        suites=("health",),
        tests=(PlannedTest(test),),
        expectations_digest=digest,
    )
    start = RunStart(SCHEMA, "dev", "microservices", "2026-11-02T09:00:00+00:00")
    end = RunEnd("2026-11-02T09:01:00+00:00", 0, 1, plan=plan.digest, required=plan.nodes, release=RELEASE.id)
    whole = tuple(Phase(when, "passed") for when in ("setup", "call", "teardown"))
    record = TestRecord(test, "ran", whole, statements=1)
    context = Context("dev", frozenset(), date(2026, 11, 2), tolerance_of("dev", {}))

    def says(partial: tuple[str, ...]) -> RunPredicate:
        run = RecordedRun(start, (record,), msgspec.structs.replace(end, partial=partial))
        verdict = verdict_file(evaluate_run(start, run.tests, run.end, ExpectationSet(), context))
        return run_predicate(plan, verdict, run, files={}, running={}, fence=1)

    full, narrowed = says(()), says(("-m 'not slow' was given",))

    assert (full.result, full.details.verdict) == ("PASSED", "PROMOTE")
    assert (narrowed.result, narrowed.details.verdict, narrowed.details.missing) == ("FAILED", "HOLD", ())


def test_a_required_test_that_did_not_run_is_written_down_with_the_reason() -> None:
    states: dict[str, PhaseOutcome] = {
        "ran": "passed",
        "left_out": "not applicable",
        "skipped": "skipped",
        "lacking": "not applicable",
    }
    tests = tuple(PlannedTest(node) for node in sorted(states))
    plan = Plan(environment="dev", release=RELEASE.id, suites=("health",), tests=tests)
    start = RunStart(
        SCHEMA, "dev", "microservices", "2026-11-02T09:00:00+00:00", apis={"gateway": Api("sha256:0", ("GET /health",))}
    )
    end = RunEnd("2026-11-02T09:01:00+00:00", 0, 4, plan=plan.digest, required=plan.nodes, release=RELEASE.id)
    records = tuple(
        TestRecord(
            node, "ran", (Phase("setup", outcome),), operations=("gateway: GET /new",) if node == "lacking" else None
        )
        for node, outcome in states.items()
    )
    context = start.context("dev", date(2026, 11, 2), tolerance_of("dev", {}))
    verdict = verdict_file(evaluate_run(start, records, end, ExpectationSet(), context))

    run = run_predicate(plan, verdict, RecordedRun(start, records, end), files={}, running={}, fence=1)

    assert run.details.unexecuted == {"lacking": "not offered", "left_out": "not applicable", "skipped": "skipped"}
    assert run.executed == {"ran"}


STAGING = gaia_environment("staging", known_hosts=("gw.example.org",), stage=Stage(previous="dev"))


def run_of(verdict: Any) -> RunPredicate:
    details = RunDetails(
        environment="staging", release=RELEASE.id, verdict=verdict, plan="", planned=1, started="", finished=""
    )
    return RunPredicate(result="PASSED" if verdict == "PROMOTE" else "FAILED", configuration=(), details=details)


@pytest.mark.parametrize(
    ("verdict", "tested", "loopback", "word"),
    [
        ("PROMOTE", {"gateway": ("gw.example.org:443",), "nats": ("localhost:4222",)}, False, "PROMOTE"),
        ("PROMOTE", {"gateway": ("127.0.0.1:8000",)}, False, "HOLD"),
        ("PROMOTE", {"gateway": ("127.0.0.1:8000",)}, True, "PROMOTE"),
        ("PROMOTE", {"gateway": ("gw.example.org:443", "stub.example.org:80")}, True, "HOLD"),
        ("PROMOTE", {}, True, "HOLD"),
        ("REJECT", {"gateway": ("127.0.0.1:8000",)}, False, "REJECT"),
        ("INFRA", {}, False, "INFRA"),
    ],
)
def test_a_run_is_evidence_only_at_an_address_of_its_environment(
    verdict: str, tested: dict[str, tuple[str, ...]], loopback: bool, word: str
) -> None:
    run = located(run_of(verdict), replace(STAGING, loopback=loopback), tested)

    details = run.details
    assert (details.verdict, run.result == "PASSED") == (word, word == "PROMOTE")
    assert (details.addresses, details.hosts, details.loopback) == (tested, ("gw.example.org",), loopback)
    assert bool(details.misplaced) is (word == "HOLD" or (not loopback and verdict != "PROMOTE"))
