"""Simulate staging: its expectations cover only their failures, and the same run does not pass for production."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.suites.conftest import ROOT, run_suites

if TYPE_CHECKING:
    from pathlib import Path

SIMULATION = ("--gaia-env=staging", "--gaia-simulate", "-q")


def verdict(path: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return document


def nodes(document: dict[str, Any], outcome: str) -> set[str]:
    return {test["node"] for test in document["tests"] if test["outcome"] == outcome}


def replay(record: Path, report: Path, environment: str) -> int:
    command = "import sys; from pytest_gaia.cli.app import run; sys.exit(run(sys.argv[1:]))"
    arguments = ["replay", str(record), "--as-env", environment, "--report", str(report)]
    done = subprocess.run([sys.executable, "-c", command, *arguments], cwd=ROOT, capture_output=True, check=False)
    return done.returncode


@pytest.mark.slow("suites")
def test_what_staging_accepts_production_names(tmp_path: Path) -> None:
    record, staging, production = (tmp_path / name for name in ("run.jsonl", "staging.json", "production.json"))

    result = run_suites(*SIMULATION, f"--gaia-report-log={record}", f"--gaia-verdict-file={staging}", "-n", "2")

    assert result.returncode == 0, result.stdout
    assert "PROMOTE on staging (SIMULATED on the sandbox)" in result.stdout
    document = verdict(staging)
    assert document["rehearsal"] is True
    assert replay(record, production, "production") == 1
    assert verdict(production)["verdict"] == "REJECT"
    assert nodes(verdict(production), "failed") == nodes(document, "expected failure") != set()
    again = tmp_path / "again.json"
    assert replay(record, again, "staging") == 0
    assert verdict(again)["tests"] == document["tests"]


def test_one_suite_is_a_part_and_ends_with_0() -> None:
    result = run_suites(*SIMULATION, "-m", "health")

    assert result.returncode == 0, result.stdout
    said = r"PARTIAL on staging \(SIMULATED on the sandbox\): partial run: cannot promote a release, -m health deselected \d+ of \d+ tests"
    assert re.search(said, result.stdout)


@pytest.mark.slow("suites")
def test_another_failure_does_not_hide_behind_the_expected_one() -> None:
    result = run_suites(*SIMULATION, "-m", "personas", "-p", "tests.suites.breaking")

    assert result.returncode == 1, result.stdout
    assert "expectation staging-personas did not match: status 500, expected 404|503" in result.stdout
    assert "gaia verdict: REJECT" in result.stdout
