"""Every trap ends alike: alone, on workers, with retries and with Allure."""

from __future__ import annotations

import json
import shutil
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.plugin.ways import verdict
from tests.slow import in_full

if TYPE_CHECKING:
    from tests.plugin.conftest import ScriptedServer

SUITE = Path(__file__).parent / "trapped.py"
FOLDER = "suites/traps"
FILE = f"{FOLDER}/test_traps.py"

COMMON = """
reason = "it is known"
issue = "GAIA-1"
owner = "@team"
created = 2026-11-01
expires = 2099-01-01
environments = ["small"]
"""

EXPECTATIONS = {
    "shadowed": (
        'match = { kind = "assertion", message = "shadowed" }',
        "test_fails_by_expectation",
        "test_fails_by_another_kind",
        "test_passes_against_its_expectation",
        "test_setup_breaks_beside_an_expectation",
        "test_teardown_breaks_beside_an_expectation",
        "test_marked_beside_an_expectation",
        "test_skips_itself_beside_an_expectation",
        "test_parameters[a b]",
        "test_parameters[c[d]]",
        "test_subtest_fails_by_expectation",
        "test_one_of_two_subtests_fails_by_expectation",
        "test_subtests_pass_against_an_expectation",
    ),
    "broken-fixture": ('phase = "setup"\nmatch = { message = "shadowed" }', "test_setup_breaks_by_expectation"),
    "any-assertion": ('match = { kind = "assertion" }', "test_marked_and_passes_beside_an_expectation"),
    "flaky": ('expect = "flaky"\nmatch = { kind = "assertion" }', "test_is_flaky_by_expectation"),
}

PASSED, FAILED, ERROR, SKIPPED = ("passed", False), ("failed", True), ("error", True), ("skipped", False)
ACCEPTED, DRIFT = ("expected failure", False), ("unexpected pass", False)

COMES_TO: dict[str, tuple[str, bool]] = {
    "test_passes": PASSED,
    "test_fails": FAILED,
    "test_fails_by_expectation": ACCEPTED,
    "test_fails_by_another_kind": FAILED,
    "test_passes_against_its_expectation": DRIFT,
    "test_setup_breaks": ERROR,
    "test_setup_breaks_beside_an_expectation": ERROR,
    "test_setup_breaks_by_expectation": ACCEPTED,
    "test_setup_fails": ERROR,
    "test_session_is_dead": ERROR,
    "test_session_is_still_dead": ERROR,
    "test_teardown_breaks": ERROR,
    "test_teardown_breaks_beside_an_expectation": ERROR,
    "test_marked": ACCEPTED,
    "test_marked_and_setup_breaks": ERROR,
    "test_marked_and_teardown_breaks": ERROR,
    "test_marked_beside_an_expectation": ACCEPTED,
    "test_marked_and_passes": FAILED,
    "test_marked_and_passes_beside_an_expectation": FAILED,
    "test_marked_and_may_pass": PASSED,
    "test_marked_for_another_exception": FAILED,
    "test_marked_and_not_run": SKIPPED,
    "test_marks_itself": ACCEPTED,
    "test_skipped": SKIPPED,
    "test_skips_itself_beside_an_expectation": SKIPPED,
    "test_does_not_apply": ("not applicable", False),
    "test_parameters[a b]": ACCEPTED,
    "test_parameters[c[d]]": ACCEPTED,
    "test_parameters[e::f]": FAILED,
    "test_parameters[g]]": FAILED,
    "test_subtest_fails": FAILED,
    "test_subtest_fails_by_expectation": ACCEPTED,
    "test_one_of_two_subtests_fails_by_expectation": FAILED,
    "test_subtests_pass_and_it_fails": FAILED,
    "test_subtests_pass_against_an_expectation": DRIFT,
    "test_leaves": FAILED,
    "test_fails_once": FAILED,
    "test_is_flaky_by_expectation": PASSED,
    "Old::test_passes": PASSED,
    "Old::test_fails": FAILED,
    "Old::test_fails_as_expected": ACCEPTED,
    "Old::test_passes_unexpectedly": FAILED,
    "Old::test_skips": SKIPPED,
}

NATIVE = {"test_marked", "test_marks_itself", "Old::test_fails_as_expected"}
"""what marks in code cover, not expectations"""

ELSEWHERE = {f"{FOLDER}/test_broken.py": ("not collected", True), f"{FOLDER}/test_left_out.py": SKIPPED}

MODES = {
    "alone": ("-p", "no:allure_pytest"),
    "workers": ("-p", "no:allure_pytest", "-n2"),
    "retries": ("-p", "no:allure_pytest", "--reruns=1"),
    "workers and retries": ("-p", "no:allure_pytest", "-n2", "--reruns=1"),
    "allure": ("--alluredir=allure",),
}


