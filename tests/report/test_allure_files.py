"""The files next to the results: executor, environment and categories."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace as changed

from pytest_gaia.report.allure.around import categories, circumstances, executor, properties
from pytest_gaia.report.allure.results import Identity, environment_name, history_id
from pytest_gaia.verdict.evidence import ServiceHealth
from tests.report.evaluated import part

if TYPE_CHECKING:
    from pathlib import Path

SEEN = (ServiceHealth("gateway", "ready"), ServiceHealth("nats", "disabled"), ServiceHealth("chat", "unreachable"))

GITHUB = {
    "GITHUB_ACTIONS": "true",
    "GITHUB_SERVER_URL": "https://github.example",
    "GITHUB_REPOSITORY": "gaia/platform",
    "GITHUB_WORKFLOW": "promote",
    "GITHUB_RUN_NUMBER": "42",
    "GITHUB_RUN_ID": "4711",
}
GITLAB = {
    "GITLAB_CI": "true",
    "CI_PROJECT_URL": "https://gitlab.example/gaia",
    "CI_PIPELINE_IID": "7",
    "CI_JOB_NAME": "staging",
    "CI_JOB_URL": "https://gitlab.example/gaia/-/jobs/1",
}
JENKINS = {
    "JENKINS_URL": "https://ci.example/",
    "BUILD_NUMBER": "12",
    "BUILD_TAG": "jenkins-gaia-12",
    "BUILD_URL": "https://ci.example/job/gaia/12/",
}


@pytest.mark.parametrize(
    ("environ", "shown"),
    [
        (
            GITHUB,
            {
                "name": "GitHub Actions",
                "type": "github",
                "url": "https://github.example/gaia/platform",
                "buildOrder": 42,
                "buildName": "promote #42",
                "buildUrl": "https://github.example/gaia/platform/actions/runs/4711",
            },
        ),
        (
            GITLAB,
            {
                "name": "GitLab CI",
                "type": "gitlab",
                "url": "https://gitlab.example/gaia",
                "buildOrder": 7,
                "buildName": "staging #7",
                "buildUrl": "https://gitlab.example/gaia/-/jobs/1",
            },
        ),
        (
            JENKINS,
            {
                "name": "Jenkins",
                "type": "jenkins",
                "url": "https://ci.example/",
                "buildOrder": 12,
                "buildName": "jenkins-gaia-12",
                "buildUrl": "https://ci.example/job/gaia/12/",
            },
        ),
        ({}, {"name": "local", "type": "local"}),
        # No link and no number is made up of what is missing.
        ({"GITHUB_ACTIONS": "true"}, {"name": "GitHub Actions", "type": "github", "buildName": "run"}),
        ({"GITLAB_CI": "true"}, {"name": "GitLab CI", "type": "gitlab", "buildName": "job"}),
    ],
    ids=["github", "gitlab", "jenkins", "none", "github without values", "gitlab without values"],
)
def test_the_executor_comes_from_ci(environ: dict[str, str], shown: dict[str, Any]) -> None:
    assert executor(environ, "staging: PROMOTE") == shown | {"reportName": "staging: PROMOTE"}


def test_an_invalid_build_number_is_omitted() -> None:
    assert "buildOrder" not in executor(JENKINS | {"BUILD_NUMBER": "12-rc"}, "")


VALUES = {
    "plain": "value",
    "a key": " begins with a space",
    "a:b=c": "C:\\temp\nsecond line\ttab",
    "comment": "# no comment",
    "letters": "grün → 🚀",
}


def unescaped(text: str) -> dict[str, str]:
    """Read properties as java.util.Properties documents it."""
    found = {}
    for line in text.splitlines():
        key, value = re.fullmatch(r"((?:\\.|[^\\=])*)=(.*)", line).groups()  # type: ignore[union-attr]  # as it is written
        found[_plain(key)] = _plain(value)
    return found


def _plain(text: str) -> str:
    named = {"n": "\n", "t": "\t", "r": "\r"}
    text = re.sub(r"\\u([0-9a-f]{4})|\\(.)", lambda m: chr(int(m[1], 16)) if m[1] else named.get(m[2], m[2]), text)
    return text.encode("utf-16", "surrogatepass").decode("utf-16")


def test_properties_keep_every_character() -> None:
    written = properties(VALUES)

    assert written.isascii()
    assert len(written.splitlines()) == len(VALUES)
    assert unescaped(written) == VALUES


def first_category(status: str, message: str) -> str:
    """Return the category that a result falls into, and check that Allure 2 and 3 read the expressions alike."""
    for each in categories():
        whole = re.fullmatch(each["messageRegex"], message) is not None
        found = re.search(each["messageRegex"], message) is not None
        assert whole == found, each["name"]
        if whole and status in each["matchedStatuses"]:
            return str(each["name"]).partition(":")[0]
    return ""


@pytest.mark.parametrize(
    ("status", "message", "category"),
    [
        ("failed", "AssertionError: 1 == 2\nassert 1 == 2", "Blocking failure"),
        ("broken", "ValueError: broken", "Blocking failure"),
        ("broken", "gaia: crashed: worker 'gw0' crashed", "Blocking failure"),
        ("failed", "gaia: skipped, and no expectation covers that: later", "Blocking failure"),
        ("failed", "AssertionError: x\n\ngaia: expected failure\nexpectation: a: b\nissue: c", "Expected failure"),
        ("skipped", "AssertionError: x\n\ngaia: expected failure\nexpectation: a: b\nissue: c", "Expected failure"),
        ("failed", "gaia: unexpected pass: expected to fail: a", "Unexpected pass"),
        ("failed", "AssertionError: x\n\ngaia: tolerated", "Tolerated failure"),
        ("skipped", "gaia: not applicable: no database", "Not applicable"),
        ("unknown", "gaia: incomplete: the run ended before the test completed", "Not run"),
        ("broken", "gaia: incomplete: the run ended before the test completed", "Not run"),
        ("unknown", "gaia: incomplete: the run ended before\ngaia: infrastructure: gateway", "Infrastructure"),
        ("broken", "pytest_gaia.errors.Unreachable: gateway cannot be reached", "Infrastructure"),
        (
            "failed",
            "AssertionError: x\n\ngaia: failed: expectation a did not match: status 500, expected 404",
            "Expected failure with another cause",
        ),
        ("passed", "", ""),
        ("skipped", "gaia: skipped: later", ""),
    ],
)
def test_every_result_except_a_pass_has_a_category(status: str, message: str, category: str) -> None:
    assert first_category(status, message) == category


def test_expressions_mean_the_same_to_javascript(tmp_path: Path) -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("there is no Node here to ask")
    script = tmp_path / "ask.js"
    script.write_text(
        "const [all, texts] = JSON.parse(require('fs').readFileSync(0));"
        "console.log(JSON.stringify(all.map(c => texts.map(t => new RegExp(c.messageRegex).test(t)))))"
    )
    texts = [
        "AssertionError",
        "x\n\ngaia: expected failure\nrule: a",
        "gaia: failed: expectation a did not match: b",
        "",
    ]

    asked = subprocess.run(
        [node, script], check=True, input=json.dumps([categories(), texts]), capture_output=True, text=True
    )

    assert json.loads(asked.stdout) == [
        [re.search(each["messageRegex"], text) is not None for text in texts] for each in categories()
    ]


@pytest.mark.parametrize(
    ("node", "name", "full_name", "case"),
    [
        ("suites/a/test_b.py::test_c", "test_c", "suites.a.test_b#test_c", ""),
        ("suites/a/test_b.py::T::U::test_c", "test_c", "suites.a.test_b.T.U#test_c", ""),
        ("test_b.py::test_c[x::y[1]/z]", "test_c[x::y[1]/z]", "test_b#test_c", "x::y[1]/z"),
        ("suites/a/test_b.py", "suites/a/test_b.py", "suites.a.test_b", ""),
        ("suites/a", "suites/a", "suites.a", ""),
    ],
)
def test_a_node_id_has_its_parts(node: str, name: str, full_name: str, case: str) -> None:
    identity = Identity.of(node)

    assert (identity.name, identity.full_name, identity.case) == (name, full_name, case)


def test_histories_differ_by_node_and_environment() -> None:
    simulated = environment_name("staging", simulated=True)
    known = {history_id(node, where) for node in ("a", "b") for where in ("staging", "production", simulated)}

    assert len(known) == 6


def test_the_services_of_a_run_are_those_of_its_environment() -> None:
    evaluated = part()
    evaluated = replace(evaluated, start=changed(evaluated.start, services=SEEN))

    assert circumstances(evaluated, "staging", "")["services"] == "gateway, chat"
