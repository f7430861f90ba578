"""The page of a report, its history and its settings, without Allure."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest

from pytest_gaia.errors import ConfigError
from pytest_gaia.report.viewer.page import RunSummary, Settings, remote_references, shareable
from pytest_gaia.report.viewer.results import branch_of, earlier_runs, history_file, read_results, safe_name

ANALYTICS = """<script async src="https://www.googletagmanager.com/gtag/js?id=G-1"></script>
<script>window.dataLayer = []; function gtag(){dataLayer.push(arguments);} gtag('js', new Date());</script>"""
APPLICATION = "if (a <!--b) {}; const end = '</script>';\r\nrun(\"gtag(\");" + " " * 20_000


def page(*parts: str) -> str:
    return "<!DOCTYPE html><html><head><title>x</title></head><body>" + "\n".join(parts) + "</body></html>"


def passed(text: str) -> str:
    return shareable(text, [RunSummary("staging", "REJECT", "1 failed <b>")], "4 tests: 1 passed, 3 failed")


def scripts(text: str) -> list[str]:
    """Return all scripts but the one of the summary, which is the first."""
    return re.findall(r"<script[^>]*>(.*?)</script>", text, re.DOTALL)[1:]


def data_script(text: str) -> str:
    return f'<script  src="data:text/javascript;base64,{base64.b64encode(text.encode()).decode()}"></script>'


def test_analytics_and_remote_references_are_removed() -> None:
    remote = ['<link rel="preload" href="https://fonts.example/a.woff">', "<img src=//images.example/x.png>"]
    own = ['<link rel="icon" href="data:image/svg+xml,x">', "<script>window.mine = 1</script>"]

    made = passed(page(ANALYTICS, *remote, *own))

    assert remote_references(page(ANALYTICS, *remote)) != []
    assert remote_references(made) == []
    assert "gtag" not in made
    assert all(each in made for each in own)
    assert scripts(made) == ["window.mine = 1"]


def test_the_application_becomes_an_equivalent_inline_script() -> None:
    (script,) = scripts(passed(page(data_script(APPLICATION))))

    assert "</script" not in script
    assert "<!--" not in script
    assert script.replace("\\x3C", "<") == APPLICATION.replace("\r\n", "\n")


def test_the_policy_names_every_script_by_its_digest_and_no_other() -> None:
    made = passed(page("<script>one()</script>", data_script("two()")))

    texts = re.findall(r"<script[^>]*>(.*?)</script>", made, re.DOTALL)
    assert texts[1:] == ["one()", "two()"]
    digests = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in texts]
    policy = re.search(r'<head>\s*<meta http-equiv="Content-Security-Policy" content="([^"]*)">', made)
    assert policy is not None
    rules = dict(rule.strip().split(" ", 1) for rule in policy[1].split(";"))
    assert rules["default-src"] == "'none'"
    assert rules["script-src"] == " ".join(f"'sha256-{digest}'" for digest in digests)


def test_scripts_in_files_are_those_of_the_same_place() -> None:
    assert " 'self'; style-src" in passed(page('<script src="app.js"></script>'))


@pytest.mark.parametrize("tag", ["<script src='//x.example/a.js'>", "<VIDEO SRC=https://x.example/v>"])
def test_a_remaining_remote_reference_is_found(tag: str) -> None:
    assert len(remote_references(passed(page(tag)))) == 1


def test_text_in_scripts_and_links_are_not_remote_references() -> None:
    assert (
        remote_references(page("<script>'<img src=https://x.example>'</script><a href=https://x.example>x</a>")) == []
    )


def test_the_summary_needs_no_script_and_is_escaped() -> None:
    made = passed(page("<div id=app></div>"))

    assert made.index('<header id="gaia-summary" class="reject">') < made.index("<div id=app>")
    assert '<span class="word">REJECT</span> on staging' in made
    assert "1 failed &lt;b&gt;" in made
    assert "4 tests: 1 passed, 3 failed" in made
    assert "<noscript>" in made
    assert '<meta name="viewport" content="width=device-width, initial-scale=1">' in made


def test_branches_and_environments_never_share_a_history() -> None:
    names = [
        "main",
        "Main",
        "feature/x",
        "feature-x",
        "feature\\x",
        "..",
        "../../etc",
        ".hidden",
        "",
        "x" * 300,
        "x" * 301,
    ]
    files = [history_file(Path("kept"), name, ["dev"]) for name in names]
    files += [history_file(Path("kept"), "main", each) for each in ([], ["dev", "staging"], ["a/b"])]

    assert len({str(file).lower() for file in files}) == len(files)
    assert all(len(file.parts) == 3 and ".." not in file.parts for file in files)
    assert all(len(file.name) < 120 and not file.name.startswith(".") for file in files)


def test_plain_names_stay_readable() -> None:
    assert history_file(Path("kept"), "main", ["dev", "staging"]).parts[1] == "main"
    assert safe_name("release-1.2") == "release-1.2"


@pytest.mark.parametrize(
    ("variables", "branch"),
    [
        ({}, None),
        ({"GITHUB_HEAD_REF": "", "GITHUB_REF_NAME": "main"}, "main"),
        ({"GITHUB_HEAD_REF": "topic", "GITHUB_REF_NAME": "12/merge"}, "topic"),
        ({"CI_COMMIT_REF_NAME": "topic"}, "topic"),
        ({"BRANCH_NAME": "PR-12", "CHANGE_BRANCH": "topic"}, "topic"),
    ],
)
def test_the_branch_is_what_ci_calls_it(variables: dict[str, str], branch: str | None) -> None:
    assert branch_of(variables) == branch


def run_of(*uuids: str) -> str:
    ids = {uuid: {"id": hashlib.md5(uuid.encode(), usedforsecurity=False).hexdigest()} for uuid in uuids}
    return json.dumps({"testResults": ids}) + "\n"


def test_a_history_is_capped_and_does_not_count_its_own_run_twice(tmp_path: Path) -> None:
    file = tmp_path / "history.jsonl"
    file.write_text(run_of("a") + run_of("b", "c") + run_of("d") + run_of("e", "f"))

    assert earlier_runs(file, ["e", "f", "g"], keep=2) == run_of("b", "c") + run_of("d")
    assert earlier_runs(file, [], keep=0) == ""
    assert earlier_runs(tmp_path / "none.jsonl", [], keep=9) == ""


@pytest.mark.parametrize("line", ["{", "[]", '{"testResults": []}', '{"testResults": {"x": 1}}', "null"])
def test_a_line_that_is_no_run_is_named(tmp_path: Path, line: str) -> None:
    file = tmp_path / "history.jsonl"
    file.write_text(f"{run_of('a')}{line}\n")

    with pytest.raises(ConfigError, match=r"history\.jsonl:2: not a valid run"):
        earlier_runs(file, [], keep=9)


def settings(**values: object) -> Settings:
    usual = {
        "name": 'a "name" </script> \u2028',
        "output": Path("/made"),
        "history": Path("/history.jsonl"),
        "runs": 3,
        "environments": ("dev", "sta'ging"),
        "default": None,
        "categories": (),
        "single_file": True,
    }
    return Settings(**{**usual, **values})  # type: ignore[arg-type]  # values of several types


def test_categories_of_allure_2_are_converted_for_allure_3() -> None:
    given = {
        "name": "Expected failure",
        "matchedStatuses": ["failed"],
        "messageRegex": "^gaia",
        "traceRegex": "",
        "x": 1,
    }

    module = settings(categories=[given, {"name": "All"}]).module()

    said = json.loads(module.split("const config = ", 1)[1].split(";\n", 1)[0])["categories"]
    assert said[0]["groupBy"] == [{"label": "expectation"}]
    assert said[0]["messageRegex"] == "^gaia"
    assert "x" not in said[0]
    assert said[1]["matchedStatuses"] == ["failed", "broken"]


def test_results_of_several_folders_are_counted_together(tmp_path: Path) -> None:
    for folder, environment in (("a", "dev"), ("b", "staging"), ("b", None)):
        (tmp_path / folder).mkdir(exist_ok=True)
        labels = [{"name": "env", "value": environment}] if environment else None
        text = json.dumps({"uuid": f"{folder}{environment}", "labels": labels})
        (tmp_path / folder / f"{environment}-result.json").write_text(text)
    (tmp_path / "b" / "categories.json").write_text('[{"name": "Mine"}]')

    found = read_results([tmp_path / "a", tmp_path / "b"])

    assert (found.environments, found.unnamed, len(found.uuids)) == (("dev", "staging"), 1, 3)
    assert [each["name"] for each in found.categories] == ["Mine"]
    assert len(read_results([tmp_path / "a"]).categories) > 1


SAME = {"historyId": "h", "testCaseId": "c", "fullName": "suites.test_it"}


@pytest.mark.parametrize(
    ("one", "other", "given", "apart"),
    [
        (SAME, SAME, None, False),
        (SAME, SAME, "dev", False),
        ({"historyId": "h"}, {"historyId": "h"}, None, False),
        ({"fullName": "a"}, {"fullName": "a"}, None, False),
        ({"fullName": "a"}, {"fullName": "a", "parameters": [{"name": "n", "value": "1", "excluded": True}]}, None, False),
        ({"fullName": "a"}, {"fullName": "a", "parameters": [{"name": "n", "value": "1"}]}, None, True),
        (SAME, {"historyId": "i", "testCaseId": "d", "fullName": "suites.test_other"}, None, True),
        (SAME | {"env": "dev"}, SAME, "dev", False),
        (SAME, SAME | {"env": "dev"}, "dev", False),
        (SAME | {"env": "dev"}, SAME, None, True),
        (SAME | {"env": "dev"}, SAME | {"env": "staging"}, None, True),
        (SAME | {"env": "dev"}, SAME | {"env": "dev"}, None, True),
        ({}, {}, None, True),
    ],
)  # fmt: skip
def test_no_folder_hides_failures_of_another(
    tmp_path: Path, one: dict[str, Any], other: dict[str, Any], given: str | None, apart: bool
) -> None:
    for name, values in (("one", one), ("other", other)):
        (tmp_path / name).mkdir()
        for attempt in (1, 2):  # in one folder, results of the same test are retries
            labels = [{"name": "env", "value": values["env"]}] if "env" in values else []
            document = {"uuid": f"{name}{attempt}", "labels": labels, **values}
            (tmp_path / name / f"{attempt}-result.json").write_text(json.dumps(document))
    folders = [tmp_path / "one", tmp_path / "other"]

    if apart:
        assert len(read_results(folders, given).uuids) == 4
    else:
        with pytest.raises(ConfigError, match=f"gaia report {folders[1]} -e ENV"):
            read_results(folders, given)
    assert len(read_results([folders[0], folders[0]], given).uuids) == 2
