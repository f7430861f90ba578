"""Without a browser, its tests are skipped with a summary; if browser tests are required, they fail."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.browser.tools import ROOT
from tests.left_out import ENGINE, PAGES

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow("browser")

TESTS = "tests/browser/test_watched_pages.py"


def run(nowhere: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run browser tests without Chromium."""
    ours = ("GAIA_", "PYTEST_", "BROWSER_TESTS")
    environ = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return subprocess.run(
        [sys.executable, "-m", "pytest", TESTS, "-q", "-p", "no:cacheprovider", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        env={**environ, "PATH": str(nowhere), **variables},
    )


@pytest.mark.parametrize("workers", [(), ("-n", "2")], ids=["one", "workers"])
def test_without_a_browser_its_tests_are_skipped_with_a_summary(tmp_path: Path, workers: tuple[str, ...]) -> None:
    ran = run(tmp_path, *workers)

    assert ran.returncode == 0, ran.stdout
    said = "3 tests of pages were left out: Chromium is not installed; `ci/setup browser` installs it."
    assert said in ran.stdout.splitlines()


def test_required_browser_tests_fail_without_a_browser(tmp_path: Path) -> None:
    ran = run(tmp_path, **{PAGES.required: "required"})

    assert ran.returncode == 1, ran.stdout
    assert "3 errors" in ran.stdout
    assert "Chromium is not installed, and BROWSER_TESTS=required: `ci/setup browser` installs it." in ran.stdout


def test_ci_installs_what_can_be_left_out_and_requires_it() -> None:
    lines = (ROOT / ".ci" / "run").read_text().splitlines()

    assert {PAGES.install, ENGINE.install} <= {*lines}
    assert lines[-1] == f"{PAGES.required}=required {ENGINE.required}=required exec make test-all"
