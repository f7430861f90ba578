"""A run of a part of the suites ends with 0 and PARTIAL, names what it left out, and promotes nothing."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.plugin.conftest import SETTINGS, add_suite
from tests.plugin.expectations import KNOWN
from tests.slow import with_workers

if TYPE_CHECKING:
    from pathlib import Path

    from tests.plugin.conftest import ScriptedServer

TOML = """
[gaia]
platform = "gaia"
suites = ["suites"]
[env.small]
nats = "disabled"
[env.small.tolerance]
min_tests = 3
max_expectation_age_days = 100000
"""
OTHER = """
import pytest

def test_three(): pass

@pytest.mark.gaia(requires=["nats"])
def test_away(): raise AssertionError("must not run")
"""
EXPECTATION = f"""{KNOWN}tests = ["suites/small"]
match = {{ kind = "assertion" }}
max_failures = 1
"""
WORKERS = pytest.mark.parametrize("workers", [(), with_workers("-n2")], ids=["one", "workers"])
FIRST = "suites/small/test_small.py::test_one"


@pytest.fixture
def small(project: pytest.Pytester, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A project with two suites: an environment selects three tests, and one test does not apply."""
    project.makefile(".toml", gaia=TOML)
    add_suite(project, "small", "def test_one(): pass\ndef test_two(): pass\n")
    add_suite(project, "other", OTHER)
    monkeypatch.setenv("GAIA_SMALL_GATEWAY_URL", server.url)
    return project


def run(project: pytest.Pytester, *arguments: str, apart: bool = False) -> tuple[pytest.RunResult, dict[str, Any]]:
    """Run pytest; give the result and the verdict file."""
    # Allure's plugin cannot be loaded twice into one process.
    words = ("--gaia-env=small", "--gaia-verdict-file=verdict.json", "-p", "no:allure_pytest", *arguments)
    start = project.runpytest_subprocess if apart or "-n2" in arguments else project.runpytest_inprocess
    result = start(*words)
    return result, json.loads((project.path / "verdict.json").read_text())


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        with_workers("-n2"),
        ("suites",),
        with_workers("suites", "-n2"),
        (".",),
        ("suites/small/../../suites", "suites/small"),
        ("suites", "tests"),
        ("-x", "--ignore=docs"),
        ("--gaia-require-full",),
    ],
    ids=" ".join,
)
def test_a_run_of_all_suites_is_full(small: pytest.Pytester, arguments: tuple[str, ...]) -> None:
    small.mkdir("tests").joinpath("test_unit.py").write_text("def test_unit(): pass\n")
    hidden = small.mkdir("suites/.cache")
    hidden.joinpath("test_kept.py").write_text("def test_kept(): assert False\n")

    result, verdict = run(small, *arguments)

    assert (result.ret, verdict["verdict"], verdict["partial"]) == (0, "PROMOTE", [])
    assert verdict["counts"]["passed"] >= 3


NOT_MATCHING = (
    "suites/other/test_other.py::test_away (does not match python_functions), suites/other/test_other.py::test_three "
    "(does not match python_functions), suites/small/test_small.py::test_two (does not match python_functions) were not collected"
)
PARTS = {
    ("-m", "small"): "-m small deselected 2 of 4 tests",
    ("-m", "small", "-n2"): "-m small deselected 2 of 4 tests",
    ("-k", "one or three"): "-k 'one or three' deselected 2 of 4 tests",
    ("-k", "one", "-m", "small"): "-m small and -k one deselected 3 of 4 tests",
    ("-m", "small or other"): "-m 'small or other' was given",
    (f"--deselect={FIRST}",): f"--deselect={FIRST} deselected 1 of 4 tests",
    ("suites/small",): "only suites/small was collected",
    ("suites/small", "-n2"): "only suites/small was collected",
    (FIRST,): f"only {FIRST} was collected",
    (FIRST, "suites/other"): f"only {FIRST}, suites/other were collected",
    ("--ignore=suites/other",): "--ignore=suites/other was given; suites/other/test_other.py was not collected",
    ("--ignore-glob=*/other", "-n2"): "--ignore-glob=*/other was given; suites/other/test_other.py was not collected",
    ("-o", "python_files=test_small.py"): "-o python_files=test_small.py was given",
    ("-o", "python_functions=test_one"): f"-o python_functions=test_one was given; {NOT_MATCHING}",
}  # fmt: skip


