"""Rules of the project that commands are run in."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

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


def write_expectation(project: Path, name: str = "chat-cut-over", **lines: str) -> Path:
    """Write a rule; ``lines`` replace the values of keys, as TOML; an empty one removes the key."""
    keys = {line.partition(" = ")[0]: line.partition(" = ")[2] for line in EXPECTATION.splitlines()} | lines
    path = project / "checks" / "expectations" / f"{name}.toml"
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(f"{key} = {value}\n" for key, value in keys.items() if value), encoding="utf-8")
    return path
