"""Promoting, from the edge to the gate's word: what is written down, and what is not."""

from __future__ import annotations

import json
import os
import subprocess
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from pytest_gaia.cli.app import run as gaia
from pytest_gaia.promotion.ledger.statements import NO_RELEASE, DeploymentPredicate, GatePredicate, RunPredicate
from pytest_gaia.promotion.project import Promotion
from pytest_gaia.promotion.promote.plan import plan_promotion
from pytest_gaia.system.processes import KEY_VARIABLE
from tests.plugin.conftest import project, server
from tests.plugin.deployer import OLD, deployer
from tests.promotion.conftest import Keyring
from tests.promotion.promotable import DIGEST, GAIA, promotable
from tests.repositories import Repository
from tests.slow import in_full

if TYPE_CHECKING:
    from tests.promotion.promotable import Promotable

__all__ = ["deployer", "project", "promotable", "server"]


def test_a_release_is_deployed_tested_and_written_down(promotable: Promotable) -> None:
    done = promotable.promote()

    assert done.returncode == 0, done.stdout + done.stderr
    assert promotable.runs() == DIGEST
    assert promotable.kinds == ["Deployment", "Run", "Gate"]
    deployment, run, gate = (entry.predicate for entry in promotable.entries)
    assert isinstance(deployment, DeploymentPredicate)
    assert isinstance(run, RunPredicate)
    assert isinstance(gate, GatePredicate)
    assert (deployment.outcome, deployment.services, deployment.fence) == ("deployed", {"gateway": DIGEST}, 1)
    assert (run.result, run.details.planned, run.details.missing) == ("PASSED", 2, ())
    assert (run.details.suites, run.details.digests) == (("health",), {"gateway": DIGEST})
    address = promotable.deployer.server.url.removeprefix("http://")
    assert (run.details.addresses, run.details.hosts) == ({"gateway": (address,)}, ("127.0.0.1",))
    assert f"PROMOTE; gateway at {address}" in done.stdout
    assert {"plan.json", "record.jsonl", "verdict.json"} <= {each.name for each in run.configuration}
    assert {each.partition(" ")[0] for each in run.details.plugins} >= {"pytest-gaia", "pytest-asyncio", "pytest-xdist"}
    assert (gate.decision.verdict, gate.decision.fence) == ("PROMOTE", 1)
    assert promotable.entries[-1].sha256 in done.stdout
    assert "next: gaia status" in done.stdout
    assert done.stdout.endswith(f"report: gaia release report {promotable.release.short} -e stage\n")
    assert [mark.step for mark in promotable.marks] == ["begin", "lock", "seal", "run", "evidence", "gate", "end"]


def test_a_failed_test_rejects_and_says_so(promotable: Promotable) -> None:
    suite = promotable.rootdir / "suites" / "health" / "test_health.py"
    suite.write_text("def test_one(): pass\ndef test_two(): assert False\n", encoding="utf-8")

    done = promotable.promote("--json")

    assert done.returncode == 1
    assert '"verdict": "REJECT"' in done.stdout
    run = promotable.predicate(RunPredicate)
    assert (run.result, run.failed) == ("FAILED", ("suites/health/test_health.py::test_two",))


FORGES = """
import atexit, ctypes, pathlib

def forge():
    (folder,) = pathlib.Path(".gaia/promotions").glob("stage-*")
    {forgery}
    ctypes.CDLL(None)._exit(0)

# Past everything with which the run watches its own end.
atexit._clear()
atexit.register(forge)
"""
VERDICT = """verdict = folder / "verdict.json"
    verdict.write_text(verdict.read_text().replace("REJECT", "PROMOTE").replace('"exit_code": 1', '"exit_code": 0'))"""
RECORD = """record = folder / "record.jsonl"
    record.write_text(record.read_text().replace('"failed"', '"passed"'))"""
PLAN = """plan = folder / "plan.json"
    plan.write_text(plan.read_text() + " ")"""
EXPECTATION = """
import pathlib
rules = pathlib.Path("suites/expectations")
rules.mkdir(exist_ok=True)
(rules / "late.toml").write_text('''
reason = "a reason"
issue = "GAIA-1"
owner = "@team"
created = 2026-11-01
expires = 2099-01-01
environments = ["stage"]
tests = ["suites/health/test_health.py::test_two"]
match = { kind = "assertion" }
''')
"""


