"""Scripts of CI: whose failure goes unnoticed, and what is a deed and what only a word."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_gaia.files.toml import Place
from pytest_gaia.preflight._checks.pipelines import automatic_rollback, ignored_failure, rebuilt_per_environment
from pytest_gaia.preflight._workflows import deploying
from pytest_gaia.preflight._workflows.model import Command
from pytest_gaia.preflight._workflows.scripts import BASH, SH, Shell, fates, names_read
from pytest_gaia.preflight._workflows.shell import TooDeep, parse, read
from tests.preflight.test_guarding import files

if TYPE_CHECKING:
    from pathlib import Path

BARE = Shell(errexit=False, pipefail=False)


def lost(script: str, shell: Shell = SH, file: str = "") -> list[str]:
    return [
        each.words[0] for each in fates(read(script)[0], shell, names_read(file)).lost if each.words[:1] == ["pytest"]
    ]


@pytest.mark.parametrize(
    "script",
    [
        "pytest | tee log",
        "pytest | tee log\necho ${PIPESTATUS[0]}",
        "pytest -q \\\n  | tee log",
        "pytest |\n  tee log",
        "time pytest | cat",
        "if ! pytest | tee log; then exit 1; fi",
        "pytest || true",
        "pytest || :",
        "pytest || exit 0",
        "pytest || echo failed",
        "pytest ||\n  echo failed",
        "pytest || { echo failed; }",
        "pytest > log || cat log",
        "pytest || rc=$?\necho $rc",
        "pytest || echo 'failed=1' >> $GITHUB_OUTPUT",
        "(pytest) || true",
        "{ pytest; echo; } || true",
        "pytest && echo passed\necho done",
        "set +e\npytest\necho done",
        "set +o errexit\npytest\necho done",
        "set +e\npytest\nrc=$?\nset -e\necho $rc",
        "set +e\npytest\necho $?",
        "if ! pytest; then echo failed; fi",
        "if pytest; then echo passed; else echo failed; fi",
        "if pytest; then echo passed; fi",
        "! pytest",
        "pytest &",
        "pytest &\nwait",
        "for i in 1 2 3; do pytest && break; sleep 5; done",
        "while read x; do pytest $x || true; done < list",
        "case $x in\n a) pytest || true;;\n *) echo;;\nesac",
    ],
)
def test_a_failure_that_changes_nothing_is_lost(script: str) -> None:
    assert lost(script) == ["pytest"]


@pytest.mark.parametrize(
    "script",
    [
        "pytest",
        "pytest; echo done",
        "pytest\necho done",
        "cd x && pytest",
        "pytest && echo passed",
        "set -o pipefail\npytest | tee log",
        "set -euo pipefail; pytest 2>&1 | tee log",
        "pytest | tee log; exit ${PIPESTATUS[0]}",
        "pytest || exit 1",
        "pytest || exit",
        "pytest || { echo failed; exit 1; }",
        "pytest || (cat log && false)",
        "pytest || pytest --last-failed",
        "pytest || rc=$?\nexit $rc",
        'pytest || failed=1\nif [ "$failed" = 1 ]; then exit 1; fi',
        "set +e\npytest",
        "set +e; pytest; exit $?",
        "set +e\npytest\nrc=$?\nset -e\nexit $rc",
        "set +e\npytest\nrc=$?\nif (( rc != 0 )); then exit 1; fi",
        "if ! pytest; then echo failed; exit 1; fi",
        "if pytest; then echo passed; else exit 1; fi",
        'if pytest; then ok=1; fi\n[ "$ok" = 1 ]',
        "! pytest && exit 1",
        "until pytest; do sleep 5; done",
        "for i in 1 2 3; do pytest && exit 0; sleep 5; done; exit 1",
        "pytest & pid=$!\nwait $pid",
        "t() { pytest; }\nt",
        "x=$(pytest)\necho $x",
    ],
)
def test_a_failure_that_ends_the_script_is_not(script: str) -> None:
    assert lost(script) == []


def test_the_shell_and_the_rest_of_the_file_decide() -> None:
    output = "pytest || echo 'failed=1' >> $GITHUB_OUTPUT"

    assert lost("pytest | tee log", BASH) == []
    assert lost("pytest\necho", BARE) == ["pytest"]
    assert lost("set -e\npytest\necho", BARE) == []
    assert lost(output, file="if: steps.x.outputs.failed == 1") == []


def test_a_secret_in_a_command_is_not_shown(tmp_path: Path) -> None:
    text = "on: push\njobs:\n  test:\n    steps:\n      - run: API_KEY='hunter 2' pytest || true\n"

    (found,) = ignored_failure.look(files(tmp_path, text))

    assert "hunter" not in found.text


@pytest.mark.parametrize(
    ("shell", "found"),
    [
        ("", True),
        ("shell: bash", False),
        ("shell: sh", True),
        ("shell: bash -l {0}", True),
        ("shell: bash -eo pipefail {0}", False),
        ("shell: /usr/bin/bash -e {0}", True),
        ("shell: pwsh", False),
    ],
)
@pytest.mark.parametrize("level", ["step", "job", "workflow"])
def test_github_s_default_shell_has_no_pipefail(shell: str, found: bool, level: str, tmp_path: Path) -> None:
    defaults = f"defaults: {{run: {{'shell': '{shell.partition(': ')[2]}'}}}}" if shell else "name: x"
    text = (
        f"on: push\n{defaults if level == 'workflow' else 'env: {}'}\njobs:\n  test:\n"
        f"    {defaults if level == 'job' else 'env: {}'}\n    steps:\n"
        f"      - run: pytest | tee log\n        {shell if shell and level == 'step' else 'name: x'}\n"
    )

    assert len(list(ignored_failure.look(files(tmp_path, text)))) == found


def test_gitlab_s_shell_has_pipefail_and_one_shell_runs_all_of_a_job(tmp_path: Path) -> None:
    text = "test:\n  script:\n    - pytest | tee log\nother:\n  before_script: [set +e]\n  script:\n    - pytest\n    - echo\n"

    found = list(ignored_failure.look(files(tmp_path, gitlab=text)))

    assert [each.place.line for each in found] == [7]


def test_windows_has_another_shell(tmp_path: Path) -> None:
    text = "on: push\njobs:\n  test:\n    runs-on: windows-latest\n    steps:\n      - run: pytest | tee log\n"

    assert list(ignored_failure.look(files(tmp_path, text))) == []


def test_what_is_lost_is_named_at_its_line_and_other_programs_of_the_line_do_not_count(tmp_path: Path) -> None:
    text = "on: push\njobs:\n  test:\n    steps:\n      - run: |\n          rm x || true; pytest\n          pip install pytest || true\n          pytest || echo no\n"

    (found,) = ignored_failure.look(files(tmp_path, text))

    assert (found.place.line, found.text) == (8, "the job test continues when this fails: pytest || echo no")


FAILED = """\
on: push
jobs:
  production:
    environment: production
    steps:
      - if: failure()
        name: {name}
        {does}
