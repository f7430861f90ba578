"""What stands on the release report: numbers of the ledger, names of the verdict files that it names, and what is not known."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from pytest_gaia.expectations.apis import Api
from pytest_gaia.promotion.ledger.statements import RemovedOperation
from pytest_gaia.promotion.release.kept import keep_release
from tests.cli.release.signoff_files import (
    ACCEPTED,
    EXPECTATION,
    IDLE,
    LEFT_OUT,
    evaluated,
    evaluated_in,
    run_kept,
    verdict_of,
    walk_kept,
)
from tests.promotion.pipeline import made_release
from tests.repositories import Repository

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.evidence import Underway

    Told = Callable[..., dict[str, Any]]


def test_the_matrix_is_in_absolute_numbers_that_add_up(told: Told, pipeline: Underway, project: Path) -> None:
    staging = (
        *evaluated_in("staging"),
        evaluated("suites/chat/test_chat.py::test_b[GET /a::b]", "failed", "call: AssertionError: no", gates=True),
        evaluated("suites/chat/test_chat.py::test_c", "unexpected pass", "expected to fail: x", ("x",)),
        evaluated("suites/chat/test_gone.py", "not collected", "ImportError", gates=True),
        evaluated("suites/chat/test_chat.py::test_d", "skipped", "not today"),
    )
    pipeline.through_local()
    pipeline.through_dev()
    pipeline.deploy("staging")
    verdict = verdict_of(
        pipeline, "staging", staging, verdict="REJECT", exit_code=1, reasons=("1 failed", "1 not collected")
    )
    run_kept(
        pipeline,
        project,
        "staging",
        verdict,
        result="FAILED",
        planned=13,
        missing=("suites/chat/test_chat.py::test_e",),
    )

    page = told("--allure", "https://allure.example/{environment}/?x=1#top")

    assert [each["name"] for each in page["environments"]] == ["local", "dev", "staging"]
    link = "https://allure.example/staging/?x=1&query=test_b%5BGET%20/a%3A%3Ab%5D#top"
    assert link in [each["link"] for each in page["blocking"]]
    counts = page["environments"][-1]["counts"]
    assert counts == {
        "planned": 13, "ran": 8, "passed": 5, "expected": 1, "failed": 1, "unexpected_passes": 1, "not_applicable": 1,
        "blocked": 1, "not_run": 3, "offline": 0,
    }  # fmt: skip
    assert sum(counts.values()) == counts["planned"] * 2 + counts["ran"]
    assert page["environments"][-1]["notes"][0] == "REJECT: 1 failed, 1 not collected"
    gating = {each["what"]: each["reason"] for each in page["blocking"] if "test_" in each["what"]}
    assert gating["suites/chat/test_chat.py::test_b[GET /a::b]"] == "failed: call: AssertionError: no"
    assert set(gating) == {each.node for each in staging if each.blocks or each.outcome == "unexpected pass"}
    untested = {(test, each["outcome"]) for each in page["untested"] for test in each["tests"]}
    assert ("suites/chat/test_chat.py::test_d", "skipped") in untested
    assert ("suites/chat/test_chat.py::test_e", "never ran") in untested


def test_known_failures_name_who_accepted_them_until_when_and_which_tests(
    told: Told, pipeline: Underway, project: Path
) -> None:
    walk_kept(pipeline, project)

    page = told()

    (known,) = page["known"]
    assert (known["expectation"], known["reason"], known["issue"], known["owner"]) == (
        EXPECTATION.id,
        EXPECTATION.reason,
        EXPECTATION.issue,
        EXPECTATION.owner,
    )
    assert (known["expires"], known["tests"]) == (EXPECTATION.expires, [ACCEPTED])
    assert known["environments"] == [["staging", 1], ["production", 1]]
    assert known["days_left"] > 300, "counted on the day of the page, not on that of the run"
    assert [(each["expectation"], each["reasons"]) for each in page["unused"]] == [
        (IDLE.id, ["staging, production: it matched no failure"])
    ]


def test_failures_that_only_a_tolerance_lets_through_are_known_as_such(
    told: Told, pipeline: Underway, project: Path
) -> None:
    node = "suites/chat/test_chat.py::test_b"
    pipeline.through_local()
    pipeline.deploy("dev")
    run_kept(
        pipeline,
        project,
        "dev",
        verdict_of(pipeline, "dev", (*evaluated_in("dev"), evaluated(node, "tolerated", "call: no"))),
    )

    known = next(each for each in told()["known"] if not each["expectation"])

    assert (known["tests"], known["owner"], known["days_left"]) == ([node], "", None)
    assert known["reason"].startswith("no expectation covers these failures")


def test_what_was_not_tested_says_why_and_whether_it_was_tested_elsewhere(
    told: Told, pipeline: Underway, project: Path
) -> None:
    elsewhere = "suites/chat/test_chat.py::test_b"
    pipeline.through_local()
    pipeline.through_dev()
    run_kept(pipeline, project, "dev", verdict_of(pipeline, "dev", (*evaluated_in("dev"), evaluated(elsewhere))))
    pipeline.deploy("staging")
    tests = (*evaluated_in("staging"), evaluated(elsewhere, "not applicable", "chat has no URL there"))
    run_kept(pipeline, project, "staging", verdict_of(pipeline, "staging", tests))

    named = [each for each in told()["untested"] if each["tests"]]

    assert [(each["tests"], each["nowhere"], each["environments"]) for each in named] == [
        ([LEFT_OUT], True, ["dev", "staging"]),
        ([elsewhere], False, ["staging"]),
    ]
    assert named[0]["reason"] == "runs the suite 'performance' only if it is selected"


def test_what_runs_where_is_what_was_seen(told: Told, pipeline: Underway) -> None:
    pipeline.through_local()
    pipeline.through_dev()
    pipeline.deploy("staging", services={"auth": pipeline.release.digests["auth"], "gateway": "sha256:another"})
    pipeline.release = made_release("b")
    pipeline.deploy("dev")
    pipeline.release = made_release("a")

    page = told("--env", "production")

    seen = {image["service"]: {name: (what, same) for name, what, same in image["seen"]} for image in page["images"]}
    assert seen["auth"]["staging"] == ("this image", True)
    assert seen["gateway"]["staging"] == ("other image: sha256:another", False)
    assert seen["gateway"]["dev"] == ("other image: sha256:gatewayb", False)
    assert seen["gateway"]["production"] == ("not observed", False)
    runs = {each["name"]: each["runs_now"] for each in page["environments"]}
    assert runs["dev"].startswith(f"release {made_release('b').short}, since ")
    assert runs["staging"].startswith("this release, since ")
    assert runs["production"] == "unknown"


def test_the_checklist_names_who_signed_when_and_until_when(told: Told, pipeline: Underway, project: Path) -> None:
    walk_kept(pipeline, project)

    rows = {each["title"]: each for each in told()["approvals"]}

    review, proved = rows["Security review complete"], rows["Core functionality verified"]
    assert (review["status"], review["who"], review["edge"]) == (
        "approved",
        "sam (security)",
        "staging → production",
    )
    assert review["until"][:10] == (datetime.fromisoformat(review["when"][:16]) + timedelta(days=7)).date().isoformat()
    assert (proved["status"], proved["who"], proved["until"]) == ("passed", "ci", "")
    assert "Approved by release-manager" in rows
    assert len(rows) == 13


def test_what_changed_since_the_last_sign_off(told: Told, pipeline: Underway, project: Path) -> None:
    walk_kept(pipeline, project)
    pipeline.release = keep_release(project, made_release("b", migration_head="0007"), {})
    other = evaluated("suites/health/test_health.py::test_new")
    expectations = (
        msgspec.structs.replace(EXPECTATION, expires="2999-12-31"),
        msgspec.structs.replace(IDLE, id="new-rule"),
    )
    verdict = verdict_of(pipeline, "staging", (*evaluated_in("staging"), other), expectations=expectations)
    pipeline.deploy("staging")
    run_kept(pipeline, project, "staging", verdict)

    changes = told("--env", "production")["changes"]

    assert changes["since"].startswith(f"release {made_release('a').short}, approved for production on ")
    rows = {each["what"]: (each["old"], each["new"]) for each in changes["rows"]}
    assert rows["image of gateway"] == ("sha256:gatewaya", "sha256:gatewayb")
    assert rows["commit"] == ("c0ffeea", "c0ffeeb")
    assert rows["migration head"] == ("none", "0007")
    assert rows["staging: passed"] == ("5", "6")
    assert rows["expectation stream-wrapped"][1].endswith("until 2999-12-31)")
    assert rows["expectation models-shadowed"][1] == "removed"
    assert rows["expectation new-rule"][0] == "none"


def test_a_rollback_restores_the_release_before_with_its_images(told: Told, pipeline: Underway, project: Path) -> None:
    walk_kept(pipeline, project)
    first = pipeline.release
    pipeline.release = keep_release(project, made_release("b", migration_head="0007"), {})

    before = told("--env", "production")["way_back"]
    pipeline.deploy("production")
    after = told("--env", "production")["way_back"]

    for back in (before, after):
        assert back["release"] == f"release {first.short}"
        assert back["images"] == [["auth", "sha256:autha"], ["gateway", "sha256:gatewaya"]]
        assert back["command"] == "gaia rollback production --confirm production --accept-migrations"
        assert "migrations differ" in back["note"]
        assert back["drill"] == "none for this release"


def test_without_an_earlier_release_the_page_has_no_way_back(told: Told, pipeline: Underway, project: Path) -> None:
    walk_kept(pipeline, project)

    back = told()["way_back"]

    assert (back["release"], back["command"]) == ("", "")
    assert back["note"] == "The ledger has no earlier release that passed in production."
    assert back["drill"].startswith("passed in staging on ")


def test_commits_issues_and_ci_runs_have_links(
    told: Told, pipeline: Underway, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = 'repository_url = "https://git.example/gaia/"\nissue_url = "https://issues.example/{issue}"\n'
    gaia_toml = project / "gaia.toml"
    gaia_toml.write_text(gaia_toml.read_text().replace("[gaia]\n", f"[gaia]\n{settings}"))
    repository = Repository(project, monkeypatch)
    old, new = repository.commit("First"), repository.commit("Second")
    pipeline.release = keep_release(project, made_release("a", commit=old), {})
    walk_kept(pipeline, project)
    pipeline.release = keep_release(project, made_release("b", commit=new), {})
    pipeline.deploy("staging")
    run_kept(pipeline, project, "staging", ci="https://ci.example/runs/7")

    page = told("--env", "production")

    facts = {each["label"]: each["link"] for each in page["facts"]}
    assert facts["Commit"] == f"https://git.example/gaia/commit/{new}"
    changes = page["changes"]
    assert [(each["title"], each["link"]) for each in changes["commits"]] == [("Second", facts["Commit"])]
    assert (changes["commit_count"], changes["compare"]) == (
        1,
        f"https://git.example/gaia/compare/{old[:8]}...{new[:8]}",
    )
    assert page["known"][0]["issue_link"] == f"https://issues.example/{EXPECTATION.issue}"
    assert {each["name"]: each["ci"] for each in page["environments"]}["staging"] == "https://ci.example/runs/7"


def test_each_release_has_its_time_to_the_target(told: Told, pipeline: Underway, project: Path) -> None:
    walk_kept(pipeline, project)

    (release,) = told()["releases"]

    assert (release["release"], release["this"], release["verdict"]) == (pipeline.id, True, "PROMOTE")
    assert release["took"].endswith((" hours", " days"))
    assert release["ran"] == release["passed"] + release["expected"] + release["failed"]


@pytest.mark.parametrize(
    ("setting", "problem"),
    [
        ('issue_url = "https://issues.example/"', "has no {issue}"),
        ('repository_url = "git@git.example:gaia"', "is not a web address"),
    ],
)
def test_a_wrong_address_in_the_settings_is_a_usage_error(
    gaia: Callable[..., Any], pipeline: Underway, project: Path, setting: str, problem: str
) -> None:
    pipeline.through_local()
    gaia_toml = project / "gaia.toml"
    gaia_toml.write_text(gaia_toml.read_text().replace("[gaia]\n", f"[gaia]\n{setting}\n"))

    outcome = gaia("signoff", "report", "--bundle", pipeline.id)

    assert outcome.code == 4
    assert problem in outcome.err


def test_before_the_first_sign_off_nothing_is_compared(told: Told, pipeline: Underway, project: Path) -> None:
    walk_kept(pipeline, project)

    assert told()["changes"] == {
        "since": "", "rows": [], "notes": [], "commits": [], "commit_count": 0, "compare": "",
    }  # fmt: skip


def test_charts_are_drawn_of_the_ledger_and_of_the_record(told: Told, pipeline: Underway, project: Path) -> None:
    walk_kept(pipeline, project)

    page = told()

    slo = next(each for each in page["objectives"] if each["environment"] == "staging")
    assert (slo["route"], slo["measured_ms"], slo["fail_ms"]) == ("GET /health", 20, 100)
    assert (slo["median_ms"], slo["slowest_ms"]) == (20, 60)
    assert [each["environment"] for each in page["history"]] == ["local", "dev", "dev", "staging", "production"]


def test_without_verdict_files_the_page_says_so_and_shows_nothing_as_good(told: Told, pipeline: Underway) -> None:
    pipeline.all_but()
    pipeline.run(
        "staging", counts={"passed": 38, "expected failure": 2, "not applicable": 3}, expected=(ACCEPTED,), planned=43
    )

    page = told("--env", "production")

    assert any(
        gap.startswith("staging: the verdict file (verdict.json) is not on this machine.") for gap in page["gaps"]
    )
    assert [each["tests"] for each in page["known"]] == [[ACCEPTED]]
    assert "its name is not known" in page["known"][0]["reason"]
    assert {"suite": "not known", "count": 3}.items() <= next(
        e for e in page["untested"] if e["environments"] == ["staging"]
    ).items()
    assert page["verdicts_known"] is False


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"{}", "does not match the hash in the ledger"), (None, "is not on this machine")],
)
def test_a_kept_verdict_file_that_was_changed_is_not_shown(
    told: Told, pipeline: Underway, project: Path, content: bytes | None, said: str
) -> None:
    walk_kept(pipeline, project)
    path = project / ".gaia" / "promotions" / f"staging-{pipeline.id}" / "verdict.json"
    path.unlink() if content is None else path.write_bytes(content)

    page = told()

    assert any(gap.startswith("staging: ") and said in gap for gap in page["gaps"])
    assert page["known"][0]["environments"] == [["production", 1]]


def test_files_of_another_machine_can_be_given(told: Told, pipeline: Underway, project: Path) -> None:
    walk_kept(pipeline, project)
    kept = project / ".gaia" / "promotions" / f"staging-{pipeline.id}"
    kept.rename(project / "from-ci")

    without = told()
    page = told("--verdict", "from-ci/verdict.json", "--results", "from-ci/record.jsonl")

    assert any(gap.startswith("staging: ") for gap in without["gaps"])
    assert not any(gap.startswith("staging: ") for gap in page["gaps"])
    assert page["known"][0]["environments"] == [["staging", 1], ["production", 1]]
    assert next(each for each in page["objectives"] if each["environment"] == "staging")["median_ms"] == 20


def test_a_run_that_the_ledger_does_not_hold_is_shown_and_proves_nothing(
    told: Told, pipeline: Underway, project: Path
) -> None:
    pipeline.through_local()
    (project / "run.json").write_bytes(msgspec.json.encode(verdict_of(pipeline, "dev")))

    page = told("--env", "dev", "--verdict", "run.json")

    assert page["decision"] == "NO GO"
    assert "dev: the run of the given verdict file is not in the ledger and is no evidence" in page["gaps"]
    assert page["environments"][-1]["counts"]["passed"] == 5
    assert page["environments"][-1]["run"] == ""


def test_what_the_release_no_longer_offers_names_who_accepted_it_and_until_when(
    told: Told, pipeline: Underway, project: Path
) -> None:
    api = {"gateway": Api("sha256:1", ("GET /new",))}
    accepted = RemovedOperation("gateway: GET /old", 2, "old-api", "@team", "2027-01-31")
    blocking, silent = RemovedOperation("gateway: GET /used", 1), RemovedOperation("gateway: GET /unused", 0)
    pipeline.through_local()
    pipeline.run("dev", apis=api, removed=(accepted, silent), compared_with="release 1 in dev")
    pipeline.run(
        "staging", apis=api, removed=(accepted, blocking), compared_with="release 2 in staging", unknown_apis=("auth",)
    )

    page = told("-e", "staging")

    assert [(each["operation"], each["environments"], each["blocks"]) for each in page["removed"]] == [
        ("gateway: GET /used", ["staging"], True),
        ("gateway: GET /old", ["dev", "staging"], False),
        ("gateway: GET /unused", ["dev"], False),
    ]
    by = page["removed"][1]
    assert (by["expectation"], by["owner"], by["until"]) == ("old-api", "@team", "2027-01-31")
    assert page["compared"] == [
        "dev: compared with release 1 in dev.",
        "staging: compared with release 2 in staging; NOT KNOWN now: auth.",
    ]