@pytest.mark.parametrize(
    ("conftest", "problem"),
    [
        (FORGES.format(forgery=VERDICT), "verdict is PROMOTE in the verdict file, REJECT in the results log"),
        in_full(FORGES.format(forgery="pass"), "pytest exited with 0, its results log gives 1"),
        in_full(FORGES.format(forgery="(folder / 'verdict.json').unlink()"), "the verdict file is missing or invalid"),
        in_full(FORGES.format(forgery=RECORD), "record.jsonl: changed since the run"),
        in_full(FORGES.format(forgery=PLAN), "plan.json: changed since it was saved"),
        in_full(EXPECTATION, "the plan used other expectations"),
    ],
)
def test_what_contradicts_the_record_is_a_failure_that_is_written_down(
    promotable: Promotable, conftest: str, problem: str
) -> None:
    suite = promotable.rootdir / "suites" / "health" / "test_health.py"
    suite.write_text("def test_one(): pass\ndef test_two(): assert False\n", encoding="utf-8")
    (promotable.rootdir / "suites" / "conftest.py").write_text(conftest, encoding="utf-8")

    done = promotable.promote()

    assert done.returncode == 1, done.stdout + done.stderr
    assert problem in done.stdout
    run = promotable.predicate(RunPredicate)
    assert (run.result, run.details.verdict, problem in run.details.problem) == ("FAILED", "REJECT", True)
    assert promotable.predicate(GatePredicate).decision.verdict == "REJECT"


@pytest.mark.slow("processes")
def test_a_clean_release_is_promoted_and_one_that_changes_its_own_files_while_it_runs_is_not(
    promotable: Promotable,
) -> None:
    promotable.create_release()
    assert promotable.promote().returncode == 0

    suite = promotable.rootdir / "suites" / "health" / "test_health.py"
    suite.write_text("def test_one(): open(__file__, 'a').write('#')\ndef test_two(): pass\n", encoding="utf-8")
    promotable.create_release()
    done = promotable.promote()

    assert done.returncode == 1, done.stdout + done.stderr
    assert "files changed during the run: suites/health/test_health.py" in done.stdout
    assert promotable.predicate(RunPredicate).details.verdict == "REJECT"


@pytest.mark.slow("processes")
def test_a_removed_test_is_named_before_the_deployment_until_a_waiver_accepts_it(promotable: Promotable) -> None:
    first = promotable.create_release().short
    assert promotable.promote().returncode == 0
    suite = promotable.rootdir / "suites" / "health" / "test_health.py"
    suite.write_text("def test_one(): pass\ndef test_second(): pass\n", encoding="utf-8")
    second = promotable.create_release().short
    kinds = promotable.kinds

    done = promotable.promote("--json")

    assert done.returncode == 11, done.stdout + done.stderr
    decision = json.loads(done.stdout)
    (check,) = decision["checks"]
    assert (check["id"], check["names"]) == ("tests-kept", ["suites/health/test_health.py::test_two"])
    assert check["reason"].startswith(
        f"1 test of release {first} removed: suites/health/test_health.py::test_two; 1 test new"
    )
    assert decision["reason"].endswith("Nothing was deployed")
    assert promotable.kinds == kinds
    waive = [str(GAIA), "release", "waive", second, "tests-kept", "-e", "stage", "--until", "1d", "--reason", "renamed"]
    subprocess.run(waive, cwd=promotable.rootdir, check=True, capture_output=True)

    assert promotable.promote().returncode == 0


@pytest.mark.slow("processes")
def test_a_wider_setting_is_named_before_the_deployment_until_a_waiver_accepts_it(promotable: Promotable) -> None:
    first = promotable.create_release().short
    assert promotable.promote().returncode == 0
    promotable.configure("\n[env.stage.stage]\nmax_evidence_age = '9d'\nrequire_signed = false\n")
    second = promotable.create_release().short
    kinds = promotable.kinds

    done = promotable.promote()

    assert done.returncode == 11, done.stdout + done.stderr
    assert f"1 setting wider since release {first}: stage.max_evidence_age: was 7d, is 9d" in done.stdout
    assert "Nothing was deployed" in done.stdout
    assert promotable.kinds == kinds
    waive = [str(GAIA), "release", "waive", second, "settings-kept", "-e", "stage", "--until", "1d", "--reason", "x"]
    subprocess.run(waive, cwd=promotable.rootdir, check=True, capture_output=True)

    done = promotable.promote()

    assert done.returncode == 0, done.stdout + done.stderr
    assert "waived by" in done.stdout