"""


@pytest.mark.parametrize(
    ("name", "does", "found"),
    [
        ("x", "run: echo 'Please rollback production'", False),
        ("x", "run: echo ::error::rollback needed; exit 1", False),
        ("Roll back", "run: echo 'Run the rollback workflow'", False),
        ("Notify about the rollback", "run: ci/notify", False),
        ("x", "run: gh issue create --title 'rollback needed'", False),
        ("x", "run: 'curl -d ''{\"text\": \"rollback now\"}'' $HOOK'", False),
        ("x", "{uses: slack/send@v1, with: {payload: please rollback}}", False),
        ("x", "run: gaia rollback production --confirm production", True),
        ("x", "run: echo rolling back && ./rollback.sh", True),
        ("x", "run: bash -c 'gaia rollback production'", True),
        ("x", "run: gh workflow run rollback.yml", True),
        ("Roll back", "run: ci/undo", True),
        ("x", "{uses: superfly/flyctl-actions@1.5, with: {args: releases rollback -a gaia-production}}", True),
        ("x", "uses: ./.github/actions/rollback", True),
    ],
)
def test_only_what_rolls_back_is_an_automatic_rollback(name: str, does: str, found: bool, tmp_path: Path) -> None:
    does = does.strip("{}").replace(", with", "\n        with", 1) if does.startswith("{") else does
    does = does + "}" if "with: {" in does else does

    assert len(list(automatic_rollback.look(files(tmp_path, FAILED.format(name=name, does=does))))) == found


@pytest.mark.parametrize(
    ("script", "found"),
    [
        ("gaia full-test production || gaia rollback production", True),
        ("if ! curl -f $URL; then\n  gaia rollback production\nfi", True),
        ("if curl -f $URL; then\n  echo\nelse\n  gaia rollback production\nfi", True),
        ("gaia full-test production || echo 'gaia rollback production'", False),
        ("if [ -n '$X' ]; then\n  gaia rollback production\nfi", False),
    ],
)
def test_a_script_rolls_back_by_itself_too(script: str, found: bool, tmp_path: Path) -> None:
    body = script.replace("\n", "\n          ")
    text = f"on: push\njobs:\n  production:\n    steps:\n      - run: |\n          {body}\n"

    assert len(list(automatic_rollback.look(files(tmp_path, text)))) == found


@pytest.mark.parametrize(
    ("text", "is_deployment", "is_test"),
    [
        ("echo now fly deploy", False, False),
        ('echo "run gaia deploy production"', False, False),
        ('git commit -m "fly deploy"', False, False),
        ("cat <<END > run.sh\ngaia deploy production\npytest\nEND", False, False),
        ("ssh host <<END\ngaia deploy production\nEND", True, False),
        ("bash -c 'gaia deploy staging && pytest'", True, True),
        ('echo "$(fly deploy)"', True, False),
        ("flyctl deploy --build-only -c fly.auth.production.toml", False, False),
        ("flyctl deploy --build-only=false", True, False),
        ("gaia deploy production --dry-run", False, False),
        ("fly deploy --help && fly deploy", True, False),
        ("pip install pytest", False, False),
        ("python -m pip install -U pytest && pytest", False, True),
        ("python -m pytest", False, True),
    ],
)
def test_a_word_is_no_deed(text: str, is_deployment: bool, is_test: bool) -> None:
    commands = [Command(line.text, Place("ci.yml", 1)) for line in read(text)[1]]

    assert any(map(deploying.deploys, commands)) == is_deployment
    assert any(map(deploying.tests, commands)) == is_test


def test_an_image_that_is_only_built_is_not_built_for_production(tmp_path: Path) -> None:
    text = "on: pull_request\njobs:\n  check:\n    steps:\n      - run: flyctl deploy --build-only -c fly.web.production.toml\n"

    assert list(rebuilt_per_environment.look(files(tmp_path, text))) == []


@pytest.mark.parametrize("part", ["( ", "{ ", "if ", "f() "])
def test_a_script_that_is_nested_without_end_is_not_analysed(part: str) -> None:
    with pytest.raises(TooDeep):
        parse(read(part * 5000)[0])

    assert fates(read(part * 5000)[0], SH, frozenset()).lost == ()


@pytest.mark.parametrize(
    "part", ["((", "$(", "'", '"', "`", "${{", "a=(", "<<E\n", "case ", "a && ", "a || b=1\n", "a &\n", "elif "]
)
def test_a_script_of_any_signs_is_read_once(part: str) -> None:
    fates(read("if a; then b; " + part * 10_000)[0], SH, frozenset())
