"""``gaia release check``: a decision from the ledger alone, with how to resolve what blocks."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from pytest_gaia.promotion.ledger.statements import ROLLBACK

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Outcome
    from tests.cli.evidence import Underway

    Gaia = Callable[..., Outcome]


def test_an_honest_release_is_promoted_at_every_stage(gaia: Gaia, pipeline: Underway) -> None:
    pipeline.all_but()
    before = len(pipeline.entries())

    for environment in ("local", "dev", "staging"):
        code, out, _ = gaia("release", "check", pipeline.id, "--env", environment)
        assert code == 0, out
    code, out, err = gaia("release", "check", pipeline.id, "--env", "production")

    lines = out.splitlines()
    assert (code, err) == (0, "")
    assert lines[-2] == f"production, release {pipeline.id}: PROMOTE"
    assert lines[-1] == f"ledger head: {pipeline.entries()[-1].sha256}"
    assert any(line.split()[:2] == ["approved", "security-review"] for line in lines)
    assert len(pipeline.entries()) == before, "a gate writes nothing"


def test_the_newest_entries_removed_are_found_by_the_head_that_was_noted(gaia: Gaia, pipeline: Underway) -> None:
    pipeline.all_but()
    pipeline.roll_back("production", rehearsal=False)
    head = pipeline.entries()[-1].sha256
    assert gaia("release", "check", pipeline.id, "--env", "production", "--head", head).code == 1
    pipeline.entry_file(len(pipeline.entries())).unlink()

    assert gaia("release", "check", pipeline.id, "--env", "production").code == 0
    code, out, _ = gaia("release", "check", pipeline.id, "--env", "production", "--head", head[:12].upper())
    assert code == 1
    assert f"no entry has the hash {head[:12]}: entries were removed" in out
    assert f"  ledger-whole: gaia ledger verify --head {head[:12]}\n" in out
    kept = pipeline.entries()[3].sha256
    assert gaia("release", "check", pipeline.id, "--env", "production", "--pre-deploy", "--head", kept).code == 0
    code, out, err = gaia("release", "check", pipeline.id, "--env", "production", "--head", "")
    assert (code, out) == (4, "")
    assert "Pass 8 to 64 hexadecimal digits" in err


def test_the_edge_is_open_before_anything_is_deployed_and_the_whole_gate_is_not(gaia: Gaia, pipeline: Underway) -> None:
    pipeline.all_but("into_production")

    assert gaia("release", "check", pipeline.id, "--env", "production", "--pre-deploy").code == 0
    code, out, _ = gaia("release", "check", pipeline.id, "--env", "production")

    assert code == 11
    assert f"production, release {pipeline.id}: HOLD: 3 of" in out
    assert f"  deployed: gaia promote production {pipeline.id}" in out


@pytest.mark.parametrize(
    "left_out", ["through_local", "through_dev", "through_staging", "ready_for_production", "into_production"]
)
def test_a_step_left_out_never_promotes(gaia: Gaia, pipeline: Underway, left_out: str) -> None:
    pipeline.all_but(left_out)

    verdicts = [
        gaia("release", "check", pipeline.id, "--env", name).code for name in ("local", "dev", "staging", "production")
    ]

    assert verdicts[3] in (1, 11), verdicts


def test_nothing_in_the_ledger_holds_and_says_what_to_do(gaia: Gaia, pipeline: Underway) -> None:
    code, out, _ = gaia("release", "check", pipeline.id, "--env", "dev")

    assert code == 11
    assert "pending  previous-stage" in out
    assert f"  previous-stage: gaia promote local {pipeline.id}" in out
    assert (
        f"  feature-complete: gaia release approve {pipeline.id} feature-complete -e dev --role release-manager" in out
    )
    assert out.endswith("ledger head: none\n")


def test_a_decision_as_json(gaia: Gaia, pipeline: Underway) -> None:
    pipeline.all_but("into_production")
    pipeline.deploy("production", outcome="phantom", reason="the old image runs")

    code, out, err = gaia("release", "check", pipeline.id, "--env", "production", "--json")

    document = json.loads(out)
    assert (code, err) == (1, "")
    assert set(document) == {"environment", "release", "verdict", "exit_code", "reasons", "checks", "ledger_head"}
    assert document["release"] == pipeline.release.id
    assert (document["verdict"], document["exit_code"]) == ("REJECT", 1)
    assert "deployed: not rolled out: the old image runs" in document["reasons"]
    assert document["ledger_head"] == pipeline.entries()[-1].sha256
    items = {check["id"]: check for check in document["checks"]}
    assert set(items["deployed"]) == {"id", "title", "group", "status", "reason", "next", "evidence", "names"}
    assert items["deployed"]["status"] == "failed"
    assert items["rollback-ready"]["evidence"] == [
        entry.sha256 for entry in pipeline.entries() if entry.kind == ROLLBACK
    ]


def test_a_waiver_stands_first(gaia: Gaia, pipeline: Underway) -> None:
    pipeline.all_but("ready_for_production", "into_production")
    pipeline.wait(25)
    pipeline.sign("security-review", "production", "sam", "security")
    pipeline.sign("release", "production", "rita", "release-manager")
    pipeline.waive("rollback-ready", "production", "rita", "release-manager")

    code, out, _ = gaia("release", "check", pipeline.id, "--env", "production", "--pre-deploy")

    assert code == 0
    assert out.splitlines()[1].startswith("waived    rollback-ready")
    assert "waived by rita (release-manager) until" in out.splitlines()[1]
    assert "the partner needs it today" in out.splitlines()[1]


def test_a_freeze_holds(gaia: Gaia, pipeline: Underway, project: Path) -> None:
    pipeline.all_but("into_production")
    now = datetime.now(UTC)
    begins, until = ((now + timedelta(hours=hours)).isoformat(timespec="seconds") for hours in (-1, 1))
    with (project / "gaia.toml").open("a") as file:
        file.write(f'[[env.production.stage.freeze]]\nfrom = {begins}\nuntil = {until}\nwhy = "the fair"\n')

    code, out, _ = gaia("release", "check", pipeline.id, "--env", "production", "--pre-deploy")

    assert code == 11
    assert f"deployment freeze until {until}: the fair" in out


def test_who_may_not_sign_does_not_count_by_writing_past_the_command(gaia: Gaia, pipeline: Underway) -> None:
    pipeline.all_but("ready_for_production", "into_production")
    pipeline.roll_back("staging")
    pipeline.wait(25)
    pipeline.sign("security-review", "production", "dev", "security")
    pipeline.sign("release", "production", "ci", "release-manager")

    code, out, _ = gaia("release", "check", pipeline.id, "--env", "production", "--pre-deploy")

    assert code == 11
    assert "pending  security-review" in out
    assert "pending  signed-release-manager" in out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["{id}", "--env", "prod"], "no stage is named 'prod'; did you mean production?"),
        (["{id}", "--env", "sandbox"], "no stage is named 'sandbox'"),
        (["0000000", "--env", "dev"], "no release has an ID that begins so. Known, newest first: {id}."),
        (["a", "--env", "dev"], "give at least 4 digits of its ID"),
        (["--env", "dev"], "Missing argument 'RELEASE'"),
        (["{id}", "--observe"], "need an environment: add -e ENV"),
    ],
)
def test_usage_errors(gaia: Gaia, pipeline: Underway, arguments: list[str], said: str) -> None:
    code, out, err = gaia("release", "check", *(each.format(id=pipeline.id) for each in arguments))

    assert (code, out) == (4, "")
    assert said.format(id=pipeline.id) in err


def test_a_release_that_two_begin_like_is_a_usage_error(gaia: Gaia, pipeline: Underway, project: Path) -> None:
    twin = pipeline.release.id[:20] + "0" * 44
    (project / ".gaia" / "bundles" / f"{twin}.json").write_text("{}")

    code, _, err = gaia("release", "check", pipeline.id, "--env", "dev")

    assert code == 4
    assert "2 release IDs begin so; give more digits" in err


def test_a_release_that_was_edited_proves_nothing(gaia: Gaia, pipeline: Underway, project: Path) -> None:
    path = project / ".gaia" / "bundles" / f"{pipeline.release.id}.json"
    path.write_text(path.read_text().replace("dev@example.org", "nobody@example.org"))

    code, _, err = gaia("release", "check", pipeline.id, "--env", "dev")

    assert code == 4
    assert "the file was edited" in err


def test_the_checklist_of_all_edges(gaia: Gaia, pipeline: Underway) -> None:
    pipeline.all_but("ready_for_production", "into_production")

    code, out, err = gaia("release", "check", pipeline.id)

    assert (code, err) == (11, "")
    assert [line for line in out.splitlines() if "→" in line] == [
        "local → dev",
        "dev → staging",
        "staging → production",
    ]
    assert f"  rollback-ready: gaia rollback staging --drill --release {pipeline.id}" in out
    assert sum(line.startswith(("passed", "approved", "pending")) for line in out.splitlines()) == 12


def test_the_checklist_of_one_edge(gaia: Gaia, pipeline: Underway) -> None:
    pipeline.all_but("into_production")

    assert gaia("release", "check", pipeline.id).code == 0
    code, out, _ = gaia("release", "check", pipeline.id, "--json")

    document = json.loads(out)
    assert code == 0
    assert list(document) == ["dev", "staging", "production"]
    assert {check["id"]: check["status"] for check in document["production"]} == {
        "staging-validated": "passed",
        "core-verified": "passed",
        "performance-acceptable": "passed",
        "removed-operations": "passed",
        "security-review": "approved",
        "rollback-ready": "passed",
    }


def test_where_the_checklist_asks_nothing(gaia: Gaia, pipeline: Underway) -> None:
    code, _, err = gaia("release", "check", pipeline.id, "--env", "prod")
    assert code == 4
    assert "did you mean production" in err
