"""Every planned test has one result that matches the verdict, however the run ends."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.plugin.allure_runs import FILE, make_project, run
from tests.slow import in_full, with_workers

if TYPE_CHECKING:
    from pathlib import Path

    from tests.plugin.allure_runs import Left
    from tests.plugin.conftest import ScriptedServer

pytestmark = pytest.mark.slow("processes")

CHECKS = """
import os, signal, pytest
seen = []
def test_first(): pass
def test_ends():
    seen.append(1)
    {ending}
def test_third(): pass
@pytest.mark.parametrize("n", [1, 2])
def test_more(n): pass
def test_last(): pass
"""
PLANNED = ["test_ends", "test_first", "test_last", "test_more[1]", "test_more[2]", "test_third"]

FAIL = "assert False, 'broken'"
KILL = "os.kill(os.getpid(), signal.SIGKILL)"
WAYS = {
    "stopped at the first failure": (FAIL, ("-x",)),
    "stopped at the first failure, workers": in_full(FAIL, ("-n2", "--maxfail=1")),
    "pytest.exit": ("pytest.exit('enough')", ()),
    "pytest.exit with success": in_full("pytest.exit('enough', returncode=0)", ()),
    "Ctrl-C": ("raise KeyboardInterrupt", ()),
    "a killed worker, not replaced": in_full(KILL, ("-n2", "--max-worker-restart=0")),
}


def assert_planned_are_reported(left: Left) -> None:
    assert len({result["historyId"] for result in left.results}) == len(left.names) == len(left.evaluated), left.output
    passed = {f"{FILE}::{name}" for name, status in left.statuses.items() if status == "passed"}
    assert passed <= {node for node, outcome in left.evaluated.items() if outcome == "passed"}


@pytest.mark.parametrize(("ending", "arguments"), WAYS.values(), ids=WAYS)
def test_what_was_planned_is_reported(
    tmp_path: Path, server: ScriptedServer, ending: str, arguments: tuple[str, ...]
) -> None:
    make_project(tmp_path, CHECKS.format(ending=ending))

    left = run(tmp_path, server.url, *arguments)

    assert left.code != 0
    assert left.names == PLANNED
    assert len(left.results) == len(PLANNED)
    assert_planned_are_reported(left)
    assert left.statuses["test_ends"] in ("failed", "broken")


@pytest.mark.slow("workers")
def test_a_killed_worker_takes_no_result_along_and_the_next_one_cleans_nothing(
    tmp_path: Path, server: ScriptedServer
) -> None:
    make_project(tmp_path, CHECKS.format(ending=KILL))
    old = tmp_path / "allure" / "old-result.json"
    old.parent.mkdir()
    old.write_text("{}")

    left = run(tmp_path, server.url, "-n2", "--clean-alluredir")

    assert "replacing crashed worker" in left.output
    assert left.names == PLANNED
    assert_planned_are_reported(left)
    assert left.message("test_ends").startswith("gaia: crashed: ")
    assert f"crashed while running '{FILE}::test_ends'" in left.message("test_ends")
    assert not old.exists()
    # Only the worker that ran a test knows its thread: what the controller makes up for a lost result has none.
    threads = {each["name"]: left.labels(each["name"], "thread") for each in left.results}
    assert [name for name, thread in threads.items() if not thread] == ["test_ends"]


def test_a_test_that_never_ran_has_a_result_with_the_reason(tmp_path: Path, server: ScriptedServer) -> None:
    make_project(tmp_path, CHECKS.format(ending=FAIL))

    left = run(tmp_path, server.url, "-x")

    assert left.statuses == {"test_first": "passed", "test_ends": "failed"} | dict.fromkeys(
        ("test_third", "test_more[1]", "test_more[2]", "test_last"), "unknown"
    )
    assert left.message("test_more[2]") == "gaia: incomplete: the run ended before the test completed"
    late, early = left.result("test_last"), left.result("test_first")
    shared = ("parentSuite", "suite", "epic", "feature", "story", "env", "package", "framework")
    assert [left.labels("test_last", each) for each in shared] == [left.labels("test_first", each) for each in shared]
    assert late["fullName"].partition("#")[0] == early["fullName"].partition("#")[0]
    assert late["titlePath"] == early["titlePath"]


def test_a_result_that_was_made_up_has_the_history_of_the_test(tmp_path: Path, server: ScriptedServer) -> None:
    make_project(tmp_path, CHECKS.format(ending=FAIL))
    whole = run(tmp_path, server.url, "--clean-alluredir")

    cut = run(tmp_path, server.url, "--clean-alluredir", "-x")

    for key in ("historyId", "testCaseId", "fullName"):
        assert {each["name"]: each[key] for each in cut.results} == {each["name"]: each[key] for each in whole.results}

    def counted(left: Left, name: str) -> list[tuple[str, str]]:
        given = left.result(name)["parameters"]
        return [(each["name"], each["value"]) for each in given if not each.get("excluded")]

    assert counted(cut, "test_more[2]") == counted(whole, "test_more[2]") == [("environment", "small"), ("case", "2")]


@pytest.mark.parametrize("workers", [(), with_workers("-n2")], ids=["alone", "workers"])
def test_a_file_that_cannot_be_collected_has_a_result(
    tmp_path: Path, server: ScriptedServer, workers: tuple[str, ...]
) -> None:
    make_project(tmp_path, CHECKS.format(ending="pass"))
    (tmp_path / "suites" / "small" / "test_torn.py").write_text("import not_there\n")
    (tmp_path / "suites" / "small" / "test_left_out.py").write_text("import pytest\npytest.importorskip('not_there')\n")

    left = run(tmp_path, server.url, "--continue-on-collection-errors", *workers)

    torn, out = "suites/small/test_torn.py", "suites/small/test_left_out.py"
    assert left.names == sorted([*PLANNED, torn, out])
    assert_planned_are_reported(left)
    assert left.statuses[torn] == "broken"
    assert "No module named 'not_there'" in left.message(torn)
    assert left.labels(torn, "feature") == ["small"]


def test_retries_are_one_result_and_no_plain_pass(tmp_path: Path, server: ScriptedServer) -> None:
    make_project(tmp_path, CHECKS.format(ending="assert len(seen) > 1, 'torn'"))

    left = run(tmp_path, server.url, "--reruns=2", "--reruns-delay=0")

    assert left.names == PLANNED
    assert_planned_are_reported(left)
    assert [each["status"] for each in left.results if each["name"] == "test_ends"] == ["failed", "passed"]
    retried = left.result("test_ends")
    assert (retried["status"], retried["statusDetails"]["flaky"]) == ("passed", True)
    assert len({(each["name"], each["value"]) for each in retried["labels"]}) == len(retried["labels"])


def test_a_retry_that_is_no_pass_is_shown_as_it_was_evaluated(tmp_path: Path, server: ScriptedServer) -> None:
    toml = '[gaia]\nplatform = "gaia"\nsuites = ["suites"]\n[env.small]\n[env.small.tolerance]\nkind = "strict"\n'
    make_project(tmp_path, CHECKS.format(ending="assert len(seen) > 1, 'torn'"), toml=toml)

    left = run(tmp_path, server.url, "--reruns=2", "--reruns-delay=0")

    assert_planned_are_reported(left)
    assert left.statuses["test_ends"] == "failed"
    assert "a retry does not count in this environment" in left.message("test_ends")


def test_an_environment_out_of_reach_is_the_reason_of_all(tmp_path: Path, server: ScriptedServer) -> None:
    make_project(tmp_path, CHECKS.format(ending="pass"), toml=f"{TOML_READY}")
    server.answers["/health"] = [(503, {"status": "down"})]

    left = run(tmp_path, server.url)

    assert left.code == 12
    assert left.names == PLANNED
    assert set(left.statuses.values()) == {"unknown"}
    assert "gaia: infrastructure: " in left.message("test_first")


TOML_READY = '[gaia]\nplatform = "gaia"\nsuites = ["suites"]\n[env.small]\n[env.small.timeouts]\nready = 0.3\n'


def test_what_is_deselected_has_no_result(tmp_path: Path, server: ScriptedServer) -> None:
    make_project(tmp_path, CHECKS.format(ending="pass"))

    left = run(tmp_path, server.url, "-k", "test_more")

    assert left.names == ["test_more[1]", "test_more[2]"]


def test_what_other_runs_have_left_is_not_touched(tmp_path: Path, server: ScriptedServer) -> None:
    make_project(tmp_path, CHECKS.format(ending="pass"))
    first = run(tmp_path, server.url)
    (tmp_path / FILE).write_text(CHECKS.format(ending=FAIL))

    second = run(tmp_path, server.url)

    assert len(second.results) == 2 * len(PLANNED)
    assert [each for each in second.results if each["uuid"] in {old["uuid"] for old in first.results}] == first.results


def test_an_unwritable_folder_at_the_end_is_an_error(tmp_path: Path, server: ScriptedServer) -> None:
    make_project(tmp_path, "def test_passes(): pass\n")
    (tmp_path / "allure" / "categories.json").mkdir(parents=True)

    left = run(tmp_path, server.url)

    assert left.code == 4
    assert "allure: cannot be written: Is a directory." in left.output
    assert "Traceback" not in left.output
