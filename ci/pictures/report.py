"""The Allure report of two environments: what the sandbox passes, and what staging is excused for."""

from __future__ import annotations

import tempfile
from pathlib import Path

from ci.pictures.commands import run
from ci.pictures.photographs import find_chromium, photograph

RUNS = {"sandbox": (), "staging": ("--gaia-env=staging", "--gaia-simulate")}


def make(folder: Path) -> list[Path]:
    """Run every suite twice, let ``gaia report`` make the report, and photograph it. Raises ``Missing``."""
    find_chromium()
    with tempfile.TemporaryDirectory(prefix="gaia-pictures-") as name:
        results = [Path(name) / environment for environment in RUNS]
        for result, options in zip(results, RUNS.values(), strict=True):
            run("pytest", *options, f"--alluredir={result}")
        report = Path(name) / "report"
        run("gaia", "report", *map(str, results), f"--output={report}", f"--history={Path(name) / 'history'}")
        return photograph(report / "index.html", "report", folder, shows="staging", height=900)