@pytest.mark.slow("processes")
def test_a_path_outside_of_the_suites_is_not_loaded(
    promotable: Promotable, tmp_path_factory: pytest.TempPathFactory
) -> None:
    other = tmp_path_factory.mktemp("other")
    (other / "conftest.py").write_text("raise SystemExit('loaded')\n", encoding="utf-8")

    done = promotable.promote("--", "-x", str(other))

    assert done.returncode == 4, done.stdout + done.stderr
    assert f"{other}: is not in a suite of the project" in done.stderr
    assert promotable.runs() == OLD
    assert promotable.kinds == []


@pytest.mark.slow("processes")
def test_settings_of_pytest_above_the_repository_are_not_loaded(
    promotable: Promotable, request: pytest.FixtureRequest
) -> None:
    promotable.rootdir.joinpath("pyproject.toml").unlink(missing_ok=True)
    promotable.create_release()
    settings = promotable.rootdir.parent / "pytest.ini"
    request.addfinalizer(settings.unlink)
    settings.write_text("[pytest]\naddopts = --maxfail=1\n", encoding="utf-8")

    done = promotable.promote()

    assert done.returncode == 4, done.stdout + done.stderr
    assert f"{settings}: is outside of the project's repository" in done.stderr
    assert promotable.runs() == OLD
    assert promotable.kinds == []


@pytest.mark.slow("processes")
def test_what_the_run_leaves_out_holds(promotable: Promotable) -> None:
    done = promotable.promote("--", "-k", "one")

    assert done.returncode == 11, done.stdout + done.stderr
    assert promotable.predicate(RunPredicate).details.missing == ("suites/health/test_health.py::test_two",)
    assert promotable.predicate(GatePredicate).decision.verdict == "HOLD"


@pytest.mark.slow("processes")
def test_a_selection_holds_even_where_all_that_was_sealed_passes(promotable: Promotable) -> None:
    done = promotable.promote("--", "-m", "health")

    assert done.returncode == 11, done.stdout + done.stderr
    run = promotable.predicate(RunPredicate)
    assert (run.result, run.details.verdict, run.details.missing) == ("FAILED", "HOLD", ())
    assert "a full run is required (--gaia-require-full), but this run is partial: -m health was given" in done.stdout


@pytest.mark.slow("processes")
def test_a_deployment_that_did_not_come_about_is_evidence_too(promotable: Promotable) -> None:
    promotable.deployer.tell("deploy", lazy=True)
    promotable.deployer.settings(deadline=1)

    done = promotable.promote()

    assert done.returncode == 1, done.stdout + done.stderr
    assert promotable.predicate(DeploymentPredicate).outcome == "phantom"
    assert promotable.runs() == OLD


@pytest.mark.slow("processes")
def test_a_run_that_deploys_outside_of_a_promotion_is_written_as_such(promotable: Promotable) -> None:
    assert promotable.promote().returncode == 0
    other = f"sha256:{'b' * 64}"

    done = promotable.deployer.run("--gaia-deploy", f"--gaia-deploy-image=gateway=registry/gateway@{other}")

    assert done.ret == 0
    done.stdout.fnmatch_lines(
        ["gaia: note: deployed outside of a promotion (entry 4 of the ledger): the gate of stage holds until you *"]
    )
    assert promotable.kinds == ["Deployment", "Run", "Gate", "Deployment"]
    says = promotable.predicate(DeploymentPredicate)
    assert (says.release, says.services, says.outcome) == (NO_RELEASE, {"gateway": other}, "deployed")
    again = promotable.promote()
    assert again.returncode == 0, again.stdout + again.stderr
    assert promotable.kinds[4:] == ["Deployment", "Run", "Gate"]


