"""The test plan: required tests are listed before the run; a missing one holds the release."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.evident import give_evidence

if TYPE_CHECKING:
    from pathlib import Path

    from tests.plugin.conftest import ScriptedServer

TESTS = """\
import pytest

def test_one(): pass

@pytest.mark.parametrize("name", ["a b", "c[d]"])
def test_two(name): pass

@pytest.mark.gaia(requires=["postgres"])
def test_not_here(): pass
"""


@pytest.fixture
def project(pytester: pytest.Pytester, server: ScriptedServer) -> pytest.Pytester:
    """Two suites, and an environment that responds."""
    pytester.makeini("[pytest]\nasyncio_default_fixture_loop_scope = session\n")
    pytester.makefile(
        ".toml",
        gaia=f'[gaia]\nplatform = "gaia"\nsuites = ["suites"]\n[env.preview]\nurl = "{server.url}"\nnats = "disabled"\n',
    )
    for suite in ("small", "other"):
        folder = pytester.path / "suites" / suite
        folder.mkdir(parents=True)
        (folder / f"test_{suite}.py").write_text(TESTS)
    give_evidence(pytester.path / "suites")
    return pytester


def run(project: pytest.Pytester, *args: str, apart: bool = False) -> pytest.RunResult:
    """Run pytest in the project; in a process of its own where it has workers, or ends itself."""
    run = project.runpytest_subprocess if apart or "-n2" in args else project.runpytest_inprocess
    return run("--gaia-env=preview", "-p", "no:allure_pytest", *args)


def seal(project: pytest.Pytester, *args: str) -> dict[str, Any]:
    result = run(project, "--collect-only", "-q", "--gaia-plan-out=plan.json", *args)
    assert result.ret == 0, result.outlines
    plan: dict[str, Any] = json.loads((project.path / "plan.json").read_text())
    return plan


def verdict(project: pytest.Pytester) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((project.path / "verdict.json").read_text())
    return found


def test_a_plan_holds_every_test_with_what_it_is(project: pytest.Pytester) -> None:
    plan = seal(project, "--gaia-release=b7")
    assert plan["environment"] == "preview"
    assert plan["bundle"] == "b7"
    assert plan["suites"] == ["other", "small"]
    assert len(plan["tests"]) == 8
    assert "suites/small/test_small.py::test_two[c[d]]" in [test["node"] for test in plan["tests"]]


@pytest.mark.parametrize("workers", [(), ("-n2",)])
def test_a_run_that_passes_all_of_it_promotes(project: pytest.Pytester, workers: tuple[str, ...]) -> None:
    seal(project)
    result = run(project, "--gaia-plan=plan.json", "--gaia-verdict-file=verdict.json", *workers, apart=True)
    assert result.ret == 0
    assert len(verdict(project)["plan"]) == 64


def test_one_process_writes_a_plan_and_requires_it_at_once(project: pytest.Pytester) -> None:
    result = run(project, "--gaia-plan-out=plan.json", "--gaia-verdict-file=verdict.json", apart=True)
    assert result.ret == 0
    assert verdict(project)["plan"]


@pytest.mark.parametrize(
    "narrowing",
    [
        ("-k", "one"),
        ("-n2", "-k", "one"),
        ("-m", "small"),
        ("--deselect=suites/small/test_small.py::test_one",),
        ("--ignore=suites/other",),
        ("suites/small",),
    ],
)
def test_what_the_run_leaves_out_holds(project: pytest.Pytester, narrowing: tuple[str, ...]) -> None:
    seal(project)
    result = run(project, "--gaia-plan=plan.json", *narrowing)
    assert result.ret == 11
    result.stdout.fnmatch_lines(["gaia verdict: HOLD on preview:", "*of 8 required tests did not pass*"])


LEFT_OUT = {
    "a hook that drops tests": ("conftest.py", "def pytest_collection_modifyitems(items): items[:] = items[:2]\n"),
    "a hook that skips tests": (
        "conftest.py",
        "import pytest\ndef pytest_runtest_setup(item):\n    if 'two' in item.nodeid: pytest.skip('later')\n",
    ),
    "a suite that was emptied": ("suites/other/test_other.py", ""),
    "a file that is no longer collected": ("conftest.py", "collect_ignore_glob = ['suites/other/*']\n"),
    "a file that skips itself": (
        "suites/other/test_other.py",
        "import pytest\npytest.skip('later', allow_module_level=True)\n",
    ),
    "a test that was renamed": ("suites/other/test_other.py", TESTS.replace("test_one", "test_uno")),
    "a hook that ends the run": (
        "conftest.py",
        "import pytest\ndef pytest_runtest_teardown(item):\n    pytest.exit('enough', returncode=0)\n",
    ),
    "a process that ends": ("conftest.py", "import os\ndef pytest_runtest_teardown(item):\n    os._exit(0)\n"),
}


@pytest.mark.parametrize("way", LEFT_OUT)
def test_no_way_of_leaving_out_is_green(project: pytest.Pytester, way: str) -> None:
    seal(project)
    name, text = LEFT_OUT[way]
    (project.path / name).write_text(text)
    assert run(project, "--gaia-plan=plan.json", apart="ends" in way).ret != 0


def test_only_the_last_failures_are_not_all(project: pytest.Pytester) -> None:
    file = project.path / "suites/small/test_small.py"
    file.write_text("def test_one(): assert False\n")
    run(project)
    file.write_text("def test_one(): pass\n")
    seal(project)
    assert run(project, "--gaia-plan=plan.json", "--lf").ret == 11


def test_a_failure_rejects_and_says_what_came_after_it_was_not_run(project: pytest.Pytester) -> None:
    seal(project)
    (project.path / "suites/other/test_other.py").write_text(TESTS.replace("test_one(): pass", "test_one(): assert 0"))
    assert run(project, "--gaia-plan=plan.json", "-x").ret == 1


@pytest.mark.parametrize(
    "narrowing", [("-k", "one"), ("-m", "small"), ("--deselect=suites/small",), ("suites/small",), ("--lf",)]
)
def test_less_than_all_is_not_sealed(project: pytest.Pytester, narrowing: tuple[str, ...]) -> None:
    result = run(project, "--collect-only", "--gaia-plan-out=plan.json", *narrowing)
    assert result.ret == 4
    result.stderr.fnmatch_lines(["ERROR: --gaia-plan-out: a test plan contains every test*"])
    assert not (project.path / "plan.json").exists()


def test_what_cannot_be_collected_is_not_sealed(project: pytest.Pytester) -> None:
    (project.path / "suites/other/test_other.py").write_text("import nowhere\n")
    result = run(project, "--collect-only", "--gaia-plan-out=plan.json", "--continue-on-collection-errors")
    assert result.ret != 0
    assert not (project.path / "plan.json").exists()


def test_workers_need_a_plan_that_was_sealed_before(project: pytest.Pytester) -> None:
    result = run(project, "--gaia-plan-out=plan.json", "-n2")
    assert result.ret == 4
    result.stderr.fnmatch_lines(["ERROR: --gaia-plan-out: with workers, create the plan first*--gaia-plan=FILE."])


@pytest.mark.parametrize(
    ("file", "message"), [("none.jsonl", "cannot be read: *"), ("gaia.toml", "not a results log*")]
)
def test_a_plan_with_invalid_durations_is_refused(project: pytest.Pytester, file: str, message: str) -> None:
    result = run(project, "--collect-only", "--gaia-plan-out=plan.json", f"--gaia-durations={file}")
    assert result.ret == 4
    result.stderr.fnmatch_lines([f"ERROR: {file}:*{message}"])
    assert not (project.path / "plan.json").exists()


def changed(path: Path, **values: Any) -> None:
    plan = json.loads(path.read_text())
    path.write_text(json.dumps(plan | values))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"environment": "staging"}, "*created for another environment (staging; this run: preview)*"),
        ({"bundle": "b8"}, "*created for another release (b8; this run: b7)*"),
        ({"policy": "00"}, "*created for another set of expectations*"),
        ({"tests": []}, "*the test plan contains no test*"),
        ({"format": "gaia-plan/2"}, "*not a test plan*"),
        ({"tests": "all"}, "*not a test plan*"),
    ],
)
def test_a_plan_of_another_run_is_refused(project: pytest.Pytester, values: dict[str, Any], message: str) -> None:
    seal(project, "--gaia-release=b7")
    changed(project.path / "plan.json", **values)
    result = run(project, "--gaia-plan=plan.json", "--gaia-release=b7")
    assert result.ret == 4
    result.stderr.fnmatch_lines([f"ERROR: {message}"])


def test_a_plan_that_was_changed_has_another_digest(project: pytest.Pytester) -> None:
    plan = seal(project)
    run(project, "--gaia-plan=plan.json", "--gaia-verdict-file=verdict.json")
    whole = verdict(project)["plan"]
    changed(project.path / "plan.json", tests=plan["tests"][:3])
    run(project, "--gaia-plan=plan.json", "--gaia-verdict-file=verdict.json")
    assert verdict(project)["plan"] not in ("", whole)


def test_a_plan_that_is_not_there_is_one_message(project: pytest.Pytester) -> None:
    result = run(project, "--gaia-plan=plan.json")
    assert result.ret == 4
    result.stderr.fnmatch_lines(["ERROR: plan.json: cannot be read: No such file or directory."])


def test_a_place_that_cannot_be_written_is_one_message(project: pytest.Pytester) -> None:
    result = run(project, "--collect-only", "--gaia-plan-out=nowhere/plan.json")
    assert result.ret == 4
    result.stderr.fnmatch_lines(["ERROR: --gaia-plan-out=*nowhere/plan.json: cannot be written*"])
