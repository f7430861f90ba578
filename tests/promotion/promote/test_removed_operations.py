"""A release is compared with what the ledger knows of the one before it, and with nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from pytest_gaia.cli.app import run as gaia
from pytest_gaia.expectations.apis import Api, Baseline
from pytest_gaia.promotion.ledger.statements import GatePredicate, RemovedOperation, RunPredicate
from pytest_gaia.promotion.promote.child import BASELINE, RECORD
from pytest_gaia.verdict.results_log import read_start
from tests.plugin.conftest import project, server
from tests.plugin.deployer import deployer
from tests.promotion.promotable import promotable

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from tests.plugin.conftest import ScriptedServer
    from tests.plugin.deployer import Deployer
    from tests.promotion.promotable import Promotable

__all__ = ["deployer", "project", "promotable", "server"]

SUITE = """
async def test_new(gateway): (await gateway.get("/new")).expect(200)
async def test_old(gateway): (await gateway.get("/old")).expect(200)
"""
ACCEPTED = """
reason = "Announced in March."
issue = "GAIA-1"
owner = "@team"
created = 2026-11-01
expires = 2099-01-01
environments = ["stage"]
expect = "removed"
operations = ["gateway: GET /old"]
"""
# Loaded before the plugin reads its options.
DROPS_IT = """
from pytest_gaia.observation import documents
documents.baseline_at = documents.last_baseline = lambda *given: None
"""


def offer(server: ScriptedServer, *paths: str) -> None:
    """The gateway has these routes, and its document lists them."""
    for path in ("/old", "/new"):
        server.answers[path] = [(200 if path in paths else 404, {})]
    document = {"openapi": "3.1.0", "paths": {path: {"get": {"responses": {}}} for path in paths}}
    server.answers["/openapi.json"] = [(200, document)]


def promote_first(promotable: Promotable) -> None:
    """A release with both routes is promoted; the next one lacks one of them."""
    suite = promotable.rootdir / "suites" / "health" / "test_health.py"
    suite.write_text(SUITE, encoding="utf-8")
    offer(promotable.deployer.server, "/old", "/new")
    done = promotable.promote()
    assert done.returncode == 0, done.stdout + done.stderr
    offer(promotable.deployer.server, "/new")


def next_release(promotable: Promotable, name: str, text: str) -> None:
    """Make a release that differs in one file, and has the same images."""
    path = promotable.rootdir / "suites" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")
    promotable.create_release("-dirty")


def test_a_release_that_lacks_an_operation_is_rejected_until_an_expectation_accepts_it(
    promotable: Promotable, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    first = promotable.release.short
    promote_first(promotable)
    before = promotable.predicate(RunPredicate).details
    assert list(before.apis["gateway"].operations) == ["GET /new", "GET /old"]
    assert (before.compared_with, before.removed) == ("", ())
    # What is saved on this machine is no evidence.
    assert (promotable.rootdir / ".gaia" / "api" / "stage").is_dir()

    next_release(promotable, "note.txt", "without /old")
    done = promotable.promote()

    assert done.returncode == 1, done.stdout + done.stderr
    assert "the newest run in stage ended with REJECT: 1 operation gone: gateway: GET /old" in done.stdout
    run = promotable.predicate(RunPredicate)
    assert run.details.removed == (RemovedOperation("gateway: GET /old", 1),)
    assert (run.details.compared_with, run.details.problem) == (f"release {first} in stage", "")
    assert run.digest_of(BASELINE)
    assert promotable.predicate(GatePredicate).decision.verdict == "REJECT"
    monkeypatch.chdir(promotable.rootdir)
    assert gaia(["replay", f".gaia/promotions/stage-{promotable.release.short}/{RECORD}"]) == 1
    assert f"1 operation gone since release {first} in stage" in capsys.readouterr().out

    next_release(promotable, "expectations/removed.toml", ACCEPTED)
    done = promotable.promote()

    assert done.returncode == 0, done.stdout + done.stderr
    (removed,) = promotable.predicate(RunPredicate).details.removed
    assert (removed.expectation, removed.owner, removed.expires) == ("removed", "@team", "2099-01-01")


def test_a_run_that_leaves_the_baseline_out_is_rejected(promotable: Promotable) -> None:
    promotable.configure('\n[env.stage.tolerance]\nkind = "known-failures"\nbaseline = "optional"\n')
    text = (promotable.rootdir / "gaia.toml").read_text(encoding="utf-8")
    twice = '[env.stage.tolerance]\nkind = "known-failures"\n'
    (promotable.rootdir / "gaia.toml").write_text(text.replace(twice, "", 1), encoding="utf-8")
    first = promotable.release.short
    promote_first(promotable)
    next_release(promotable, "conftest.py", DROPS_IT)

    done = promotable.promote()

    assert done.returncode == 1, done.stdout + done.stderr
    details = promotable.predicate(RunPredicate).details
    assert (details.verdict, details.removed) == ("REJECT", ())
    wanted = f"the API was compared with nothing, not with release {first} in stage as the ledger has it"
    assert wanted in details.problem


def run_with(deployer: Deployer, baseline: Baseline) -> Any:
    """Run the tests with the file of a promotion; return the first line of the results log."""
    file: Path = deployer.folder / "baseline.json"
    file.write_bytes(msgspec.json.encode(baseline))
    log = deployer.folder / "log.jsonl"
    deployer.run(f"--gaia-baseline={file}", f"--gaia-report-log={log}")
    return read_start(log)


def test_the_operations_of_the_stage_before_count_where_a_service_publishes_none(deployer: Deployer) -> None:
    recorded = Api("sha256:1", ("GET /new",), source="release 3f9a1c in dev")
    baseline = Baseline("no earlier release in stage", {}, {"gateway": recorded})

    assert run_with(deployer, baseline).apis == {"gateway": recorded}

    # It could have any content.
    deployer.server.answers["/openapi.json"] = [(503, {})]
    start = run_with(deployer, baseline)
    assert (start.apis, start.baseline) == ({}, baseline)