def test_a_plan_shows_the_commands_and_changes_nothing(promotable: Promotable) -> None:
    before = sorted(path for path in promotable.rootdir.rglob("*") if "__pycache__" not in path.parts)

    done = promotable.promote("--dry-run", "--", "-n", "2")

    assert done.returncode == 0, done.stderr
    assert f"--gaia-deploy-image=gateway=registry/gateway@{DIGEST}" in done.stdout
    assert "--collect-only" in done.stdout
    assert "-n 2" in done.stdout
    assert sorted(path for path in promotable.rootdir.rglob("*") if "__pycache__" not in path.parts) == before


def test_where_signatures_are_asked_for_all_is_signed_and_tests_do_not_see_the_key(
    promotable: Promotable, monkeypatch: pytest.MonkeyPatch
) -> None:
    pem = Keyring.private_pem()
    monkeypatch.setattr(Keyring, "private_pem", staticmethod(lambda: pem))
    Keyring(promotable.rootdir / "keys").make("ci", "ci")
    monkeypatch.setenv(KEY_VARIABLE, pem)
    promotable.configure("\n[env.stage.stage]\nrequire_signed = true\n")
    suite = promotable.rootdir / "suites" / "health" / "test_health.py"
    suite.write_text(f"import os\ndef test_key(): assert {KEY_VARIABLE!r} not in os.environ\n", encoding="utf-8")

    done = promotable.promote()

    assert done.returncode == 0, done.stdout + done.stderr
    assert [[key.name for key in entry.signers] for entry in promotable.entries] == [["ci"]] * 3
    assert [entry.problem for entry in promotable.entries] == [""] * 3


def test_only_a_known_address_is_deployed_to_and_tested(
    promotable: Promotable, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(promotable.rootdir)
    file = promotable.rootdir / "gaia.toml"
    address = promotable.deployer.server.url.removeprefix("http://")
    file.write_text(file.read_text().replace(promotable.deployer.server.url, "https://stage.example.org"))
    monkeypatch.setenv("GAIA_STAGE_GATEWAY_URL", promotable.deployer.server.url)

    assert gaia(["promote", "stage", promotable.release.short]) == 11

    shown = capsys.readouterr().out
    assert (
        f"gateway at {address} is not one of the hosts of stage (stage.example.org). If it belongs to stage, add"
        in shown
    )
    assert "Nothing was deployed." in shown
    assert (promotable.entries, promotable.deployer.calls) == ((), [])


@pytest.mark.parametrize(("committed", "good"), [(True, True), (False, False)])
def test_this_machine_is_allowed_by_the_promoted_commit_alone(
    promotable: Promotable, monkeypatch: pytest.MonkeyPatch, committed: bool, good: bool
) -> None:
    repository = Repository(promotable.rootdir, monkeypatch)
    promotable.configure('\n[env.stage.stage]\npromote_from = "local"\n')
    file, edited = promotable.rootdir / "gaia.toml", "[env.stage]\nloopback = true"
    if not committed:
        repository.commit()
    file.write_text(file.read_text().replace("[env.stage]", edited))
    release = replace(
        promotable.release, commit=repository.commit() if committed else repository.git("rev-parse", "HEAD")
    )

    planned = plan_promotion(Promotion.here(promotable.rootdir, os.environ), "stage", release, ())

    (check,) = (check for check in planned.pre_deploy.checks if check.id == "own-addresses")
    assert (check.good, planned.environment.loopback) == (good, good)
    assert (
        "loopback = true)" if good else "this needs loopback = true in [env.stage] of the committed"
    ) in check.finding.reason


def test_a_run_of_another_environments_platform_is_not_signed(
    promotable: Promotable, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(promotable.rootdir)
    other = "http://127.0.0.1:4001"
    promotable.configure('\n[env.dev]\nurl = "https://dev.example.org"\n')
    for name in ("DEV", "STAGE"):
        monkeypatch.setenv(f"GAIA_{name}_GATEWAY_URL", other)

    assert gaia(["promote", "stage", promotable.release.short]) == 12

    assert (
        "stage: urls.gateway (source: GAIA_STAGE_GATEWAY_URL) is 127.0.0.1:4001, which belongs to dev"
        in capsys.readouterr().err
    )
    assert (promotable.entries, promotable.deployer.calls) == ((), [])
