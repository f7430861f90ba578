"""``gaia merge --output``: the JUnit file and the Allure folder of all shards, and the output for GitHub Actions."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import pytest

from pytest_gaia.cli.app import run
from pytest_gaia.report.allure.around import read_properties
from pytest_gaia.report.junit import address_of
from tests.cli.reports.shards import STATE, Project, made
from tests.report.jenkins import problems

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["made"]

TEST = "suites/state/test_state.py"


@pytest.fixture(scope="module")
def project(made: Project) -> Project:
    """The project with a test that fails, and its shards with all files."""
    (made.folder / TEST).write_text(STATE.replace('assert seen == ["first"]', "assert seen == []"))
    made.commit()
    made.plan()
    made.folders("all", "-o", "junit_suite_name=all")
    made.whole("--junitxml=whole.xml", "--alluredir=allure-whole", "-o", "junit_suite_name=all")
    return made


@pytest.fixture
def folders(project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The folder of each shard, to change."""
    monkeypatch.chdir(project.folder)
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)
    found = []
    for folder in sorted(project.folder.glob("merged-all-*")):
        shutil.copytree(folder, tmp_path / folder.name)
        found.append(tmp_path / folder.name)
    return found


def merge(folders: list[Path], output: Path) -> int:
    return run(["merge", *map(str, folders), "--plan", "plan.json", "--output", str(output)])


def cases(path: Path) -> dict[tuple[str, str], str]:
    """Address → element of the result; empty for a pass."""
    found = list(ET.parse(path).iter("testcase"))
    shown = {
        (case.get("classname", ""), case.get("name", "")): next(
            (each.tag for each in case if each.tag in ("failure", "error", "skipped")), ""
        )
        for case in found
    }
    assert len(found) == len(shown), "a test twice"
    return shown


def test_the_junit_file_has_every_test_with_the_outcome_of_one_process(
    project: Project, folders: list[Path], tmp_path: Path
) -> None:
    assert merge(folders, tmp_path / "out") == 1

    path = tmp_path / "out" / "junit.xml"
    assert cases(path) == cases(project.folder / "whole.xml")
    assert problems(ET.parse(path).getroot()) == []
    assert path.stat().st_mode & 0o777 == 0o600
    (suite,), (whole,) = (list(ET.parse(each).iter("testsuite")) for each in (path, project.folder / "whole.xml"))
    for name in ("tests", "failures", "errors", "skipped"):
        assert suite.get(name) == whole.get(name)
    shards = [float(next(ET.parse(folder / "junit.xml").iter("testsuite")).get("time", "")) for folder in folders]
    assert float(suite.get("time", "")) == pytest.approx(sum(shards), abs=0.01)
    values = {each.get("name"): each.get("value") for each in suite.iter("property")}
    assert values["gaia.verdict"] == "REJECT"
    assert Counter(each.get("name") for each in suite.iter("property")).most_common(1)[0][1] == 1


def test_a_test_without_a_result_is_an_error_in_both(folders: list[Path], tmp_path: Path) -> None:
    nodes = [json.loads(line)["node"] for line in (folders[0] / "results.jsonl").read_text().splitlines()[1:-1]]

    merge(folders[1:], tmp_path / "out")

    shown = cases(tmp_path / "out" / "junit.xml")
    assert [shown[address_of(node)] for node in nodes] == ["error"] * len(nodes)
    assert len(shown) == 16
    assert {each["status"] for each in _results(tmp_path / "out") if each["fullName"].endswith("test_alone")} == {
        "unknown" if any("test_alone" in node for node in nodes) else "passed"
    }
    assert len(_results(tmp_path / "out")) == 16


def test_the_prefix_of_class_names_stays(project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project.folder)
    folders = project.folders("prefixed", "--junit-prefix=team.a")
    merge(folders, tmp_path / "out")
    shown = cases(tmp_path / "out" / "junit.xml")
    assert len(shown) == 16
    assert all(name.startswith("team.a.suites.") for name, _ in shown)


def _results(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in (folder / "allure-results").glob("*-result.json")]


