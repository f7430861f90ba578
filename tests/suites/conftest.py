"""Collect the suites of this repository once, and run them in separate processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.suites.census import VARIABLE

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = Path(__file__).parents[2]

RUN_ELSEWHERE = ("config", "contract")
"""suites that other tests run: ``test_config``, and those of contract tests, which need Schemathesis"""


@dataclass(frozen=True)
class Check:
    """A collected test."""

    id: str
    requires: frozenset[str]
    command: frozenset[str]
    known_bug: frozenset[str]
    """its expectations on the sandbox"""
    writes: bool
    core: bool

    @property
    def suite(self) -> str:
        """The name of its suite."""
        return self.id.split("/")[1]

    @property
    def function(self) -> str:
        """Its file and function, without parameters."""
        return self.id.partition("[")[0]


def run_suites(
    *arguments: str, variables: Mapping[str, str] | None = None, timeout: float = 120
) -> subprocess.CompletedProcess[str]:
    """Run pytest on the suites, from the root folder, without variables that select an environment."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("GAIA_", "PYTEST_"))}
    command = [sys.executable, "-m", "pytest", "-p", "no:allure_pytest", "-p", "no:cacheprovider", *arguments]
    return subprocess.run(
        command,
        cwd=ROOT,
        env={**inherited, **(variables or {})},
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


@pytest.fixture(scope="package")
def checks(tmp_path_factory: pytest.TempPathFactory) -> list[Check]:
    """Every test of a platform."""
    file = tmp_path_factory.mktemp("census") / "checks.json"
    result = run_suites("suites", "--collect-only", "-q", "-p", "tests.suites.census", variables={VARIABLE: str(file)})
    assert result.returncode == 0, result.stdout + result.stderr
    found = [
        Check(
            id=one["id"],
            requires=frozenset(one["requires"]),
            command=frozenset(one["command"]),
            known_bug=frozenset(one["known_bug"]),
            writes=one["writes"],
            core=one["core"],
        )
        for one in json.loads(file.read_text(encoding="utf-8"))
    ]
    return [check for check in found if check.suite not in RUN_ELSEWHERE]