@pytest.mark.parametrize("arguments", PARTS, ids=" ".join)
def test_a_run_of_a_part_passes_and_says_what_it_left_out(small: pytest.Pytester, arguments: tuple[str, ...]) -> None:
    result, verdict = run(small, *arguments)

    assert (result.ret, verdict["verdict"], verdict["exit_code"]) == (0, "PARTIAL", 0)
    assert "; ".join(verdict["partial"]) == PARTS[arguments]
    assert verdict["reasons"] == ["partial run: cannot promote a release", *verdict["partial"]]
    line = result.outlines[-1]
    assert line.startswith("gaia verdict: PARTIAL on small: partial run: cannot promote a release, ")
    assert ", ".join(verdict["partial"]) in line


IGNORES = "def pytest_ignore_collect(collection_path): return True if collection_path.name == 'other' else None\n"
DESELECTS = """
def pytest_collection_modifyitems(config, items):
    config.hook.pytest_deselected(items=items[2:])
    del items[2:]
"""
COLLECTS = """
import pytest
@pytest.hookimpl(tryfirst=True)
def pytest_collection(session):
    session.perform_collect(["suites/small"])
    return True
"""
HOOKS = {
    "a shard": (DESELECTS, "a plugin deselected 2 of 4 tests"),
    "an ignored folder": (IGNORES, "suites/other/test_other.py was not collected"),
    "collect_ignore": ("collect_ignore = ['suites/other']\n", "suites/other/test_other.py was not collected"),
    "a collection of its own": (COLLECTS, "suites/other/test_other.py was not collected"),
    "other paths": ("def pytest_sessionstart(session): session.config.args[:] = ['suites/small']\n", "only suites/small was collected"),
}  # fmt: skip


@pytest.mark.parametrize("hook", HOOKS)
def test_what_a_hook_leaves_out_makes_a_run_partial(small: pytest.Pytester, hook: str) -> None:
    conftest, reason = HOOKS[hook]
    small.makeconftest(conftest)

    _, verdict = run(small)

    assert (verdict["verdict"], verdict["partial"]) == ("PARTIAL", [reason])


UNUSUAL = """
import unittest
import pytest

class TestClient:
    def __init__(self): pass

class TestHelper:
    __test__ = False
    def __init__(self): pass
    def test_connection(self): return True

class TestCase(unittest.TestCase):
    def test_it(self): pass

@pytest.fixture
def test_data(): pass

def test_not(): return True
test_not.__test__ = False
"""


@pytest.mark.parametrize(
    ("code", "settings", "left_out"),
    [
        (UNUSUAL, "", []),
        ("class TestX:\n    def __init__(self): pass\n    def test_it(self): pass\n", "", ["TestX (has __init__)"]),
        ("class TestX:\n    def __new__(cls): pass\n    def test_it(self): pass\n", "", ["TestX (has __new__)"]),
        (
            "import dataclasses\nclass Base:\n    def test_it(self): pass\n@dataclasses.dataclass\nclass TestX(Base): pass\n",
            "",
            ["TestX (has __init__)"],
        ),
        (
            "def test_x(): pass\n",
            'python_functions = ["test_[a-w]*"]',
            ["test_x (does not match python_functions)"],
        ),
        (
            "class TestX:\n    def test_it(self): pass\n",
            'python_classes = ["Check"]',
            ["TestX (does not match python_classes)"],
        ),
    ],
    ids=["helpers", "__init__", "__new__", "a dataclass", "python_functions", "python_classes"],
)
def test_what_is_named_like_a_test_and_not_collected_makes_a_run_partial(
    small: pytest.Pytester, code: str, settings: str, left_out: list[str]
) -> None:
    small.path.joinpath("suites", "other", "test_more.py").write_text(code)
    file = small.path / "pyproject.toml"
    file.write_text(f"{file.read_text()}\n{settings}\n")

    # In the tests of this repository, warnings are errors.
    _, verdict = run(small, "-W", "ignore::pytest.PytestCollectionWarning")

    assert verdict["partial"] == [f"suites/other/test_more.py::{each} was not collected" for each in left_out]


