"""Make the picture of an Allure report of two environments: the sandbox, and staging with expected failures."""

from __future__ import annotations

import tempfile
from pathlib import Path

from ci.pictures.commands import run
from ci.pictures.photographs import find_chromium, photograph

RUNS = {"sandbox": (), "staging": ("--gaia-env=staging", "--gaia-simulate")}


def make(folder: Path) -> list[Path]:
    """Run all suites twice, build the report, and take a screenshot. Raise ``Missing`` if that fails."""
    find_chromium()
    with tempfile.TemporaryDirectory(prefix="gaia-pictures-") as name:
        results = [Path(name) / environment for environment in RUNS]
        for result, options in zip(results, RUNS.values(), strict=True):
            run("pytest", *options, f"--alluredir={result}")
        report = Path(name) / "report"
        run("gaia", "report", *map(str, results), f"--output={report}", f"--history={Path(name) / 'history'}")
        return photograph(report / "index.html", "report", folder, shows="staging", height=900)
