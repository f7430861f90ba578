"""Find the programs that browser tests need, or skip the test."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import NoReturn

import pytest

ROOT = Path(__file__).parents[2]
NPM = ROOT / "ci" / "npm" / "node_modules"
"""where ``ci/setup browser`` puts the pinned packages"""

REQUIRED = "BROWSER_TESTS"
"""set to ``required``, this variable turns skipped browser tests into failures, as in CI"""

LEFT_OUT = "left out: "
"""beginning of the reason of a skip, by which the summary finds it"""

INSTALL = "`ci/setup browser` installs it"


def find_chromium() -> str:
    """Return the installed Chromium, or skip the test."""
    names = (os.environ.get("CHROMIUM", ""), "chromium", "chromium-browser", "google-chrome")
    found = next(filter(None, map(shutil.which, names)), None)
    if found is None:
        leave_out("Chromium is not installed")
    return found


def find_package(path: str) -> Path:
    """Return a file of the pinned npm packages, or skip the test."""
    file = NPM / path
    if not file.exists():
        leave_out(f"{Path(path).parts[0]} is not in ci/npm/node_modules")
    return file


def find_allure() -> Path:
    """Return the pinned Allure, or skip the test."""
    if shutil.which("node") is None:
        leave_out("Node.js is not on PATH", "install Node.js >= 20")
    return find_package("allure/cli.js")


def leave_out(why: str, do: str = INSTALL) -> NoReturn:
    """Skip the test, or fail it if browser tests are required."""
    if os.environ.get(REQUIRED) == "required":
        pytest.fail(f"{why}, and {REQUIRED}=required: {do}.", pytrace=False)
    pytest.skip(f"{LEFT_OUT}{why}; {do}")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print a summary of skipped browser tests, with the command that installs what they need."""
    counts: dict[str, int] = {}
    for report in terminalreporter.stats.get("skipped", []):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else ""
        _, found, why = reason.partition(LEFT_OUT)
        if found:
            counts[why] = counts.get(why, 0) + 1
    for why, count in sorted(counts.items()):
        tests = "1 test of pages was" if count == 1 else f"{count} tests of pages were"
        terminalreporter.write_line(f"{tests} left out: {why}.", yellow=True)