def test_what_a_hook_of_the_workers_leaves_out_makes_a_run_partial(small: pytest.Pytester) -> None:
    small.makeconftest(IGNORES + DESELECTS.replace("2:", "1:"))

    _, verdict = run(small, "-n2")

    assert verdict["verdict"] == "PARTIAL"
    assert verdict["partial"] == ["a plugin deselected 1 of 2 tests", "suites/other/test_other.py was not collected"]


@pytest.mark.parametrize(
    "hook",
    [
        "def pytest_collection_modifyitems(items): del items[2:]\n",
        "def pytest_pycollect_makeitem(name): return [] if name in ('test_three', 'test_away') else None\n",
    ],
)
def test_what_a_hook_takes_out_without_reporting_it_still_holds(small: pytest.Pytester, hook: str) -> None:
    small.makeconftest(hook)

    result, verdict = run(small)

    assert (result.ret, verdict["verdict"]) == (11, "HOLD")
    assert verdict["partial"] == ["a plugin removed 2 tests without reporting it"]


@pytest.mark.parametrize("where", ["addopts", "PYTEST_ADDOPTS", "testpaths"])
def test_settings_narrow_a_run_as_the_command_line_does(
    small: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    file = small.path / "pyproject.toml"
    if where == "PYTEST_ADDOPTS":
        monkeypatch.setenv(where, "-m small")
    elif where == "testpaths":
        file.write_text(f'{file.read_text()}\ntestpaths = ["suites/small"]\n')
    else:
        file.write_text(file.read_text().replace('"--strict', '"-m", "small", "--strict'))

    result, verdict = run(small)

    assert (result.ret, verdict["verdict"]) == (0, "PARTIAL")


@pytest.mark.parametrize(
    ("setting", "partial"),
    [("test_one", ["-c other.ini was given", NOT_MATCHING]), ("test", [])],
    ids=["narrower", "the same"],
)
def test_another_file_of_settings_counts_where_it_decides_otherwise_what_is_a_test(
    small: pytest.Pytester, setting: str, partial: list[str]
) -> None:
    file = small.path / "pyproject.toml"
    file.write_text(f'{file.read_text()}\npython_functions = ["test"]\n')
    settings = "asyncio_mode = auto\nasyncio_default_fixture_loop_scope = session\n"
    small.makefile(
        ".ini", other=f"[pytest]\n{settings}asyncio_default_test_loop_scope = session\npython_functions = {setting}\n"
    )
    add_suite(small, "more", "def test_one(): pass\ndef test_one_more(): pass\n")

    _, verdict = run(small, "-c", "other.ini")

    assert (verdict["verdict"], verdict["partial"]) == ("PARTIAL" if partial else "PROMOTE", partial)


@pytest.mark.parametrize("option", ["--lf", "--sw"])
def test_a_run_of_what_failed_before_is_partial(small: pytest.Pytester, option: str) -> None:
    file = small.path / "pyproject.toml"
    file.write_text(file.read_text().replace('"-p", "no:cacheprovider", ', ""))

    _, verdict = run(small, option)

    assert (verdict["verdict"], verdict["partial"]) == ("PARTIAL", [f"{option} was given"])


@WORKERS
def test_a_partial_run_in_which_a_test_fails_is_rejected(small: pytest.Pytester, workers: tuple[str, ...]) -> None:
    add_suite(small, "broken", "def test_ok(): pass\ndef test_fails(): assert False\n")

    assert run(small, "-m", "broken", *workers)[1]["verdict"] == "REJECT"
    assert run(small, "-k", "away", *workers)[1]["verdict"] == "HOLD"


@WORKERS
def test_where_a_full_run_is_required_a_part_holds(small: pytest.Pytester, workers: tuple[str, ...]) -> None:
    result, verdict = run(small, "-m", "small", "--gaia-require-full", *workers)

    assert (result.ret, verdict["verdict"]) == (11, "HOLD")
    assert verdict["reasons"] == [
        "a full run is required (--gaia-require-full), but this run is partial: -m small deselected 2 of 4 tests"
    ]


def test_the_option_alone_makes_a_run_use_gaia(small: pytest.Pytester) -> None:
    small.makepyfile(test_unit="def test_unit(): pass\n")

    assert run(small, "test_unit.py", "--gaia-require-full")[0].ret == 11


@WORKERS
def test_a_sealed_plan_is_not_passed_by_a_part(small: pytest.Pytester, workers: tuple[str, ...]) -> None:
    small.runpytest_inprocess(
        "--gaia-env=small", "--collect-only", "--gaia-plan-out=plan.json", "-p", "no:allure_pytest"
    )

    assert run(small, "--gaia-plan=plan.json", *workers, apart=True)[1]["verdict"] == "PROMOTE"
    assert run(small, "--gaia-plan=plan.json", "-m", "small", *workers)[1]["verdict"] == "HOLD"
    # All of the plan has passed, but the run was not asked for all.
    assert run(small, "--gaia-plan=plan.json", "-m", "small or other", *workers, apart=True)[1]["verdict"] == "PARTIAL"


def test_what_is_not_collected_is_not_sealed(small: pytest.Pytester) -> None:
    small.makeconftest("collect_ignore = ['suites/other']\n")

    result = small.runpytest_inprocess(
        "--gaia-env=small", "--collect-only", "--gaia-plan-out=plan.json", "-p", "no:allure_pytest"
    )

    assert result.ret == 4
    result.stderr.fnmatch_lines(["ERROR: *suites/other/test_other.py was not collected; a test plan must contain*"])


def expectations(project: pytest.Pytester, name: str, text: str) -> Path:
    folder = project.path / "suites" / "expectations"
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}.toml"
    path.write_text(text)
    return path


