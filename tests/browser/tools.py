"""Find the programs that browser tests need, or skip the test."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from tests.left_out import PAGES

ROOT = Path(__file__).parents[2]
NPM = ROOT / "ci" / "npm" / "node_modules"
"""where ``ci/setup browser`` puts the pinned packages"""


def find_chromium() -> str:
    """Return the installed Chromium, or skip the test."""
    names = (os.environ.get("CHROMIUM", ""), "chromium", "chromium-browser", "google-chrome")
    found = next(filter(None, map(shutil.which, names)), None)
    if found is None:
        PAGES.leave_out("Chromium is not installed")
    return found


def find_package(path: str) -> Path:
    """Return a file of the pinned npm packages, or skip the test."""
    file = NPM / path
    if not file.exists():
        PAGES.leave_out(f"{Path(path).parts[0]} is not in ci/npm/node_modules")
    return file


def find_allure() -> Path:
    """Return the pinned Allure, or skip the test."""
    if shutil.which("node") is None:
        PAGES.leave_out("Node.js is not on PATH", "install Node.js >= 20")
    return find_package("allure/cli.js")
