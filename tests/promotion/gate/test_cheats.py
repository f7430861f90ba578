"""Ways to get a release through the gate that has not earned it. None of them may end in PROMOTE."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from pytest_gaia.promotion.bundle.model import Component
from pytest_gaia.promotion.ledger.statements import Subject
from tests.promotion.release import Release, made_bundle

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.promotion.conftest import Keyring

CHEATS: dict[str, Callable[[Release], None]] = {}


def cheat(function: Callable[[Release], None]) -> Callable[[Release], None]:
    """Register one way; it is given a release before it has begun, and does all of it."""
    CHEATS[function.__name__.replace("_", " ")] = function
    return function


@pytest.fixture
def release(keyring: Keyring, tmp_path: Path) -> Release:
    return Release(keyring, tmp_path / "ledger")


def _entry(release: Release, name: str, environment: str) -> Path:
    """Return the file of the newest entry of one kind about one environment."""
    for path in sorted(release.folder.iterdir(), reverse=True):
        statement = json.loads(base64.b64decode(json.loads(path.read_bytes())["payload"]))
        if name in statement["predicateType"] and f'"environment":"{environment}"' in json.dumps(
            statement["predicate"], separators=(",", ":")
        ):
            return path
    raise AssertionError(f"no {name} entry of {environment}")


def _edited(path: Path, change: Callable[[Any], None], *, unsigned: bool = False) -> None:
    envelope = json.loads(path.read_bytes())
    statement = json.loads(base64.b64decode(envelope["payload"]))
    change(statement["predicate"])
    envelope["payload"] = base64.b64encode(json.dumps(statement).encode()).decode()
    if unsigned:
        envelope["signatures"] = []
    path.write_text(json.dumps(envelope))


def _details(predicate: Any) -> Any:
    return predicate["urn:pytest-gaia:run/1"]


@cheat
def a_verdict_edited_in_the_ledger(release: Release) -> None:
    release.all_but("into_production")
    release.deploy("production")
    release.run("production", verdict="REJECT", result="FAILED")
    _edited(_entry(release, "test-result", "production"), lambda says: _details(says).update(verdict="PROMOTE"))


@cheat
def a_verdict_edited_and_its_signature_taken_off(release: Release) -> None:
    release.all_but("into_production")
    release.deploy("production")
    release.run("production", verdict="REJECT", result="FAILED")
    path = _entry(release, "test-result", "production")
    _edited(path, lambda says: _details(says).update(verdict="PROMOTE"), unsigned=True)


@cheat
def a_partial_run_written_as_evidence(release: Release) -> None:
    release.all_but("into_production")
    release.deploy("production")
    release.run("production", verdict="PARTIAL")


@cheat
def a_partial_run_beside_a_full_one_of_before(release: Release) -> None:
    release.all_but("into_production")
    release.deploy("production")
    release.run("production")
    release.run("production", verdict="PARTIAL")


@cheat
def an_entry_deleted_in_the_middle(release: Release) -> None:
    release.all_but("into_production")
    release.deploy("production")
    release.run("production", verdict="REJECT", result="FAILED")
    path = _entry(release, "test-result", "production")
    release.run("production")
    path.unlink()


@cheat
def entries_in_another_order(release: Release) -> None:
    release.all_but()
    first, second = sorted(release.folder.iterdir())[3:5]
    contents = first.read_bytes(), second.read_bytes()
    first.write_bytes(contents[1])
    second.write_bytes(contents[0])


@cheat
def an_old_entry_played_again(release: Release) -> None:
    release.all_but("into_production")
    path = _entry(release, "test-result", "staging")
    count = len(list(release.folder.iterdir()))
    (release.folder / f"{count + 1:06}.json").write_bytes(path.read_bytes())
    release.into_production()


@cheat
def stale_evidence(release: Release) -> None:
    release.all_but()
    release.wait(24 * 8)


@cheat
def a_run_from_the_future(release: Release) -> None:
    release.all_but("into_production")
    release.deploy("production")
    release.run("production", finished=(release.now + timedelta(days=1)).isoformat())


@cheat
def another_bundles_evidence(release: Release) -> None:
    release.all_but()
    release.bundle = made_bundle("b")


@cheat
def another_bundles_evidence_under_this_ones_name(release: Release) -> None:
    release.all_but("into_production")
    release.deploy("production")
    release.run("production", bundle=made_bundle("b").id)


@cheat
def the_right_name_and_other_images(release: Release) -> None:
    release.all_but("into_production")
    release.about = (Subject("auth", {"sha256": "other"}), Subject("gateway", {"sha256": "other"}))
    release.into_production()


@cheat
def local_skipped(release: Release) -> None:
    release.all_but("through_local")


@cheat
def dev_skipped(release: Release) -> None:
    release.all_but("through_dev")


@cheat
def staging_skipped(release: Release) -> None:
    release.all_but("through_staging")


@cheat
def no_sign_off_at_all(release: Release) -> None:
    release.all_but("ready_for_production", "into_production")
    release.ready_for_production(review=None, release=None)
    release.into_production()


@cheat
def a_review_by_the_author(release: Release) -> None:
    release.all_but("ready_for_production", "into_production")
    release.ready_for_production(review=("dev", "security"))
    release.into_production()


@cheat
def a_sign_off_in_a_role_that_one_does_not_have(release: Release) -> None:
    release.all_but("ready_for_production", "into_production")
    release.ready_for_production(review=("rita", "security"))
    release.into_production()


@cheat
def a_sign_off_by_the_pipelines_own_key(release: Release) -> None:
    release.all_but("ready_for_production", "into_production")
    release.ready_for_production(review=("ci", "security"), release=("ci", "release-manager"))
    release.into_production()


@cheat
def a_sign_off_that_nobody_signed(release: Release) -> None:
    release.all_but("ready_for_production", "into_production")
    release.ready_for_production(review=(None, "security"), release=(None, "release-manager"))
    release.into_production()


@cheat
def a_sign_off_that_has_run_out(release: Release) -> None:
    release.all_but("ready_for_production", "into_production")
    release.ready_for_production(until=release.now.isoformat())
    release.into_production()


@cheat
def a_sign_off_for_another_environment(release: Release) -> None:
    release.all_but("ready_for_production", "into_production")
    release.ready_for_production(environment="staging")
    release.into_production()


@cheat
def a_sign_off_for_an_earlier_bundle(release: Release) -> None:
    release.all_but("ready_for_production", "into_production")
    release.ready_for_production(bundle="earlier")
    release.into_production()


@cheat
def evidence_of_a_machine_signed_by_a_person(release: Release) -> None:
    release.all_but("into_production")
    release.deploy("production", by="rita")
    release.run("production", by="rita")


@cheat
def unsigned_evidence(release: Release) -> None:
    release.all_but("into_production")
    release.deploy("production", by=None)
    release.run("production", by=None)


@cheat
def evidence_signed_by_a_stranger(release: Release) -> None:
    release.all_but("into_production")
    release.keys["ci"] = release.keyring.make("stranger", "ci")
    (release.keyring.folder / "stranger.toml").unlink()
    release.into_production()


@cheat
def sealed_tests_that_were_deselected(release: Release) -> None:
    release.all_but("into_production")
    release.deploy("production")
    release.run("production", missing=("suites/health/test_health.py::test_it",))


@cheat
def a_run_that_planned_nothing(release: Release) -> None:
    release.all_but("into_production")
    release.deploy("production")
    release.run("production", planned=0)


@cheat
def a_run_that_left_out_a_suite(release: Release) -> None:
    release.all_but("into_production")
    release.deploy("production")
    release.run("production", suites=("providers",))


@cheat
def a_rehearsal_on_the_sandbox_for_a_run(release: Release) -> None:
    release.all_but("into_production")
    release.deploy("production")
    release.run("production", rehearsal=True)


@cheat
def a_failed_run_after_one_that_passed(release: Release) -> None:
    release.all_but()
    release.run("production", verdict="REJECT", result="FAILED")


@cheat
def a_failed_run_tried_again_until_it_passed(release: Release) -> None:
    release.all_but("into_production")
    release.deploy("production")
    release.run("production", verdict="REJECT", result="FAILED")
    release.run("production")


@cheat
def a_failed_run_in_staging_tried_again_until_it_passed(release: Release) -> None:
    release.through_local()
    release.through_dev()
    release.run("staging", verdict="REJECT", result="FAILED")
    release.through_staging()
    release.ready_for_production()
    release.into_production()


@cheat
def a_reason_that_was_signed_before_the_run_failed(release: Release) -> None:
    release.all_but("into_production")
    release.deploy("production")
    release.waive("not-rejected", "production", "rita", "release-manager")
    release.run("production", verdict="REJECT", result="FAILED")
    release.run("production")


@cheat
def a_reason_of_somebody_who_may_not_give_one(release: Release) -> None:
    release.all_but("into_production")
    release.deploy("production")
    release.run("production", verdict="REJECT", result="FAILED")
    release.waive("not-rejected", "production", "dev", "release-manager")
    release.waive("not-rejected", "production", "ci", "release-manager")
    release.run("production")


@cheat
def an_approval_by_a_key_without_an_identity(release: Release) -> None:
    release.keys["anon"] = release.keyring.make("anon", "security", "release-manager")
    release.all_but("ready_for_production", "into_production")
    release.ready_for_production(review=("anon", "security"), release=("anon", "release-manager"))
    release.into_production()


@cheat
def a_run_without_evidence_called_passed(release: Release) -> None:
    release.all_but("into_production")
    release.deploy("production")
    release.run("production", verdict="HOLD")


@cheat
def another_image_at_the_end_of_the_run(release: Release) -> None:
    release.all_but("into_production")
    release.deploy("production")
    release.run("production", digests={**release.bundle.digests, "auth": "sha256:other"})


@cheat
def a_run_in_which_nothing_was_observed(release: Release) -> None:
    release.all_but("into_production")
    release.deploy("production")
    release.run("production", digests={})


@cheat
def a_run_from_before_the_deployment(release: Release) -> None:
    release.all_but("into_production")
    release.run("production")
    release.deploy("production")


@cheat
def a_deployment_that_the_tool_called_done(release: Release) -> None:
    release.all_but("into_production")
    release.deploy("production", outcome="phantom")
    release.run("production")


@cheat
def another_bundle_deployed_since(release: Release) -> None:
    release.all_but()
    other = Release(release.keyring, release.folder, made_bundle("b"), release.now, release.keys)
    other.deploy("production")
    release.now = other.now


@cheat
def staging_runs_another_bundle_since(release: Release) -> None:
    release.all_but("ready_for_production", "into_production")
    other = Release(release.keyring, release.folder, made_bundle("b"), release.now, release.keys)
    other.deploy("staging")
    release.now = other.now
    release.ready_for_production()
    release.into_production()


@cheat
def too_short_in_staging(release: Release) -> None:
    release.all_but("ready_for_production", "into_production")
    release.ready_for_production(hours=0)
    release.into_production()


@cheat
def a_run_that_failed_while_it_soaked(release: Release) -> None:
    release.all_but("ready_for_production", "into_production")
    release.run("staging", verdict="REJECT", result="FAILED")
    release.ready_for_production()
    release.into_production()


@cheat
def a_gate_decision_written_by_hand(release: Release) -> None:
    release.through_local()
    release.through_dev()
    release.gate("staging", by="rita", verdict="PROMOTE", reasons=())
    release.ready_for_production()
    release.into_production()


@cheat
def core_checks_excused_in_staging(release: Release) -> None:
    release.through_local()
    release.through_dev()
    release.through_staging(core_failed=("suites/health/test_health.py::test_it",))
    release.ready_for_production()
    release.into_production()


@cheat
def performance_with_too_few_samples(release: Release) -> None:
    release.through_local()
    release.through_dev()
    release.through_staging(slo=())
    release.ready_for_production()
    release.into_production()


@cheat
def a_rehearsed_rollback_that_did_not_work(release: Release) -> None:
    release.all_but("ready_for_production", "into_production")
    release.ready_for_production(rehearsal={"outcome": "failed"})
    release.into_production()


@cheat
def a_bundle_that_was_rolled_back_before(release: Release) -> None:
    release.all_but("into_production")
    release.roll_back("production", rehearsal=False, why="orders were lost")
    release.into_production()


@cheat
def a_breaking_change_of_the_api(release: Release) -> None:
    release.through_local()
    release.sign("feature-complete", "dev", "rita", "release-manager")
    release.check("no-breaking-api-change", "dev", status="failed", why="GET /api/v1/chat is gone")
    release.deploy("dev")
    release.run("dev")
    release.run("dev")
    release.gate("dev")
    release.all_but("through_local", "through_dev")


@cheat
def a_flaky_dev(release: Release) -> None:
    release.through_local()
    release.sign("feature-complete", "dev", "rita", "release-manager")
    release.check("no-breaking-api-change", "dev")
    release.deploy("dev")
    release.run("dev")
    release.run("dev", flaky=("suites/chat/test_chat.py::test_it",))
    release.gate("dev")
    release.through_staging()
    release.ready_for_production()
    release.into_production()


@cheat
def a_waiver_by_somebody_who_may_not(release: Release) -> None:
    release.all_but("ready_for_production", "into_production")
    release.sign_for_production()
    release.waive("rollback-ready", "production", "sam", "security")
    release.into_production()


@cheat
def a_waiver_by_the_author(release: Release) -> None:
    release.all_but("ready_for_production", "into_production")
    release.sign_for_production()
    release.waive("rollback-ready", "production", "dev", "release-manager")
    release.into_production()


@cheat
def a_waiver_without_an_end(release: Release) -> None:
    release.all_but("ready_for_production", "into_production")
    release.waive("rollback-ready", "production", "rita", "release-manager", until="2099-01-01T00:00:00+00:00")
    release.wait(24 * 31)
    release.gate("staging")
    release.sign("security-review", "production", "sam", "security")
    release.sign("release", "production", "rita", "release-manager")
    release.into_production()


@cheat
def a_waiver_of_what_cannot_be_waived(release: Release) -> None:
    release.all_but("into_production")
    release.waive("deployed", "production", "rita", "release-manager")
    release.waive("suites-passed", "production", "rita", "release-manager")
    release.waive("undrifted", "production", "rita", "release-manager")


@cheat
def a_promotion_that_had_lost_its_lock(release: Release) -> None:
    release.all_but("into_production")
    release.deploy("production", fence=1)
    release.run("production", fence=1, verdict="REJECT", result="FAILED")
    release.deploy("production", fence=3)
    release.run("production", fence=3, verdict="REJECT", result="FAILED")
    release.run("production", fence=2)


@cheat
def images_that_only_one_machine_has(release: Release) -> None:
    release.bundle = made_bundle(kind="local")
    release.all_but()


@cheat
def an_image_without_a_digest(release: Release) -> None:
    release.bundle = made_bundle(components=(Component("auth", "registry/auth:latest", "latest"),))
    release.all_but()


@cheat
def a_bundle_without_images(release: Release) -> None:
    release.bundle = made_bundle(components=())
    release.all_but()


@pytest.mark.parametrize("name", CHEATS)
def test_it_does_not_promote(release: Release, name: str) -> None:
    CHEATS[name](release)
    gate = release.decide("production")
    assert gate.verdict != "PROMOTE"
    assert gate.exit_code != 0
    assert gate.reasons


def test_there_are_many_ways() -> None:
    assert len(CHEATS) >= 30


def test_without_a_cheat_the_same_release_is_promoted(release: Release) -> None:
    release.all_but()
    assert release.decide("production").verdict == "PROMOTE"


def test_a_freeze_holds_unless_a_release_manager_says_why_not(
    release: Release, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pytest_gaia.config.stages import Freeze
    from tests.promotion.release import STAGES

    release.all_but()
    freeze = Freeze(release.now - timedelta(hours=1), release.now + timedelta(hours=1), "the year's end")
    monkeypatch.setitem(STAGES, "production", replace(STAGES["production"], freezes=(freeze,)))
    gate = release.decide("production")
    assert gate.verdict == "HOLD"
    assert any("the year's end" in reason for reason in gate.reasons)

    release.waive("not-frozen", "production", "sam", "security")
    assert release.decide("production").verdict == "HOLD"

    release.waive("not-frozen", "production", "rita", "release-manager")
    gate = release.decide("production")
    assert (gate.verdict, gate.waived) == ("PROMOTE", ("not-frozen",))
