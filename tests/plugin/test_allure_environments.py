"""Environments and options in results for Allure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.plugin.allure_checks import CHECKS, EXPECTATIONS
from tests.plugin.allure_runs import TOML, make_project, run

if TYPE_CHECKING:
    from pathlib import Path

    from tests.plugin.conftest import ScriptedServer

pytestmark = pytest.mark.slow("processes")


def test_expected_failures_are_skipped_where_that_is_asked_for(tmp_path: Path, server: ScriptedServer) -> None:
    make_project(tmp_path, CHECKS, expectations=EXPECTATIONS)

    left = run(tmp_path, server.url, "--gaia-allure-expected=skipped", "-k", "test_expected or test_fails")

    assert left.statuses == {
        "test_expected": "skipped",
        "test_expected_by_status": "skipped",
        "test_expected_part": "skipped",
        "test_expected_and_torn": left.statuses["test_expected_and_torn"],
        "test_fails": "failed",
    }
    assert left.message("test_expected").startswith(
        "AssertionError: as always\n\ngaia: expected failure\nexpectation: "
    )


def test_another_word_for_expected_failures_is_refused(tmp_path: Path, server: ScriptedServer) -> None:
    make_project(tmp_path, "def test_passes(): pass\n")

    left = run(tmp_path, server.url, "--gaia-allure-expected=green")

    assert left.code == 4
    assert "--gaia-allure-expected: invalid choice: 'green'" in left.output


def test_an_open_environment_tolerates_and_shows_it(tmp_path: Path, server: ScriptedServer) -> None:
    make_project(
        tmp_path, "def test_passes(): pass\ndef test_fails(): assert False\n", toml=TOML + 'kind = "advisory"\n'
    )

    left = run(tmp_path, server.url)

    assert left.statuses == {"test_passes": "passed", "test_fails": "failed"}
    assert left.message("test_fails").startswith("AssertionError: assert False\n\ngaia: tolerated")
    assert left.labels("test_fails", "outcome") == ["tolerated"]


def test_a_skip_that_blocks_is_not_grey(tmp_path: Path, server: ScriptedServer) -> None:
    checks = "import pytest\ndef test_passes(): pass\ndef test_skips(): pytest.skip('later')\n"
    make_project(tmp_path, checks, toml=TOML + 'kind = "strict"\n')

    left = run(tmp_path, server.url)

    assert left.code == 1
    assert left.statuses == {"test_passes": "passed", "test_skips": "failed"}
    assert left.message("test_skips") == "gaia: skipped, and no expectation covers that: later"


def test_environments_that_share_a_folder_stay_apart(tmp_path: Path, server: ScriptedServer) -> None:
    make_project(tmp_path, "def test_passes(): pass\n", toml=TOML + "[env.other]\n")
    run(tmp_path, server.url)

    left = run(tmp_path, server.url, "--gaia-env=other")

    first, second = left.results
    assert first["testCaseId"] == second["testCaseId"]
    assert first["historyId"] != second["historyId"]
    assert [each["parameters"][0]["value"] for each in left.results] == ["small", "other"]
