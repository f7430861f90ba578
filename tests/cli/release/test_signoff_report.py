"""``gaia release report``: the decision of the gate, the written files, and usage errors."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from tests.cli.release.signoff_files import evaluated, evaluated_in, run_kept, verdict_of, walk_kept
from tests.promotion.pipeline import made_release

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Outcome
    from tests.cli.evidence import Underway

    Gaia = Callable[..., Outcome]
    Told = Callable[..., dict[str, Any]]

REPORT = ("release", "report")


@pytest.fixture
def refused(gaia: Gaia, pipeline: Underway) -> Callable[..., str]:
    """Ask for a page that cannot be, and return what is said."""

    def call(*arguments: str, release: str | None = None) -> str:
        code, out, err = gaia(*REPORT, release or pipeline.id, *arguments)
        assert (code, out) == (4, "")
        assert len(err.strip().splitlines()) == 1
        return err

    return call


def test_an_honest_release_is_a_go(gaia: Gaia, pipeline: Underway, project: Path) -> None:
    walk_kept(pipeline, project)
    before = pipeline.entries()

    code, out, err = gaia(*REPORT, pipeline.id)

    page = project / ".gaia" / "signoff" / f"production-{pipeline.id}.html"
    assert (code, err) == (0, "")
    assert out == f"GO: release {pipeline.id} to production; {page}\n"
    assert '<span class="word">GO</span>' in page.read_text()
    assert pipeline.entries() == before, "a page writes nothing into the ledger"


def test_before_it_is_deployed_the_question_is_whether_it_may_be(told: Told, pipeline: Underway, project: Path) -> None:
    walk_kept(pipeline, project, production=False)

    page = told("--env", "production")

    assert (page["decision"], page["verdict"]) == ("GO", "PROMOTE")
    assert page["question"].startswith("May this release be deployed to production?")
    assert {each["when"] for each in page["checks"]} == {"before deployment"}
    production = page["environments"][-1]
    assert (production["name"], production["run"], production["counts"]) == ("production", "", None)
    assert "production: no valid run of this release." in page["gaps"]


@pytest.mark.parametrize("left_out", ["through_local", "through_dev", "through_staging", "ready_for_production"])
def test_the_decision_is_never_go_without_promote(told: Told, gaia: Gaia, pipeline: Underway, left_out: str) -> None:
    pipeline.all_but(left_out)

    page = told("--env", "production")
    gate = json.loads(gaia("release", "check", pipeline.id, "--env", "production", "--json").out)

    assert (page["decision"], page["verdict"]) == ("NO GO", gate["verdict"])
    assert len(page["reasons"]) == len(gate["reasons"])
    assert {each["id"]: each["status"] for each in page["checks"]} == {
        each["id"]: each["status"] for each in gate["checks"]
    }


def test_a_waiver_makes_it_a_go_with_waivers_and_stands_first(told: Told, gaia: Gaia, pipeline: Underway) -> None:
    pipeline.all_but("ready_for_production", "into_production")
    pipeline.sign_for_production()
    pipeline.waive("rollback-ready", "production", "rita", "release-manager")
    pipeline.waive("security-review", "production", "dev", "release-manager")

    page = told("--env", "production")

    assert page["decision"] == "GO WITH WAIVERS"
    (waiver,) = page["waivers"]
    assert (waiver["check"], waiver["owner"], waiver["approver"]) == (
        "rollback-ready",
        "rita",
        "rita (release-manager)",
    )
    assert (waiver["reason"], waiver["age_days"], waiver["in_force"]) == ("the partner needs it today", 0, True)
    assert page["checks"][0]["status"] == "waived"
    text = gaia(*REPORT, pipeline.id, "--env", "production", "--format", "markdown").out
    assert text.index("## Waivers") < text.index("## Test results")


def test_what_was_waived_on_the_way_is_no_plain_go(told: Told, pipeline: Underway) -> None:
    pipeline.through_local()
    pipeline.check("no-breaking-api-change", "dev")
    pipeline.waive("feature-complete", "dev", "rita", "release-manager")
    pipeline.deploy("dev")
    pipeline.run("dev")
    pipeline.run("dev")
    pipeline.gate("dev")
    pipeline.through_staging()
    pipeline.ready_for_production()

    page = told("--env", "production")

    assert (page["decision"], page["verdict"]) == ("GO WITH WAIVERS", "PROMOTE")
    assert "feature-complete (in dev)" in page["reasons"][0]


def test_a_waiver_that_has_expired_is_shown_and_worth_nothing(told: Told, pipeline: Underway) -> None:
    pipeline.all_but("ready_for_production", "into_production")
    pipeline.sign_for_production()
    past = (pipeline.now - timedelta(hours=1)).isoformat()
    pipeline.waive("rollback-ready", "production", "rita", "release-manager", until=past)

    page = told("--env", "production")

    assert page["decision"] == "NO GO"
    assert [(each["state"], each["in_force"]) for each in page["waivers"]] == [("expired", False)]


def test_files_that_are_not_those_of_the_release(
    refused: Callable[..., str], pipeline: Underway, project: Path
) -> None:
    walk_kept(pipeline, project)
    wrong = {
        "none": (b"{", "--verdict run.json: not a verdict file (pytest --gaia-verdict-file writes one)"),
        "list": (b"[]", "--verdict run.json: not a verdict file"),
        "bundle": (verdict_of(pipeline, "staging", release="f" * 64), f"belongs to release ffffffffffff; this page is about {pipeline.id}"),
        "without": (verdict_of(pipeline, "staging", release=""), "belongs to no release (the run had no --gaia-release)"),
        "preview": (verdict_of(pipeline, "preview"), "a run in preview, which is not one of the stages local → dev → staging → production"),
        "rehearsal": (verdict_of(pipeline, "staging", simulated=True), "simulated on the sandbox and is no evidence about staging"),
        "other": (verdict_of(pipeline, "staging", reasons=("edited",)), "does not match the newest run in staging"),
    }  # fmt: skip
    for content, said in wrong.values():
        (project / "run.json").write_bytes(content if isinstance(content, bytes) else msgspec.json.encode(content))
        assert said in refused("--verdict", "run.json")
    assert "--verdict gone.json: cannot be read: No such file" in refused("--verdict", "gone.json")
    kept = f".gaia/promotions/staging-{pipeline.id}"
    assert "a second verdict file of staging" in refused(
        "--verdict", f"{kept}/verdict.json", "--verdict", f"{kept}/verdict.json"
    )
    assert "gaia.toml: not a results log (see --gaia-report-log)" in refused("--results", "gaia.toml")
    assert "--results gone: cannot be read" in refused("--results", "gone")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--env", "prod"), "no stage is named 'prod'; did you mean production?"),
        (("--env", "sandbox"), "no stage is named 'sandbox'"),
        (("--as-of", "soon"), "--as-of: 'soon' is not a time. Use 2027-01-31 or 2027-01-31T12:00Z"),
        (("--allure", "javascript:alert(1)"), "--allure 'javascript:alert(1)': use an http(s) address"),
        (("--allure", "//elsewhere"), "--allure '//elsewhere': use an http(s) address"),
        (("--output", "gone/page.html"), "gone/page.html: the report cannot be written: No such file"),
        (("--markdown", "."), ".: the report cannot be written: Is a directory"),
        (("--format", "html", "--output", "page.html"), "Pass either --format, or --output and --markdown"),
    ],
)
def test_usage_errors(refused: Callable[..., str], pipeline: Underway, arguments: tuple[str, ...], said: str) -> None:
    pipeline.through_local()

    assert said in refused(*arguments)


def test_usage_errors_about_the_release_and_the_ledger(
    refused: Callable[..., str], pipeline: Underway, project: Path
) -> None:
    from pytest_gaia.promotion.release.kept import keep_release

    assert "the ledger (.gaia/ledger) has no entries. Promote a release first" in refused()
    pipeline.through_local()
    assert "no release has an ID that begins so" in refused(release="0123456")
    other = keep_release(project, made_release("b"), {})
    assert f"has no entry about release {other.short}. Name its target" in refused(release=other.short)


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_folder_that_cannot_be_written(refused: Callable[..., str], pipeline: Underway, project: Path) -> None:
    pipeline.through_local()
    (project / ".gaia").chmod(0o500)
    try:
        assert ".gaia/signoff: the page cannot be written: Permission denied. --output FILE." in refused()
    finally:
        (project / ".gaia").chmod(0o700)


def test_a_ledger_that_is_not_whole_is_no_go_and_says_why(gaia: Gaia, pipeline: Underway, project: Path) -> None:
    walk_kept(pipeline, project)
    path = pipeline.entry_file(3)
    path.write_text(path.read_text().replace('"payload":"', '"payload":"x', 1))

    code, out, err = gaia(*REPORT, pipeline.id, "--env", "production", "--output", "page.html")

    page = (project / "page.html").read_text()
    assert code == 1
    assert out.startswith("NO GO: ")
    assert err.startswith("gaia: the ledger is corrupt: entry 3")
    assert len(err.splitlines()) == 1
    assert "The ledger is corrupt: entry 3" in page
    assert "CORRUPT" in page


def test_exit_codes_are_those_of_the_gate_if_asked_for(gaia: Gaia, pipeline: Underway) -> None:
    pipeline.all_but("ready_for_production", "into_production")
    hold = gaia(*REPORT, pipeline.id, "--env", "production", "--exit-code", "--format", "json")
    pipeline.run("staging", verdict="REJECT", result="FAILED")
    pipeline.gate("staging")
    reject = gaia(*REPORT, pipeline.id, "--env", "production", "--exit-code", "--format", "json")

    assert (hold.code, json.loads(hold.out)["verdict"]) == (11, "HOLD")
    assert (reject.code, json.loads(reject.out)["verdict"]) == (1, "REJECT")


def test_a_page_of_one_moment_is_always_the_same(gaia: Gaia, pipeline: Underway, project: Path) -> None:
    walk_kept(pipeline, project)
    moment = datetime.now(UTC).isoformat()
    arguments = (
        *REPORT,
        pipeline.id,
        "--as-of",
        moment,
        "--allure",
        "https://allure.example/{environment}/",
    )

    first = [gaia(*arguments, "--format", form).out for form in ("html", "markdown", "json")]

    assert [gaia(*arguments, "--format", form).out for form in ("html", "markdown", "json")] == first
    assert 'href="https://allure.example/staging/"' in first[0]


def test_on_a_later_day_what_was_signed_has_ended(told: Told, pipeline: Underway, project: Path) -> None:
    walk_kept(pipeline, project)

    page = told("--as-of", (pipeline.now + timedelta(days=8)).isoformat())

    assert page["decision"] == "NO GO"
    assert (
        next(each for each in page["approvals"] if each["title"] == "Security review complete")["status"] == "expired"
    )


def test_no_secret_that_the_machine_knows_is_on_the_page(
    gaia: Gaia, pipeline: Underway, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = pipeline.hold("rita", monkeypatch)
    secrets = {"GAIA_STAGING_API_KEY": "planted-staging-key", "FLY_API_TOKEN": "planted-fly-token", "GAIA_DATABASE_URL": "postgresql://u:planted-password@db/x"}  # fmt: skip
    for name, value in secrets.items():
        monkeypatch.setenv(name, value)
    planted = (*secrets.values(), "planted-password", *key.splitlines()[1:-1])
    why = " ".join(planted)
    node = f"suites/chat/test_chat.py::test_b[{secrets['FLY_API_TOKEN']}]"
    pipeline.through_local()
    pipeline.waive("feature-complete", "dev", "rita", "release-manager", reason=why)
    pipeline.deploy("dev", reason=why)
    tests = (*evaluated_in("dev"), evaluated(node, "failed", why, gates=True))
    run_kept(pipeline, project, "dev", verdict_of(pipeline, "dev", tests, verdict="REJECT"))

    for form in ("html", "markdown", "json"):
        out = gaia(*REPORT, pipeline.id, "--allure", "https://u:planted-password@allure.example/", "--format", form).out
        assert "test_b" in out
        assert [secret for secret in planted if secret in out] == []


def test_names_and_reasons_stay_text(gaia: Gaia, pipeline: Underway, project: Path) -> None:
    hostile = "<script>alert(1)</script>\u202e|`x`"
    pipeline.through_local()
    pipeline.waive("feature-complete", "dev", "rita", "release-manager", reason=hostile, signer=hostile)
    pipeline.deploy("dev")
    tests = (
        *evaluated_in("dev"),
        evaluated(f"suites/chat/test_chat.py::test_b[{hostile}]", "failed", hostile, gates=True),
    )
    run_kept(pipeline, project, "dev", verdict_of(pipeline, "dev", tests, verdict="REJECT"))

    page = gaia(*REPORT, pipeline.id, "--format", "html").out
    text = gaia(*REPORT, pipeline.id, "--format", "markdown").out

    assert "<script" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;\\u202e" in page
    assert "\u202e" not in page + text
    assert "<script" not in text.replace("\\<script", "")