def test_a_part_shows_nothing_about_expectations_for_other_tests(small: pytest.Pytester) -> None:
    gone = EXPECTATION.replace('"suites/small"', '"suites/gone"')
    expectations(small, "gone", gone)

    assert run(small, "-m", "small")[1]["verdict"] == "PARTIAL"
    assert run(small)[1]["verdict"] == "DRIFT"
    # What was collected can be evaluated.
    expectations(small, "gone", EXPECTATION)
    assert run(small, "-m", "small")[1]["verdict"] == "DRIFT"


def test_a_new_test_that_an_expectation_accepts_beyond_its_cap_holds_a_full_run_and_warns_in_a_part(
    small: pytest.Pytester,
) -> None:
    expectations(small, "capped", EXPECTATION)
    source = "def test_old(): assert False\ndef test_new(): assert False\n"
    (small.path / "suites/small/test_small.py").write_text(source)
    message = (
        "expectation capped (suites/expectations/capped.toml:10) covers 2 failures, but max_failures is 1; set max_failures = 2 if all "
        "have the same cause: suites/small/test_small.py::test_old, suites/small/test_small.py::test_new"
    )

    full, held = run(small)
    part, passed = run(small, "-k", "old or new or three")

    assert (held["verdict"], held["reasons"]) == ("HOLD", [message])
    assert message in "\n".join(full.outlines)
    assert (passed["verdict"], part.ret) == ("PARTIAL", 0)
    assert f"  {message}" in part.outlines


@pytest.mark.parametrize(
    ("testpaths", "arguments", "word"),
    [
        ("", (), "PROMOTE"),
        ("", (".",), "PROMOTE"),
        ("", ("checks",), "PARTIAL"),
        ("", ("-k", "one"), "PARTIAL"),
        ('testpaths = ["checks"]', (), "PROMOTE"),
        ('testpaths = ["checks"]', ("checks",), "PROMOTE"),
        ('testpaths = ["."]', (), "PROMOTE"),
        ('testpaths = ["che*"]', (), "PROMOTE"),
        ('testpaths = ["checks"]', ("checks/test_one.py",), "PARTIAL"),
    ],
)
def test_without_suites_a_full_run_is_what_pytest_collects_by_itself(
    project: pytest.Pytester,
    server: ScriptedServer,
    monkeypatch: pytest.MonkeyPatch,
    testpaths: str,
    arguments: tuple[str, ...],
    word: str,
) -> None:
    project.makefile(".toml", gaia='[gaia]\nplatform = "gaia"\n[env.small]\n')
    project.makepyprojecttoml(f"{SETTINGS}\n{testpaths}\n")
    monkeypatch.setenv("GAIA_SMALL_GATEWAY_URL", server.url)
    for folder in ("checks", "build"):
        test = "async def test_one(gateway): await gateway.get('/health')\n"
        project.mkdir(folder).joinpath("test_one.py").write_text(test)

    assert run(project, *arguments)[1]["verdict"] == word
