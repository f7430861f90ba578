"""Rules of the project that commands are run in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_gaia.expectations.formatting import formatted
from tests.verdict.runs import offering, run

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_gaia.verdict.evidence import RecordedRun, TestRecord

A, B = "checks/health/test_up.py::test_a[x y]", "checks/health/test_up.py::test_b"

TESTS = """\
import pytest

@pytest.mark.gaia(requires=["chat"])
@pytest.mark.parametrize("case", ["x y"])
def test_a(case): raise AssertionError("tests are collected, not run")

def test_b(): raise AssertionError("tests are collected, not run")
"""

EXPECTATION = """\
reason = "chat is not deployed yet"
issue = "GAIA-412"
owner = "@chat-team"
created = 2026-03-01
expires = 2026-04-01
environments = ["staging"]
tests = ["checks/health/test_up.py::test_a"]
match = { status = 503 }
"""


NOW = {"gateway": ["GET /health", "GET /v2/chat"]}
BEFORE = {"gateway": ["GET /health", "GET /v1/chat", "POST /v1/chat"]}


def without_version_1(*tests: TestRecord, **more: Any) -> RecordedRun:
    """A run of a release that offers version 2; the baseline offers version 1."""
    return offering(run(*tests, **more), NOW, BEFORE)


def write_removal(project: Path, name: str = "version-1", **lines: str) -> Path:
    """Write an expectation that version 1 is gone."""
    keys = {"expect": '"removed"', "operations": '"* /v1/*"', "tests": "", "match": "", "max_failures": "2", **lines}
    path = write_expectation(project, name, **keys)
    path.write_text(formatted(path.read_text(encoding="utf-8")), encoding="utf-8")
    return path


def write_expectation(project: Path, name: str = "chat-cut-over", **lines: str) -> Path:
    """Write a rule; ``lines`` replace the values of keys, as TOML; an empty one removes the key."""
    keys = {line.partition(" = ")[0]: line.partition(" = ")[2] for line in EXPECTATION.splitlines()} | lines
    path = project / "checks" / "expectations" / f"{name}.toml"
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(f"{key} = {value}\n" for key, value in keys.items() if value), encoding="utf-8")
    return path
