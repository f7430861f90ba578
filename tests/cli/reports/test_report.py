"""``gaia report``: usage errors, and no loss of existing files. Reports themselves: tests/browser."""

from __future__ import annotations

import json
import os
import shutil
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Outcome

    Gaia = Callable[..., Outcome]


def result(folder: Path, name: str = "one", environment: str | None = "sandbox") -> Path:
    """Write one result as a run does."""
    folder.mkdir(exist_ok=True)
    labels = [{"name": "env", "value": environment}] if environment else []
    path = folder / f"{name}-result.json"
    path.write_text(json.dumps({"uuid": name, "name": name, "status": "passed", "labels": labels}))
    return path


def stand_in(path: Path, script: str) -> Path:
    """Write a script that replaces Allure or Node.js and behaves like a broken one."""
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


ALLURE = 'if [ "$1" = --version ]; then echo 3.18.0; exit; fi\n'


@pytest.fixture
def results(project: Path) -> Path:
    folder = project / "allure-results"
    result(folder)
    return folder


def refused(outcome: Outcome, code: int, *said: str) -> None:
    assert (outcome.code, outcome.out) == (code, "")
    assert outcome.err.startswith("gaia: ")
    assert "Traceback" not in outcome.err
    for words in said:
        assert words in outcome.err


def test_without_results_the_message_names_the_command(project: Path, gaia: Gaia) -> None:
    refused(gaia("report"), 4, "allure-results: folder not found", "pytest --alluredir=allure-results")


def test_an_empty_folder_is_no_good_evidence(project: Path, gaia: Gaia) -> None:
    (project / "allure-results").mkdir()

    refused(gaia("report"), 4, "no test results (*-result.json) found", "Run the tests first")


def test_a_file_is_no_folder_of_results(project: Path, gaia: Gaia) -> None:
    refused(gaia("report", "gaia.toml"), 4, "gaia.toml: is a file. Give the folder")


DEEP = '{"a":' * 100_000 + "1" + "}" * 100_000


@pytest.mark.parametrize("text", ['{"uuid": "one", "na', "[1, 2]", '{"labels": "x"}', DEEP], ids=str.__len__)
def test_an_invalid_result_is_named(results: Path, gaia: Gaia, text: str) -> None:
    (results / "half-result.json").write_text(text)

    refused(gaia("report"), 4, "half-result.json: not a valid test result", "Run the tests again, or delete the file")


def test_invalid_categories_are_named(results: Path, gaia: Gaia) -> None:
    (results / "categories.json").write_text("{}")

    refused(gaia("report"), 4, "categories.json: not a valid list of categories")


def test_an_environment_that_contradicts_the_results_is_refused(results: Path, gaia: Gaia) -> None:
    outcome = gaia("report", "--environment", "production")

    refused(outcome, 4, "--env production: the results belong to sandbox")


@pytest.mark.parametrize("name", ["", " ", "a/b", "a\nb", "x" * 65])
def test_an_environment_that_is_no_name_is_refused(project: Path, gaia: Gaia, name: str) -> None:
    result(project / "allure-results", environment=None)

    refused(gaia("report", "--environment", name), 4, "not a valid name of an environment")


