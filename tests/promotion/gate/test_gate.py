"""The gate for an honest release: its decision at every stage, and while something is missing."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from pytest_gaia.config.stages import Stage
from pytest_gaia.promotion.gate.gate import CHECKS, evaluate
from pytest_gaia.promotion.gate.situation import Situation
from tests.promotion.pipeline import STAGES, Pipeline, declared, made_release

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_gaia.promotion.gate.check import Group
    from pytest_gaia.promotion.gate.gate import Gate
    from tests.promotion.conftest import Keyring


@pytest.fixture
def pipeline(keyring: Keyring, tmp_path: Path) -> Pipeline:
    return Pipeline(keyring, tmp_path / "ledger")


def test_an_honest_release_goes_the_whole_way(pipeline: Pipeline) -> None:
    words = []
    for environment, step in (
        ("local", pipeline.through_local),
        ("dev", pipeline.through_dev),
        ("staging", pipeline.through_staging),
    ):
        step()
        words.append(pipeline.decide(environment).verdict)
    pipeline.ready_for_production()
    assert pipeline.decide("production", "pre-deploy").verdict == "PROMOTE"
    assert pipeline.decide("production").verdict == "HOLD"
    pipeline.into_production()
    assert [*words, pipeline.decide("production").verdict] == ["PROMOTE"] * 4


def test_an_empty_ledger_promotes_nothing(pipeline: Pipeline) -> None:
    for environment in ("local", "dev", "staging", "production"):
        gate = pipeline.decide(environment)
        assert (gate.verdict, gate.exit_code) == ("HOLD", 11)


def test_every_item_of_the_pipeline_is_asked_at_its_edge(pipeline: Pipeline) -> None:
    asked = {check.id for name in ("dev", "staging", "production") for check in pipeline.decide(name).checks}
    assert len(CHECKS) == 12
    assert {check.id for check in CHECKS} <= asked


def test_what_is_missing_names_the_command_that_brings_it(pipeline: Pipeline) -> None:
    pipeline.all_but("ready_for_production", "into_production")
    by_id = {check.id: check.finding for check in pipeline.decide("production").checks}
    short = pipeline.release.short
    assert by_id["security-review"].next == (
        f"gaia release approve {short} security-review -e production --role security"
    )
    assert by_id["rollback-ready"].next == f"gaia rollback staging --drill --release {short}"
    assert by_id["soaked"].reason.startswith("deployed to staging 0 h")


def test_a_waiver_lets_an_item_go_and_says_so(pipeline: Pipeline) -> None:
    pipeline.all_but("ready_for_production", "into_production")
    pipeline.sign_for_production()
    assert pipeline.decide("production", "pre-deploy").verdict == "HOLD"
    pipeline.waive("rollback-ready", "production", "rita", "release-manager")
    gate = pipeline.decide("production", "pre-deploy")
    assert (gate.verdict, gate.waived) == ("PROMOTE", ("rollback-ready",))
    assert "waived by rita (release-manager)" in next(i.finding.reason for i in gate.checks if i.id == "rollback-ready")


def test_each_further_run_is_counted_and_one_after_a_rejection_needs_a_signed_reason(pipeline: Pipeline) -> None:
    pipeline.all_but("into_production")
    pipeline.deploy("production")

    def said(check: str) -> tuple[str, str]:
        finding = next(each.finding for each in pipeline.decide("production").checks if each.id == check)
        return finding.status, finding.reason.partition("; ")[2] or finding.reason

    pipeline.run("production")
    assert said("suites-passed") == ("passed", "health ran in production")
    pipeline.run("production")
    assert said("suites-passed") == ("passed", "2nd run")
    pipeline.run("production", verdict="DRIFT")
    assert said("not-rejected") == ("passed", "no earlier run of this release was rejected")
    pipeline.run("production")
    assert said("suites-passed") == ("passed", "4th run, 1 rejected before")
    status, reason = said("not-rejected")
    assert (status, reason) == ("pending", "accepting it needs a waiver")
    assert pipeline.decide("production").verdict == "HOLD"

    pipeline.waive("not-rejected", "production", "rita", "release-manager", reason="the runner had no network")
    gate = pipeline.decide("production")
    assert (gate.verdict, gate.waived) == ("PROMOTE", ("not-rejected",))

    pipeline.run("production", verdict="REJECT")
    pipeline.run("production")
    assert said("suites-passed") == ("passed", "6th run, 2 rejected before")
    assert said("not-rejected")[0] == "pending"


def test_a_stage_that_asks_for_no_signature_counts_its_runs_and_asks_for_no_reason(pipeline: Pipeline) -> None:
    pipeline.deploy("local")
    pipeline.run("local", verdict="REJECT")
    pipeline.run("local")

    gate = pipeline.decide("local")

    assert gate.verdict == "PROMOTE"
    assert any(check.finding.reason.endswith("PROMOTE; 2nd run, 1 rejected before") for check in gate.checks)


def test_a_decision_lists_what_was_proved_and_what_it_rests_on(pipeline: Pipeline) -> None:
    pipeline.all_but()
    gate = pipeline.decide("production")
    says = gate.predicate(pipeline.now, {"gaia.toml": "ab"})
    known = {entry.sha256 for entry in pipeline.keyring.ledger(pipeline.folder).entries()}
    assert "GAIA_SECURITY_REVIEW" in says.properties
    assert set(says.decision.evidence) <= known
    assert len(says.decision.evidence) > 5


def test_a_decision_is_the_same_whenever_it_is_asked(pipeline: Pipeline) -> None:
    pipeline.all_but()
    assert pipeline.decide("production") == pipeline.decide("production")


def test_a_releases_id_does_not_depend_on_order_or_on_when_it_was_made() -> None:
    release = made_release()
    turned = made_release(created="2027-01-01T00:00:00+00:00", components=release.components[::-1])
    assert turned.id == release.id


@pytest.mark.parametrize(
    "changes",
    [
        {"commit": "other"},
        {"migration_head": "0042"},
        {"configs": {"fly.auth.staging.toml": "ab"}},
        {"authors": ("eve@example.org",)},
        {"kind": "local"},
    ],
)
def test_any_other_content_is_another_release(changes: dict[str, Any]) -> None:
    assert made_release(**changes).id != made_release().id


def test_a_stage_asks_for_the_services_that_it_runs_and_no_others(pipeline: Pipeline) -> None:
    gateway = {"gateway": pipeline.release.digests["gateway"]}
    pipeline.deploy("dev", services=gateway)
    pipeline.run("dev", digests=gateway)

    def asked(*services: str) -> dict[str, str]:
        stage = replace(STAGES["dev"], services=services or None)
        entries = pipeline.keyring.ledger(pipeline.folder).entries()
        gate = evaluate(Situation("dev", declared("dev"), stage, pipeline.release, entries, pipeline.now))
        return {check.id: check.finding.status for check in gate.checks}

    for services, status in (((), "pending"), (("gateway",), "passed"), (("gateway", "auth"), "pending")):
        found = asked(*services)
        assert (found["deployed"], found["undrifted"]) == (status, status)
    assert asked("nats")["deployed"] == "pending", "nothing of the release runs there: that proves nothing"


def test_a_release_without_an_image_that_a_stage_runs_is_held(pipeline: Pipeline) -> None:
    def pinned(*services: str) -> tuple[str, str]:
        gate = evaluate(
            Situation("dev", declared("dev", built=services), STAGES["dev"], pipeline.release, (), pipeline.now)
        )
        (check,) = (each for each in gate.checks if each.id == "images-pinned")
        return check.finding.status, check.finding.reason

    assert pinned("gateway", "auth")[0] == "passed"
    for service in ("chat", "orders"):
        status, reason = pinned("gateway", "auth", service)
        assert status == "pending"
        assert reason.startswith(f"no image of {service}, which dev runs")


@pytest.mark.parametrize(
    ("environment", "shown_before", "shown_after"),
    [
        ("staging", {"no-experimental-features": "check"}, {}),
        ("dev", {"feature-complete": "sign"}, {"no-breaking-api-change": "check"}),
        ("test", {}, {}),
    ],
)
def test_a_first_stage_asks_nothing_of_its_own_past(
    pipeline: Pipeline, environment: str, shown_before: dict[str, str], shown_after: dict[str, str]
) -> None:
    stage = Stage(require_signed=True)

    def decide(only: Group | None = None) -> Gate:
        entries = pipeline.keyring.ledger(pipeline.folder).entries()
        return evaluate(
            Situation(environment, declared(environment), stage, pipeline.release, entries, pipeline.now), only=only
        )

    def show(items: dict[str, str]) -> None:
        assert {check.id for check in decide().checks if check.in_pipeline and not check.good} >= items.keys()
        for check, how in items.items():
            pipeline.check(check, environment) if how == "check" else pipeline.sign(
                check, environment, "rita", "release-manager"
            )

    show(shown_before)
    assert decide("pre-deploy").reasons == ()

    pipeline.deploy(environment)
    pipeline.run(environment, suites=("health",))
    show(shown_after)
    assert decide().verdict == "PROMOTE"
