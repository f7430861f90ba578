"""The gate, asked about an honest release: at every stage, and what it says while something is still missing."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from pytest_gaia.config.stages import Stage
from pytest_gaia.promotion.gate.checklist import CHECKLIST
from pytest_gaia.promotion.gate.gate import evaluate
from pytest_gaia.promotion.gate.situation import Situation
from tests.promotion.release import STAGES, Release, made_bundle

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_gaia.promotion.gate.gate import Gate
    from pytest_gaia.promotion.gate.items import Group
    from tests.promotion.conftest import Keyring


@pytest.fixture
def release(keyring: Keyring, tmp_path: Path) -> Release:
    return Release(keyring, tmp_path / "ledger")


def test_an_honest_release_goes_the_whole_way(release: Release) -> None:
    words = []
    for environment, step in (
        ("local", release.through_local),
        ("dev", release.through_dev),
        ("staging", release.through_staging),
    ):
        step()
        words.append(release.decide(environment).verdict)
    release.ready_for_production()
    assert release.decide("production", "edge").verdict == "PROMOTE"
    assert release.decide("production").verdict == "HOLD"
    release.into_production()
    assert [*words, release.decide("production").verdict] == ["PROMOTE"] * 4


def test_an_empty_ledger_promotes_nothing(release: Release) -> None:
    for environment in ("local", "dev", "staging", "production"):
        gate = release.decide(environment)
        assert (gate.verdict, gate.exit_code) == ("HOLD", 11)


def test_every_item_of_the_pipeline_is_asked_at_its_edge(release: Release) -> None:
    asked = {item.id for name in ("dev", "staging", "production") for item in release.decide(name).items}
    assert len(CHECKLIST) == 11
    assert {item.id for item in CHECKLIST} <= asked


def test_what_is_missing_names_the_command_that_brings_it(release: Release) -> None:
    release.all_but("ready_for_production", "into_production")
    by_id = {item.id: item.finding for item in release.decide("production").items}
    short = release.bundle.short
    assert by_id["security-review"].next == (
        f"gaia signoff security-review --env production --bundle {short} --role security"
    )
    assert by_id["rollback-ready"].next == f"gaia rollback rehearse staging --bundle {short}"
    assert by_id["soaked"].why.startswith("deployed to staging 0 h")


def test_a_waiver_lets_an_item_go_and_says_so(release: Release) -> None:
    release.all_but("ready_for_production", "into_production")
    release.sign_for_production()
    assert release.decide("production", "edge").verdict == "HOLD"
    release.waive("rollback-ready", "production", "rita", "release-manager")
    gate = release.decide("production", "edge")
    assert (gate.verdict, gate.waived) == ("PROMOTE", ("rollback-ready",))
    assert "waived by rita (release-manager)" in next(i.finding.why for i in gate.items if i.id == "rollback-ready")


def test_each_further_run_is_counted_and_one_after_a_rejection_needs_a_signed_reason(release: Release) -> None:
    release.all_but("into_production")
    release.deploy("production")

    def said(item: str) -> tuple[str, str]:
        finding = next(each.finding for each in release.decide("production").items if each.id == item)
        return finding.status, finding.why.partition("; ")[2] or finding.why

    release.run("production")
    assert said("suites-passed") == ("proved", "health ran in production")
    release.run("production")
    assert said("suites-passed") == ("proved", "2nd run")
    release.run("production", verdict="DRIFT")
    assert said("not-rejected") == ("proved", "no earlier run of this bundle was rejected")
    release.run("production")
    assert said("suites-passed") == ("proved", "4th run, 1 rejected before")
    status, why = said("not-rejected")
    assert (status, why) == ("missing", "nobody has signed why it may count")
    assert release.decide("production").verdict == "HOLD"

    release.waive("not-rejected", "production", "rita", "release-manager", why="the runner had no network")
    gate = release.decide("production")
    assert (gate.verdict, gate.waived) == ("PROMOTE", ("not-rejected",))

    release.run("production", verdict="REJECT")
    release.run("production")
    assert said("suites-passed") == ("proved", "6th run, 2 rejected before")
    assert said("not-rejected")[0] == "missing"


def test_a_stage_that_asks_for_no_signature_counts_its_runs_and_asks_for_no_reason(release: Release) -> None:
    release.deploy("local")
    release.run("local", verdict="REJECT")
    release.run("local")

    gate = release.decide("local")

    assert gate.verdict == "PROMOTE"
    assert any(item.finding.why.endswith("PROMOTE; 2nd run, 1 rejected before") for item in gate.items)


def test_a_decision_lists_what_was_proved_and_what_it_rests_on(release: Release) -> None:
    release.all_but()
    gate = release.decide("production")
    says = gate.predicate(release.now, {"gaia.toml": "ab"})
    known = {entry.sha256 for entry in release.keyring.ledger(release.folder).entries()}
    assert "GAIA_SECURITY_REVIEW" in says.properties
    assert set(says.decision.evidence) <= known
    assert len(says.decision.evidence) > 5


def test_a_decision_is_the_same_whenever_it_is_asked(release: Release) -> None:
    release.all_but()
    assert release.decide("production") == release.decide("production")


def test_a_bundles_id_does_not_depend_on_order_or_on_when_it_was_made() -> None:
    bundle = made_bundle()
    turned = made_bundle(created="2027-01-01T00:00:00+00:00", components=bundle.components[::-1])
    assert turned.id == bundle.id


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
def test_any_other_content_is_another_bundle(changes: dict[str, Any]) -> None:
    assert made_bundle(**changes).id != made_bundle().id


def test_a_stage_asks_for_the_services_that_it_runs_and_no_others(release: Release) -> None:
    gateway = {"gateway": release.bundle.digests["gateway"]}
    release.deploy("dev", services=gateway)
    release.run("dev", digests=gateway)

    def asked(*services: str) -> dict[str, str]:
        stage = replace(STAGES["dev"], services=services or None)
        entries = release.keyring.ledger(release.folder).entries()
        gate = evaluate(Situation("dev", stage, release.bundle, entries, release.now))
        return {item.id: item.finding.status for item in gate.items}

    for services, status in (((), "missing"), (("gateway",), "proved"), (("gateway", "auth"), "missing")):
        found = asked(*services)
        assert (found["deployed"], found["undrifted"]) == (status, status)
    assert asked("nats")["deployed"] == "missing", "nothing of the bundle runs there: that proves nothing"


def test_a_bundle_without_an_image_that_a_stage_runs_is_held(release: Release) -> None:
    def pinned(*services: str) -> tuple[str, str]:
        stage = replace(STAGES["dev"], services=services)
        gate = evaluate(Situation("dev", stage, release.bundle, (), release.now))
        (item,) = (each for each in gate.items if each.id == "images-pinned")
        return item.finding.status, item.finding.why

    assert pinned("gateway", "auth", "nats", "postgres")[0] == "proved"
    for service in ("chat", "orders"):
        status, why = pinned("gateway", "auth", service)
        assert status == "missing"
        assert why.startswith(f"no image of {service}, which dev runs")


@pytest.mark.parametrize(
    ("environment", "shown_before", "shown_after"),
    [
        ("staging", {"no-experimental-features": "check"}, {}),
        ("dev", {"feature-complete": "sign"}, {"no-breaking-api-change": "check"}),
        ("test", {}, {}),
    ],
)
def test_a_first_stage_asks_nothing_of_its_own_past(
    release: Release, environment: str, shown_before: dict[str, str], shown_after: dict[str, str]
) -> None:
    stage = Stage(require_signed=True)

    def decide(only: Group | None = None) -> Gate:
        entries = release.keyring.ledger(release.folder).entries()
        return evaluate(Situation(environment, stage, release.bundle, entries, release.now), only=only)

    def show(items: dict[str, str]) -> None:
        assert {item.id for item in decide().items if item.checklist and not item.good} >= items.keys()
        for item, how in items.items():
            release.check(item, environment) if how == "check" else release.sign(
                item, environment, "rita", "release-manager"
            )

    show(shown_before)
    assert decide("edge").reasons == ()

    release.deploy(environment)
    release.run(environment, suites=("health",))
    show(shown_after)
    assert decide().verdict == "PROMOTE"
