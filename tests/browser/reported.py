"""A run on the sandbox with results for Allure: a pass, a failure, an expected failure and an unexpected pass."""

from __future__ import annotations

import datetime
import os
import subprocess
import sys
from typing import TYPE_CHECKING

from tests.browser.tools import find_allure

if TYPE_CHECKING:
    from pathlib import Path

INI = """
[tool.pytest]
addopts = ["-p", "no:anyio", "-p", "no:cacheprovider", "--strict-markers"]
asyncio_mode = "auto"
asyncio_default_fixture_loop_scope = "session"
asyncio_default_test_loop_scope = "session"
"""

CHECKS = """
async def test_the_gateway_is_healthy(gateway):
    (await gateway.get("/health")).expect(200)

async def test_capabilities_are_listed(gateway):
    (await gateway.get("/api/v0.2/models/capabilities")).expect(200)

async def test_providers_are_listed(gateway):
    (await gateway.get("/api/v0.2/providers")).expect(200)

async def test_a_model_has_a_price(gateway):
    assert (await gateway.get("/health")).json()["status"] == "priced"
"""

TODAY = datetime.datetime.now(datetime.UTC).date()
EXPIRES = TODAY + datetime.timedelta(days=60)

EXPECTATION = """
reason = "{why}"
issue = "https://issues.example/{issue}"
owner = "@models"
created = {created}
expires = {expires}
environments = ["sandbox"]
tests = ["suites/models/test_models.py::{test}"]
expect = "fail"
match = {{ status = 404 }}
"""

EXPECTATIONS = {
    "models-shadowed": ("the route is shadowed", "GAIA-407", "test_capabilities_are_listed"),
    "providers-missing": ("providers are not there yet", "GAIA-411", "test_providers_are_listed"),
}


def make_project(folder: Path) -> Path:
    """Write the project."""
    for place in ("suites/models", "suites/expectations"):
        (folder / place).mkdir(parents=True)
    (folder / "pyproject.toml").write_text(INI)
    (folder / "gaia.toml").write_text('[gaia]\nplatform = "gaia"\nsuites = ["suites"]\n')
    (folder / "suites" / "models" / "test_models.py").write_text(CHECKS)
    for name, (why, issue, test) in EXPECTATIONS.items():
        text = EXPECTATION.format(why=why, issue=issue, test=test, created=TODAY, expires=EXPIRES)
        (folder / "suites" / "expectations" / f"{name}.toml").write_text(text)
    return folder


def run_checks(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the tests of the project on the sandbox."""
    return _run(project, "-m", "pytest", "--gaia-env=sandbox", "--alluredir=allure-results", *arguments)


def gaia_report(project: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Build the report with the pinned Allure."""
    script = "import sys; from pytest_gaia.cli import main; sys.exit(main())"
    return _run(project, "-c", script, "report", *arguments, GAIA_ALLURE=str(find_allure()), **variables)


def _run(project: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    # What CI and the outer run set would name another branch, or make the inner run a worker of the outer one.
    ours = ("GAIA_", "GITHUB_", "CI_", "PYTEST_")
    environ = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=project,
        capture_output=True,
        text=True,
        check=False,
        env={**environ, "COLUMNS": "200", **variables},
    )
