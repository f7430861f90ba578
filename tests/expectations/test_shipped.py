"""The rules of this repository's own suites."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_gaia.config.project import Project
from pytest_gaia.expectations.files import folders_of, load

if TYPE_CHECKING:
    from pytest_gaia.expectations.expectation import Expectation

ROOT = Path(__file__).parents[2]
PROJECT = Project(ROOT)
EXPECTATIONS = load(folders_of([ROOT / "suites"]), PROJECT.tolerances, PROJECT.platform, rootdir=ROOT).expectations


def gaia(*arguments: str) -> subprocess.CompletedProcess[str]:
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("GAIA_", "PYTEST_"))}
    command = [str(Path(sys.executable).with_name("gaia")), "expectations", *arguments]
    return subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, check=False)


def test_lint_finds_no_error_on_the_day_of_the_youngest_expectation() -> None:
    # On a day of their own: that a rule has expired by now must not turn this red, but `gaia expectations check`.
    done = gaia("check", f"--as-of={max(expectation.created for expectation in EXPECTATIONS)}")

    assert (done.returncode, done.stderr) == (0, "")
    assert "error:" not in done.stdout


def test_files_are_written_in_the_one_way() -> None:
    assert gaia("fmt", "--check").stdout == ""


@pytest.mark.parametrize("expectation", EXPECTATIONS, ids=lambda expectation: expectation.id)
def test_an_expectation_is_capped_and_binds_to_what_is_observed_or_to_an_environment_of_its_own(
    expectation: Expectation,
) -> None:
    assert expectation.max_failures is not None
    assert expectation.circumstances or len(expectation.environments) == 1 or expectation.expect == "removed"


def test_a_known_bug_is_expected_wherever_the_platform_is_imitated() -> None:
    everywhere = [expectation for expectation in EXPECTATIONS if "sandbox" in expectation.environments]

    assert everywhere
    # Staging runs the gateway alone, where a bug of another service may not show.
    assert all(expectation.environments[:3] == ("sandbox", "local", "dev") for expectation in everywhere)