@pytest.fixture
def traps(project: pytest.Pytester) -> pytest.Pytester:
    """A project with all traps, in an environment that lists what may fail."""
    project.makefile(
        ".toml",
        gaia='[gaia]\nplatform = "gaia"\nsuites = ["suites"]\n[env.small]\n[env.small.tolerance]\nmax_expectation_age_days = 100000\n',
    )
    settings = project.path / "pyproject.toml"
    settings.write_text(settings.read_text().replace('"-p", "no:cacheprovider", ', ""))
    folder = project.path / FOLDER
    folder.mkdir()
    shutil.copy(SUITE, folder / "test_traps.py")
    (folder / "test_broken.py").write_text("import not_there\n")
    (folder / "test_left_out.py").write_text("import pytest\npytest.importorskip('not_there')\n")
    expectations = project.path / "suites" / "expectations"
    expectations.mkdir()
    for name, (expectation, *tests) in EXPECTATIONS.items():
        nodes = ", ".join(f"'{FILE}::{test}'" for test in tests)
        (expectations / f"{name}.toml").write_text(f"{COMMON}tests = [{nodes}]\n{expectation}\n")
    return project


def run(traps: pytest.Pytester, server: ScriptedServer, *arguments: str) -> pytest.RunResult:
    return traps.runpytest_subprocess(
        "--gaia-env=small",
        f"--gaia-url=gateway={server.url}",
        "--gaia-verdict-file=verdict.json",
        "--junitxml=junit.xml",
        *arguments,
    )


@pytest.mark.parametrize("mode", ["alone", *map(in_full, list(MODES)[1:])])
def test_every_trap_comes_to_the_same(traps: pytest.Pytester, server: ScriptedServer, mode: str) -> None:
    result = run(traps, server, "--continue-on-collection-errors", *MODES[mode])

    expected = {f"{FILE}::{name}": come for name, come in COMES_TO.items()} | ELSEWHERE
    if "retries" in mode:
        expected[f"{FILE}::test_fails_once"] = PASSED
    document = verdict(traps)
    found = {test["node"]: (test["outcome"], test["gates"]) for test in document["tests"]}
    assert found == expected
    assert len(document["tests"]) == len(expected)
    assert (int(result.ret), document["verdict"], document["exit_code"]) == (1, "REJECT", 1)
    by_expectation = {expectation["id"]: expectation["excused"] for expectation in document["rules"]}
    assert by_expectation == {"shadowed": 5, "broken-fixture": 1, "any-assertion": 0, "flaky": 0}
    accepted = {
        test["node"] for test in document["tests"] if test["outcome"] == "expected failure" and not test["rules"]
    }
    assert accepted == {f"{FILE}::{name}" for name in NATIVE}
    blocking = {node.removeprefix(f"{FILE}::") for node, (_, blocks) in expected.items() if blocks}
    unexpected = names_of(expected, "unexpected pass")
    # The expectation is out of date and must be changed. DRIFT is not 0.
    assert failed_in_junit(traps) == blocking | unexpected
    if mode == "alone":
        assert failed_last_time(traps) == blocking
    if mode == "allure":
        shown = shown_by_allure(traps)
        # An expected failure is one there, and known.
        red = blocking | unexpected | names_of(expected, "expected failure")
        assert {name for name, status in shown.items() if status in ("failed", "broken")} <= red
        assert not [name for name in blocking if shown.get(name) == "passed"]


def names_of(expected: dict[str, tuple[str, bool]], outcome: str) -> set[str]:
    """The names of the tests that come to ``outcome``."""
    return {node.removeprefix(f"{FILE}::") for node, come in expected.items() if come[0] == outcome}


def failed_in_junit(traps: pytest.Pytester) -> set[str]:
    """The names of the tests that JUnit shows as failed or broken."""
    cases = ET.parse(traps.path / "junit.xml").iter("testcase")
    return {_name(case) for case in cases if case.find("failure") is not None or case.find("error") is not None}


def _name(case: ET.Element) -> str:
    if not case.get("classname"):
        return case.get("name", "").replace(".", "/") + ".py"
    return f"Old::{case.get('name')}" if case.get("classname", "").endswith(".Old") else case.get("name", "")


def failed_last_time(traps: pytest.Pytester) -> set[str]:
    """What ``--lf`` would run."""
    cache = traps.path / ".pytest_cache" / "v" / "cache" / "lastfailed"
    return {node.removeprefix(f"{FILE}::") for node in json.loads(cache.read_text())}


def shown_by_allure(traps: pytest.Pytester) -> dict[str, str]:
    """Name of the test → the status that Allure shows."""
    results = [json.loads(path.read_text()) for path in (traps.path / "allure").glob("*-result.json")]
    names = {id(each): f"Old::{each['name']}" if ".Old#" in each["fullName"] else each["name"] for each in results}
    return {names[id(each)]: each["status"] for each in results}
