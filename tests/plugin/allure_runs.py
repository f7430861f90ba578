"""Runs of pytest with ``--alluredir``, and what they left for Allure."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.evident import give_evidence
from tests.forking.runs import run_pytest
from tests.plugin.conftest import SETTINGS

if TYPE_CHECKING:
    from pathlib import Path

FILE = "suites/small/test_small.py"
TOML = '[gaia]\nplatform = "gaia"\nsuites = ["suites"]\n[env.small]\n[env.small.tolerance]\nmax_expectation_age_days = 100000\n'


@dataclass
class Left:
    """What one run left."""

    folder: Path
    code: int
    output: str
    results: list[dict[str, Any]] = field(default_factory=list)
    evaluated: dict[str, str] = field(default_factory=dict)
    """node → what it came to; what was deselected is left out"""

    @property
    def names(self) -> list[str]:
        """The names of all results, those of one history once: they are attempts."""
        return sorted({result["historyId"]: result["name"] for result in self.results}.values())

    @property
    def statuses(self) -> dict[str, str]:
        """Name → status of the latest attempt."""
        return {result["name"]: result["status"] for result in self.results}

    def result(self, name: str) -> dict[str, Any]:
        """The latest result of this name."""
        return [result for result in self.results if result["name"] == name][-1]

    def message(self, name: str) -> str:
        """Return the message of the result with this name."""
        said: str = self.result(name).get("statusDetails", {}).get("message", "")
        return said

    def labels(self, name: str, label: str) -> list[str]:
        """The values of a label of the result of this name."""
        return [each["value"] for each in self.result(name)["labels"] if each["name"] == label]

    def beside(self, name: str) -> str:
        """The text of another file in Allure's folder."""
        return (self.folder / "allure" / name).read_text()


def make_project(folder: Path, checks: str, *, toml: str = TOML, expectations: dict[str, str] | None = None) -> Path:
    """Make a project with one suite in ``folder``."""
    suite = folder / "suites" / "small"
    suite.mkdir(parents=True)
    give_evidence(suite.parent)
    (folder / "gaia.toml").write_text(toml)
    (folder / "pyproject.toml").write_text(SETTINGS)
    (suite / "test_small.py").write_text(checks)
    for name, text in (expectations or {}).items():
        (folder / "suites" / "expectations").mkdir(exist_ok=True)
        (folder / "suites" / "expectations" / f"{name}.toml").write_text(text)
    return folder


def run(folder: Path, url: str | None, *arguments: str, **variables: str) -> Left:
    """Run pytest in ``folder`` against the gateway at ``url``; without one, on the sandbox."""
    environ = {name: value for name, value in os.environ.items() if not _of_another_run(name)} | variables
    where = ["--gaia-env=small", f"--gaia-url=gateway={url}"] if url else []
    given = ["--alluredir=allure", "--gaia-verdict-file=verdict.json", *where]
    done = run_pytest(folder, *given, *arguments, variables=environ)
    return left(folder, done.returncode, done.stdout + done.stderr)


def left(folder: Path, code: int, output: str) -> Left:
    """Read what a run has left in ``folder``."""
    written = [json.loads(path.read_text()) for path in (folder / "allure").glob("*-result.json")]
    results = sorted(written, key=lambda result: (result["start"], result["stop"], result["uuid"]))
    report = folder / "verdict.json"
    verdict = json.loads(report.read_text() or "{}") if report.exists() else {}
    evaluated = {test["node"]: test["outcome"] for test in verdict.get("tests", ())}
    return Left(folder, code, output, results, {n: o for n, o in evaluated.items() if o != "deselected"})


def _of_another_run(name: str) -> bool:
    """Whether a variable belongs to the run that these tests are part of, or to the machine's CI."""
    return name.startswith(("GAIA_", "PYTEST_", "GITHUB_", "CI_", "GITLAB_", "JENKINS_"))