def test_without_allure_the_message_names_the_searched_paths(
    results: Path, gaia: Gaia, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")

    outcome = gaia("report")

    refused(outcome, 4, "Allure 3 is not installed", "node_modules/.bin/allure", "PATH")
    refused(outcome, 4, "npm install", "Only gaia report needs it")
    assert not (results.parent / "gaia-report").exists()


@pytest.mark.parametrize("by", ["option", "variable"])
def test_an_executable_that_is_not_there_is_named_as_given(
    results: Path, gaia: Gaia, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    if by == "variable":
        monkeypatch.setenv("GAIA_ALLURE", "no/allure")
        refused(gaia("report"), 4, "GAIA_ALLURE=no/allure: file not found")
    else:
        refused(gaia("report", "--allure", "no/allure"), 4, "--allure=no/allure: file not found")


def test_without_node_one_message_and_no_change(results: Path, gaia: Gaia, monkeypatch: pytest.MonkeyPatch) -> None:
    allure = stand_in(results.parent / "allure.js", "")
    monkeypatch.setenv("PATH", "/nonexistent")

    outcome = gaia("report", "--allure", str(allure))

    refused(outcome, 4, "Node.js, which", "is not on PATH (/nonexistent)", "Install Node.js >= 20")
    assert len(outcome.err.splitlines()) == 1
    assert sorted(path.name for path in results.iterdir()) == ["one-result.json"]


@pytest.mark.parametrize("answer", ["echo v18.19.0", "echo nonsense", "exit 3"])
def test_an_old_or_broken_node_is_named(
    results: Path, gaia: Gaia, monkeypatch: pytest.MonkeyPatch, answer: str
) -> None:
    stand_in(results.parent / "bin" / "node", answer)
    allure = stand_in(results.parent / "allure.js", "")
    monkeypatch.setenv("PATH", f"{results.parent / 'bin'}{os.pathsep}{os.environ['PATH']}")

    refused(gaia("report", "--allure", str(allure)), 4, "bin/node is Node.js", "needs 20 or newer")


@pytest.mark.parametrize("answer", ["echo 2.46.1", "exit 1", "true"])
def test_allure_2_and_what_is_no_allure_are_refused(results: Path, gaia: Gaia, answer: str) -> None:
    allure = stand_in(results.parent / "allure", answer)

    refused(gaia("report", "--allure", str(allure)), 4, "Allure 3 is required")


def test_the_output_of_a_failed_allure_is_shown_and_the_last_report_stays(results: Path, gaia: Gaia) -> None:
    allure = stand_in(results.parent / "allure", f"{ALLURE}echo 'no space left' >&2; exit 3")
    before = results.parent / "gaia-report"
    before.mkdir()
    (before / "gaia-report.json").write_text("{}")

    outcome = gaia("report", "--allure", str(allure))

    refused(outcome, 1, "Allure 3.18.0 exited with 3 and built no report. Its output:\n  no space left")
    assert [path.name for path in before.iterdir()] == ["gaia-report.json"]
    assert list((results.parent / ".gaia").rglob("*.jsonl")) == []


@pytest.mark.parametrize(
    "made",
    [
        "echo 'plugin awesome error'",
        'mkdir -p report; echo \'{"stats": {"total": 0}}\' > report/summary.json; touch report/index.html',
        'mkdir -p report; echo \'{"stats": {"total": 4}}\' > report/summary.json',
        "mkdir -p report; echo '{' > report/summary.json; touch report/index.html",
    ],
    ids=["nothing", "no test", "no page", "nonsense"],
)
def test_an_allure_that_ends_with_0_and_has_made_nothing_has_failed(results: Path, gaia: Gaia, made: str) -> None:
    allure = stand_in(results.parent / "allure", ALLURE + made)

    outcome = gaia("report", "--allure", str(allure))

    refused(outcome, 1, "exited with 0, but its report is missing or has no tests")
    assert not (results.parent / "gaia-report").exists()


MADE = 'mkdir -p report; echo \'{"stats": {"total": 1, "passed": 1}}\' > report/summary.json; echo \'<head>\' > report/index.html'


@pytest.fixture
def allure(results: Path) -> str:
    """An Allure that makes an empty page."""
    return str(stand_in(results.parent / "allure", ALLURE + MADE))


def test_a_folder_with_other_files_is_never_replaced(results: Path, gaia: Gaia, allure: str) -> None:
    theirs = results.parent / "thesis"
    theirs.mkdir()
    (theirs / "chapter.txt").write_text("irreplaceable")

    refused(gaia("report", "--allure", allure, "-o", "thesis"), 4, "--output thesis: has files that are not a report")

    assert (theirs / "chapter.txt").read_text() == "irreplaceable"
    refused(gaia("report", "--allure", allure, "-o", "gaia.toml"), 4, "--output gaia.toml: is a file")


def test_a_report_of_ours_and_an_empty_folder_are_replaced(results: Path, gaia: Gaia, allure: str) -> None:
    (results.parent / "out").mkdir()

    assert gaia("report", "--allure", allure, "-o", "out").code == 0
    (results.parent / "out" / "old.txt").touch()
    assert gaia("report", "--allure", allure, "-o", "out").code == 0

    left = sorted(path.name for path in (results.parent / "out").iterdir())
    assert left == ["gaia-report.json", "index.html", "summary.json"]
    assert [path.name for path in results.parent.iterdir() if path.name.startswith(".out")] == []


@pytest.mark.parametrize("option", ["--output", "--history"])
def test_a_place_that_cannot_be_written_is_named(results: Path, gaia: Gaia, allure: str, option: str) -> None:
    outcome = gaia("report", "--allure", allure, option, "gaia.toml/below")

    refused(outcome, 4, option, "a file is in its place")


def test_an_invalid_history_is_named_with_its_line(results: Path, gaia: Gaia, allure: str) -> None:
    file = results.parent / "kept" / "main" / "sandbox.jsonl"
    file.parent.mkdir(parents=True)
    file.write_text('{"testResults": {}}\n{"uuid": "half\n')

    outcome = gaia("report", "--allure", allure, "--history", "kept", "--branch", "main")

    refused(outcome, 4, "sandbox.jsonl:2: not a valid run")


def test_the_branch_is_that_of_ci_and_else_that_of_git(
    results: Path, gaia: Gaia, allure: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in os.environ if name.startswith(("GITHUB_", "CI_", "CHANGE_", "BRANCH_"))]:
        monkeypatch.delenv(name)
    git = results.parent / ".git"
    (git / "objects").mkdir(parents=True)
    (git / "refs").mkdir()
    (git / "HEAD").write_text("ref: refs/heads/trunk\n")
    assert shutil.which("git")

    assert "history of trunk" in gaia("report", "--allure", allure).out
    monkeypatch.setenv("GITHUB_REF_NAME", "main")
    assert "history of main" in gaia("report", "--allure", allure).out
    monkeypatch.setenv("GITHUB_HEAD_REF", "feature/x")
    assert "history of feature/x" in gaia("report", "--allure", allure).out
    assert "history of mine" in gaia("report", "--allure", allure, "--branch", "mine").out


def test_json_holds_what_the_lines_say(results: Path, gaia: Gaia, allure: str) -> None:
    result(results, "two")

    outcome = gaia("report", "--allure", allure, "--branch", "main", "--json")

    said = json.loads(outcome.out)
    assert (outcome.code, outcome.err) == (0, "")
    assert (said["tests"], said["retries"], said["known"], said["environments"]) == (1, 1, 0, ["sandbox"])
    assert said["report"] == "gaia-report/index.html"


def test_a_page_that_would_ask_another_machine_replaces_nothing(results: Path, gaia: Gaia) -> None:
    # It has no end, and so cannot be taken out.
    page = "<head><script src='//tracker.example/'>"
    allure = stand_in(results.parent / "allure", f'{ALLURE}{MADE}; echo "{page}" > report/index.html')

    refused(gaia("report", "--allure", str(allure)), 1, "loads //tracker.example/, which could not be removed")

    assert not (results.parent / "gaia-report").exists()
