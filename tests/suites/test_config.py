"""The suite `config` fails for files with errors, passes for correct files, and is skipped without files."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from pytest_gaia.preflight.lint import ALL_CHECKS
from tests.suites.conftest import ROOT, run_suites

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

FILES = ROOT / "tests" / "preflight" / "files"

TOPICS = {check.topic for check in ALL_CHECKS if check.severity == "error"}


def run_config(directory: Path, kind: str | None, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the suite in a project with one of the sets of files, or none."""
    toml = directory / "gaia.toml"
    if kind is not None:
        shutil.copytree(FILES / kind, directory, dirs_exist_ok=True)
    text = toml.read_text(encoding="utf-8") if toml.exists() else "[gaia]\n"
    platform = "" if 'platform = "gaia"' in text else 'platform = "gaia"\n'
    toml.write_text(
        text.replace("[gaia]\n", f'[gaia]\n{platform}suites = ["{ROOT / "suites"}"]\n', 1), encoding="utf-8"
    )
    options = (f"--rootdir={directory}", f"--confcutdir={ROOT}", "-m", "config", "-q", "--gaia-env=sandbox")
    return run_suites("suites", *options, *arguments)


def test_files_with_usage_errors_turn_every_topic_red(tmp_path: Path) -> None:
    result = run_config(tmp_path, "broken", "--tb=short")

    assert result.returncode == 1, result.stdout
    assert f"gaia verdict: REJECT on sandbox: {len(TOPICS)} failed" in result.stdout
    # The report of a test contains place, check and fix of the finding.
    assert "fly.gateway.production.toml:15: env.DATABASE_URL: shared-database" in result.stdout
    assert "create a separate database server for production" in result.stdout
    assert "hunter2" not in result.stdout


def test_files_without_usage_errors_are_green(tmp_path: Path) -> None:
    result = run_config(tmp_path, "corrected")

    assert result.returncode == 0, result.stdout
    assert f"{len(TOPICS)} passed" in result.stdout


@pytest.mark.slow("suites")
def test_a_project_without_files_proves_nothing(tmp_path: Path) -> None:
    result = run_config(tmp_path, None)

    assert f"{len(TOPICS)} not applicable" in result.stdout
    assert result.returncode == 11, result.stdout
