"""Ways to get a release through the gate that has not earned it. None of them may end in PROMOTE."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from pytest_gaia.promotion.ledger.statements import Subject
from pytest_gaia.promotion.release.kept import Component
from tests.promotion.pipeline import Pipeline, made_release

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.promotion.conftest import Keyring

CHEATS: dict[str, Callable[[Pipeline], None]] = {}


def cheat(function: Callable[[Pipeline], None]) -> Callable[[Pipeline], None]:
    """Register one way; it is given a release before it has begun, and does all of it."""
    CHEATS[function.__name__.replace("_", " ")] = function
    return function


@pytest.fixture
def pipeline(keyring: Keyring, tmp_path: Path) -> Pipeline:
    return Pipeline(keyring, tmp_path / "ledger")


def _entry(pipeline: Pipeline, name: str, environment: str) -> Path:
    """Return the file of the newest entry of one kind about one environment."""
    for path in sorted(pipeline.folder.iterdir(), reverse=True):
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
def a_verdict_edited_in_the_ledger(pipeline: Pipeline) -> None:
    pipeline.all_but("into_production")
    pipeline.deploy("production")
    pipeline.run("production", verdict="REJECT", result="FAILED")
    _edited(_entry(pipeline, "test-result", "production"), lambda says: _details(says).update(verdict="PROMOTE"))


@cheat
def a_verdict_edited_and_its_signature_taken_off(pipeline: Pipeline) -> None:
    pipeline.all_but("into_production")
    pipeline.deploy("production")
    pipeline.run("production", verdict="REJECT", result="FAILED")
    path = _entry(pipeline, "test-result", "production")
    _edited(path, lambda says: _details(says).update(verdict="PROMOTE"), unsigned=True)


@cheat
def a_partial_run_written_as_evidence(pipeline: Pipeline) -> None:
    pipeline.all_but("into_production")
    pipeline.deploy("production")
    pipeline.run("production", verdict="PARTIAL")


@cheat
def a_partial_run_beside_a_full_one_of_before(pipeline: Pipeline) -> None:
    pipeline.all_but("into_production")
    pipeline.deploy("production")
    pipeline.run("production")
    pipeline.run("production", verdict="PARTIAL")


@cheat
def an_entry_deleted_in_the_middle(pipeline: Pipeline) -> None:
    pipeline.all_but("into_production")
    pipeline.deploy("production")
    pipeline.run("production", verdict="REJECT", result="FAILED")
    path = _entry(pipeline, "test-result", "production")
    pipeline.run("production")
    path.unlink()


@cheat
def entries_in_another_order(pipeline: Pipeline) -> None:
    pipeline.all_but()
    first, second = sorted(pipeline.folder.iterdir())[3:5]
    contents = first.read_bytes(), second.read_bytes()
    first.write_bytes(contents[1])
    second.write_bytes(contents[0])


@cheat
def an_old_entry_played_again(pipeline: Pipeline) -> None:
    pipeline.all_but("into_production")
    path = _entry(pipeline, "test-result", "staging")
    count = len(list(pipeline.folder.iterdir()))
    (pipeline.folder / f"{count + 1:06}.json").write_bytes(path.read_bytes())
    pipeline.into_production()


@cheat
def stale_evidence(pipeline: Pipeline) -> None:
    pipeline.all_but()
    pipeline.wait(24 * 8)


@cheat
def a_run_from_the_future(pipeline: Pipeline) -> None:
    pipeline.all_but("into_production")
    pipeline.deploy("production")
    pipeline.run("production", finished=(pipeline.now + timedelta(days=1)).isoformat())


@cheat
def another_releases_evidence(pipeline: Pipeline) -> None:
    pipeline.all_but()
    pipeline.release = made_release("b")


@cheat
def another_releases_evidence_under_this_ones_name(pipeline: Pipeline) -> None:
    pipeline.all_but("into_production")
    pipeline.deploy("production")
    pipeline.run("production", release=made_release("b").id)


@cheat
def the_right_name_and_other_images(pipeline: Pipeline) -> None:
    pipeline.all_but("into_production")
    pipeline.about = (Subject("auth", {"sha256": "other"}), Subject("gateway", {"sha256": "other"}))
    pipeline.into_production()


@cheat
def local_skipped(pipeline: Pipeline) -> None:
    pipeline.all_but("through_local")


@cheat
def dev_skipped(pipeline: Pipeline) -> None:
    pipeline.all_but("through_dev")


@cheat
def staging_skipped(pipeline: Pipeline) -> None:
    pipeline.all_but("through_staging")


@cheat
def no_sign_off_at_all(pipeline: Pipeline) -> None:
    pipeline.all_but("ready_for_production", "into_production")
    pipeline.ready_for_production(review=None, pipeline=None)
    pipeline.into_production()


@cheat
def a_review_by_the_author(pipeline: Pipeline) -> None:
    pipeline.all_but("ready_for_production", "into_production")
    pipeline.ready_for_production(review=("dev", "security"))
    pipeline.into_production()


@cheat
def a_sign_off_in_a_role_that_one_does_not_have(pipeline: Pipeline) -> None:
    pipeline.all_but("ready_for_production", "into_production")
    pipeline.ready_for_production(review=("rita", "security"))
    pipeline.into_production()


@cheat
def a_sign_off_by_the_pipelines_own_key(pipeline: Pipeline) -> None:
    pipeline.all_but("ready_for_production", "into_production")
    pipeline.ready_for_production(review=("ci", "security"), pipeline=("ci", "release-manager"))
    pipeline.into_production()


@cheat
def a_sign_off_that_nobody_signed(pipeline: Pipeline) -> None:
    pipeline.all_but("ready_for_production", "into_production")
    pipeline.ready_for_production(review=(None, "security"), pipeline=(None, "release-manager"))
    pipeline.into_production()


@cheat
def a_sign_off_that_has_run_out(pipeline: Pipeline) -> None:
    pipeline.all_but("ready_for_production", "into_production")
    pipeline.ready_for_production(until=pipeline.now.isoformat())
    pipeline.into_production()


@cheat
def a_sign_off_for_another_environment(pipeline: Pipeline) -> None:
    pipeline.all_but("ready_for_production", "into_production")
    pipeline.ready_for_production(environment="staging")
    pipeline.into_production()


@cheat
def a_sign_off_for_an_earlier_release(pipeline: Pipeline) -> None:
    pipeline.all_but("ready_for_production", "into_production")
    pipeline.ready_for_production(release="earlier")
    pipeline.into_production()


@cheat
def evidence_of_a_machine_signed_by_a_person(pipeline: Pipeline) -> None:
    pipeline.all_but("into_production")
    pipeline.deploy("production", by="rita")
    pipeline.run("production", by="rita")


@cheat
def unsigned_evidence(pipeline: Pipeline) -> None:
    pipeline.all_but("into_production")
    pipeline.deploy("production", by=None)
    pipeline.run("production", by=None)


@cheat
def evidence_signed_by_a_stranger(pipeline: Pipeline) -> None:
    pipeline.all_but("into_production")
    pipeline.keys["ci"] = pipeline.keyring.make("stranger", "ci")
    (pipeline.keyring.folder / "stranger.toml").unlink()
    pipeline.into_production()


@cheat
def sealed_tests_that_were_deselected(pipeline: Pipeline) -> None:
    pipeline.all_but("into_production")
    pipeline.deploy("production")
    pipeline.run("production", missing=("suites/health/test_health.py::test_it",))


@cheat
def a_run_that_planned_nothing(pipeline: Pipeline) -> None:
    pipeline.all_but("into_production")
    pipeline.deploy("production")
    pipeline.run("production", planned=0)


@cheat
def a_run_that_left_out_a_suite(pipeline: Pipeline) -> None:
    pipeline.all_but("into_production")
    pipeline.deploy("production")
    pipeline.run("production", suites=("providers",))


@cheat
def a_rehearsal_on_the_sandbox_for_a_run(pipeline: Pipeline) -> None:
    pipeline.all_but("into_production")
    pipeline.deploy("production")
    pipeline.run("production", rehearsal=True)


@cheat
def a_failed_run_after_one_that_passed(pipeline: Pipeline) -> None:
    pipeline.all_but()
    pipeline.run("production", verdict="REJECT", result="FAILED")


@cheat
def a_failed_run_tried_again_until_it_passed(pipeline: Pipeline) -> None:
    pipeline.all_but("into_production")
    pipeline.deploy("production")
    pipeline.run("production", verdict="REJECT", result="FAILED")
    pipeline.run("production")


@cheat
def a_failed_run_in_staging_tried_again_until_it_passed(pipeline: Pipeline) -> None:
    pipeline.through_local()
    pipeline.through_dev()
    pipeline.run("staging", verdict="REJECT", result="FAILED")
    pipeline.through_staging()
    pipeline.ready_for_production()
    pipeline.into_production()


@cheat
def a_reason_that_was_signed_before_the_run_failed(pipeline: Pipeline) -> None:
    pipeline.all_but("into_production")
    pipeline.deploy("production")
    pipeline.waive("not-rejected", "production", "rita", "release-manager")
    pipeline.run("production", verdict="REJECT", result="FAILED")
    pipeline.run("production")


@cheat
def a_reason_of_somebody_who_may_not_give_one(pipeline: Pipeline) -> None:
    pipeline.all_but("into_production")
    pipeline.deploy("production")
    pipeline.run("production", verdict="REJECT", result="FAILED")
    pipeline.waive("not-rejected", "production", "dev", "release-manager")
    pipeline.waive("not-rejected", "production", "ci", "release-manager")
    pipeline.run("production")


@cheat
def an_approval_by_a_key_without_an_identity(pipeline: Pipeline) -> None:
    pipeline.keys["anon"] = pipeline.keyring.make("anon", "security", "release-manager")
    pipeline.all_but("ready_for_production", "into_production")
    pipeline.ready_for_production(review=("anon", "security"), pipeline=("anon", "release-manager"))
    pipeline.into_production()


@cheat
def a_run_without_evidence_called_passed(pipeline: Pipeline) -> None:
    pipeline.all_but("into_production")
    pipeline.deploy("production")
    pipeline.run("production", verdict="HOLD")


@cheat
def another_image_at_the_end_of_the_run(pipeline: Pipeline) -> None:
    pipeline.all_but("into_production")
    pipeline.deploy("production")
    pipeline.run("production", digests={**pipeline.release.digests, "auth": "sha256:other"})


@cheat
def a_run_in_which_nothing_was_observed(pipeline: Pipeline) -> None:
    pipeline.all_but("into_production")
    pipeline.deploy("production")
    pipeline.run("production", digests={})


@cheat
def a_run_from_before_the_deployment(pipeline: Pipeline) -> None:
    pipeline.all_but("into_production")
    pipeline.run("production")
    pipeline.deploy("production")


@cheat
def a_deployment_that_the_tool_called_done(pipeline: Pipeline) -> None:
    pipeline.all_but("into_production")
    pipeline.deploy("production", outcome="phantom")
    pipeline.run("production")


@cheat
def another_release_deployed_since(pipeline: Pipeline) -> None:
    pipeline.all_but()
    other = Pipeline(pipeline.keyring, pipeline.folder, made_release("b"), pipeline.now, pipeline.keys)
    other.deploy("production")
    pipeline.now = other.now


@cheat
def staging_runs_another_release_since(pipeline: Pipeline) -> None:
    pipeline.all_but("ready_for_production", "into_production")
    other = Pipeline(pipeline.keyring, pipeline.folder, made_release("b"), pipeline.now, pipeline.keys)
    other.deploy("staging")
    pipeline.now = other.now
    pipeline.ready_for_production()
    pipeline.into_production()


@cheat
def too_short_in_staging(pipeline: Pipeline) -> None:
    pipeline.all_but("ready_for_production", "into_production")
    pipeline.ready_for_production(hours=0)
    pipeline.into_production()


@cheat
def a_run_that_failed_while_it_soaked(pipeline: Pipeline) -> None:
    pipeline.all_but("ready_for_production", "into_production")
    pipeline.run("staging", verdict="REJECT", result="FAILED")
    pipeline.ready_for_production()
    pipeline.into_production()


@cheat
def a_gate_decision_written_by_hand(pipeline: Pipeline) -> None:
    pipeline.through_local()
    pipeline.through_dev()
    pipeline.gate("staging", by="rita", verdict="PROMOTE", reasons=())
    pipeline.ready_for_production()
    pipeline.into_production()


@cheat
def core_failures_expected_in_staging(pipeline: Pipeline) -> None:
    pipeline.through_local()
    pipeline.through_dev()
    pipeline.through_staging(core_failed=("suites/health/test_health.py::test_it",))
    pipeline.ready_for_production()
    pipeline.into_production()


@cheat
def performance_with_too_few_samples(pipeline: Pipeline) -> None:
    pipeline.through_local()
    pipeline.through_dev()
    pipeline.through_staging(slo=())
    pipeline.ready_for_production()
    pipeline.into_production()


@cheat
def a_rehearsed_rollback_that_did_not_work(pipeline: Pipeline) -> None:
    pipeline.all_but("ready_for_production", "into_production")
    pipeline.ready_for_production(rehearsal={"outcome": "failed"})
    pipeline.into_production()


@cheat
def a_release_that_was_rolled_back_before(pipeline: Pipeline) -> None:
    pipeline.all_but("into_production")
    pipeline.roll_back("production", rehearsal=False, reason="orders were lost")
    pipeline.into_production()


@cheat
def a_breaking_change_of_the_api(pipeline: Pipeline) -> None:
    pipeline.through_local()
    pipeline.sign("feature-complete", "dev", "rita", "release-manager")
    pipeline.check("no-breaking-api-change", "dev", status="failed", reason="GET /api/v1/chat is gone")
    pipeline.deploy("dev")
    pipeline.run("dev")
    pipeline.run("dev")
    pipeline.gate("dev")
    pipeline.all_but("through_local", "through_dev")


@cheat
def a_flaky_dev(pipeline: Pipeline) -> None:
    pipeline.through_local()
    pipeline.sign("feature-complete", "dev", "rita", "release-manager")
    pipeline.check("no-breaking-api-change", "dev")
    pipeline.deploy("dev")
    pipeline.run("dev")
    pipeline.run("dev", flaky=("suites/chat/test_chat.py::test_it",))
    pipeline.gate("dev")
    pipeline.through_staging()
    pipeline.ready_for_production()
    pipeline.into_production()


@cheat
def a_waiver_by_somebody_who_may_not(pipeline: Pipeline) -> None:
    pipeline.all_but("ready_for_production", "into_production")
    pipeline.sign_for_production()
    pipeline.waive("rollback-ready", "production", "sam", "security")
    pipeline.into_production()


@cheat
def a_waiver_by_the_author(pipeline: Pipeline) -> None:
    pipeline.all_but("ready_for_production", "into_production")
    pipeline.sign_for_production()
    pipeline.waive("rollback-ready", "production", "dev", "release-manager")
    pipeline.into_production()


@cheat
def a_waiver_without_an_end(pipeline: Pipeline) -> None:
    pipeline.all_but("ready_for_production", "into_production")
    pipeline.waive("rollback-ready", "production", "rita", "release-manager", until="2099-01-01T00:00:00+00:00")
    pipeline.wait(24 * 31)
    pipeline.gate("staging")
    pipeline.sign("security-review", "production", "sam", "security")
    pipeline.sign("release", "production", "rita", "release-manager")
    pipeline.into_production()


@cheat
def a_waiver_of_what_cannot_be_waived(pipeline: Pipeline) -> None:
    pipeline.all_but("into_production")
    pipeline.waive("deployed", "production", "rita", "release-manager")
    pipeline.waive("suites-passed", "production", "rita", "release-manager")
    pipeline.waive("undrifted", "production", "rita", "release-manager")


@cheat
def a_promotion_that_had_lost_its_lock(pipeline: Pipeline) -> None:
    pipeline.all_but("into_production")
    pipeline.deploy("production", fence=1)
    pipeline.run("production", fence=1, verdict="REJECT", result="FAILED")
    pipeline.deploy("production", fence=3)
    pipeline.run("production", fence=3, verdict="REJECT", result="FAILED")
    pipeline.run("production", fence=2)


@cheat
def images_that_only_one_machine_has(pipeline: Pipeline) -> None:
    pipeline.release = made_release(kind="local")
    pipeline.all_but()


@cheat
def an_image_without_a_digest(pipeline: Pipeline) -> None:
    pipeline.release = made_release(components=(Component("auth", "registry/auth:latest", "latest"),))
    pipeline.all_but()


@cheat
def a_release_without_images(pipeline: Pipeline) -> None:
    pipeline.release = made_release(components=())
    pipeline.all_but()


@pytest.mark.parametrize("name", CHEATS)
def test_it_does_not_promote(pipeline: Pipeline, name: str) -> None:
    CHEATS[name](pipeline)
    gate = pipeline.decide("production")
    assert gate.verdict != "PROMOTE"
    assert gate.exit_code != 0
    assert gate.reasons


def test_there_are_many_ways() -> None:
    assert len(CHEATS) >= 30


def test_without_a_cheat_the_same_release_is_promoted(pipeline: Pipeline) -> None:
    pipeline.all_but()
    assert pipeline.decide("production").verdict == "PROMOTE"


def test_a_freeze_holds_unless_a_release_manager_says_why_not(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pytest_gaia.config.stages import Freeze
    from tests.promotion.pipeline import STAGES

    pipeline.all_but()
    freeze = Freeze(pipeline.now - timedelta(hours=1), pipeline.now + timedelta(hours=1), "the year's end")
    monkeypatch.setitem(STAGES, "production", replace(STAGES["production"], freezes=(freeze,)))
    gate = pipeline.decide("production")
    assert gate.verdict == "HOLD"
    assert any("the year's end" in reason for reason in gate.reasons)

    pipeline.waive("not-frozen", "production", "sam", "security")
    assert pipeline.decide("production").verdict == "HOLD"

    pipeline.waive("not-frozen", "production", "rita", "release-manager")
    gate = pipeline.decide("production")
    assert (gate.verdict, gate.waived) == ("PROMOTE", ("not-frozen",))