def test_the_allure_folder_has_the_results_of_all_shards(project: Project, folders: list[Path], tmp_path: Path) -> None:
    assert merge(folders, tmp_path / "out") == 1

    allure = tmp_path / "out" / "allure-results"
    whole = [json.loads(path.read_text()) for path in (project.folder / "allure-whole").glob("*-result.json")]
    assert sorted((each["historyId"], each["status"]) for each in _results(tmp_path / "out")) == sorted(
        (each["historyId"], each["status"]) for each in whole
    )
    about = read_properties((allure / "environment.properties").read_text())
    expected = read_properties((project.folder / "allure-whole" / "environment.properties").read_text())
    assert {**about, "started": "", "finished": ""} == {**expected, "started": "", "finished": ""}
    assert json.loads((allure / "executor.json").read_text())["reportName"] == "preview: REJECT"
    assert (allure / "categories.json").is_file()
    (verdict,) = allure.glob("*-globals.json")
    assert "REJECT on preview, 3 shards" in verdict.read_text()
    assert {path.stat().st_mode & 0o777 for path in allure.iterdir()} == {0o600}


@pytest.mark.parametrize("name", ["junit.xml", "allure-results"])
def test_what_one_shard_lacks_is_not_written(
    folders: list[Path], tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    lacking = folders[1] / name
    shutil.rmtree(lacking) if lacking.is_dir() else lacking.unlink()

    assert merge(folders, tmp_path / "out") == 1

    assert not (tmp_path / "out" / name).exists()
    said = [line for line in capsys.readouterr().out.splitlines() if "is not written" in line]
    assert said == [f"gaia: {name} is not written, because these shards lack theirs: {folders[1]}"]


@pytest.mark.parametrize(
    ("text", "why"),
    [("", "no element found"), ("<html/>", "it begins with <html>"), ("<testsuites><", "unclosed token")],
)
def test_a_file_that_is_not_junit_is_one_message(
    folders: list[Path], tmp_path: Path, text: str, why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (folders[1] / "junit.xml").write_text(text)
    assert merge(folders, tmp_path / "out") == 4
    err = capsys.readouterr().err
    assert "junit.xml: not a JUnit file: " in err
    assert why in err
    assert not (tmp_path / "out" / "junit.xml").exists()


def test_a_folder_with_two_logs_is_one_message(
    folders: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(folders[0] / "results.jsonl", folders[0] / "more.jsonl")
    assert merge(folders, tmp_path / "out") == 4
    assert "contains several files of one kind: more.jsonl, results.jsonl" in capsys.readouterr().err


def test_a_folder_without_a_log_is_a_missing_shard(
    folders: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folders[1] / "results.jsonl").unlink()
    merge(folders, tmp_path / "out")
    assert f"{folders[1]}/results.jsonl: cannot be read: No such file" in capsys.readouterr().out


def test_results_of_another_run_are_not_mixed(
    folders: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    merge(folders, tmp_path / "out")
    assert merge(folders, tmp_path / "out") == 4
    assert "allure-results has results of another run" in capsys.readouterr().err


def test_reports_of_another_run_do_not_stay_beside_the_verdict(
    folders: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    merge(folders, tmp_path / "out")
    logs = [folder / "results.jsonl" for folder in folders]

    assert merge(logs, tmp_path / "out") == 4
    assert "allure-results has results of another run. Remove it, or give another folder." in capsys.readouterr().err

    shutil.rmtree(tmp_path / "out" / "allure-results")
    assert merge(logs, tmp_path / "out") == 1
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["results.jsonl", "verdict.json"]


def test_github_gets_annotations_and_the_summary(
    folders: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    # A command that a test starts is not a step.
    monkeypatch.delenv("PYTEST_CURRENT_TEST")

    assert merge(folders, tmp_path / "out") == 1

    assert f"::error file={TEST},title=gaia failed::{TEST}::test_second" in capsys.readouterr().out
    assert (tmp_path / "summary.md").read_text().startswith("## gaia: REJECT on preview, 3 shards\n")
