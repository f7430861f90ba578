"""CI files as they are read: jobs, what they need, and their commands with lines."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_gaia.errors import ConfigError
from pytest_gaia.files.toml import Place
from pytest_gaia.preflight._workflows.deploying import deployed_by, deploys
from pytest_gaia.preflight._workflows.model import Command, Job
from pytest_gaia.preflight.reading import read_workflows

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_gaia.preflight._workflows.model import Workflow

GITHUB = """\
name: All
on:
  workflow_run:
    workflows: [Staging]
env: {REGION: lax}
jobs:
  one:
    runs-on: x
    env:
      A: 1
    steps:
      - uses: actions/checkout@v5
        with: {ref: main, path: src}
      - name: Deploy
        env: {B: two}
        run: |
          # a comment
          set -e
          flyctl deploy \\
            -c fly.auth.staging.toml \\
            --remote-only   # another

          while ! curl -sf "$URL"; do
            sleep 2
          done
          sleep 9
  two:
    needs: one
    if: ${{ always() && needs.one.result == 'failure' }}
    environment: {name: production}
    steps:
      - run: 'echo "a # b"'
  three:
    needs: [two]
    uses: ./.github/workflows/other.yml
    with: {environment: production}
"""

GITLAB = """\
.base:
  variables: {C: three}
  script:
    - flyctl deploy -a gaia-auth-staging
    - - nested
      - list
stages: [first, second]
a:
  stage: first
  extends: .base
b:
  stage: second
  script: one line
  rules:
    - when: on_failure
c:
  stage: second
  needs: [{job: b}]
  when: manual
  resource_group: x
  script: |
    first
    second
"""


def read(directory: Path, text: str, path: str = ".github/workflows/all.yml") -> Workflow:
    (directory / ".github" / "workflows").mkdir(parents=True, exist_ok=True)
    (directory / path).write_text(text, encoding="utf-8")
    (workflow,) = read_workflows(directory)
    return workflow


def job(workflow: Workflow, name: str) -> Job:
    found = workflow.job(name)
    assert found is not None
    return found


def test_commands_keep_their_lines(tmp_path: Path) -> None:
    workflow = read(tmp_path, GITHUB)

    found = {each.text: each for each in job(workflow, "one").commands}
    lines = {text: each.place.line for text, each in found.items() if not text.startswith("uses")}
    assert lines == {
        "set -e": 18,
        "flyctl deploy -c fly.auth.staging.toml --remote-only": 19,
        'while ! curl -sf "$URL"; do': 23,
        "sleep 2": 24,
        "done": 25,
        "sleep 9": 26,
    }
    assert "uses actions/checkout@v5 ref=main path=src" in found
    assert found["sleep 2"].in_loop
    assert not found["sleep 9"].in_loop
    assert {each.step for each in found.values()} == {"", "Deploy"}


def test_jobs_know_what_is_before_them(tmp_path: Path) -> None:
    workflow = read(tmp_path, GITHUB)

    assert [each.name for each in workflow.before(job(workflow, "three"))] == ["two", "one"]
    assert (workflow.name, workflow.after) == ("All", ("Staging",))
    assert job(workflow, "two").environment == "production"
    assert all(each.on_failure for each in job(workflow, "two").commands)
    assert job(workflow, "two").commands[0].text == 'echo "a # b"'
    assert job(workflow, "three").commands[0].text == "uses ./.github/workflows/other.yml environment=production"


def test_variables_of_all_levels_are_read(tmp_path: Path) -> None:
    workflow = read(tmp_path, GITHUB)

    assert [(each.name, each.value, each.place.line) for each in workflow.variables] == [
        ("REGION", "lax", 5),
        ("A", "1", 10),
        ("B", "two", 15),
    ]


@pytest.mark.parametrize(
    ("trigger", "by_hand"),
    [
        ("workflow_dispatch", True),
        ("[workflow_dispatch, workflow_call]", True),
        ("{workflow_dispatch: {}, push: {}}", False),
        ("push", False),
    ],
)
def test_a_workflow_that_only_people_start_is_by_hand(trigger: str, by_hand: bool, tmp_path: Path) -> None:
    workflow = read(tmp_path, f"on: {trigger}\njobs:\n  a: {{steps: []}}\n")

    assert job(workflow, "a").by_hand is by_hand


def test_gitlab_has_stages_templates_and_lists_in_lists(tmp_path: Path) -> None:
    workflow = read(tmp_path, GITLAB, ".gitlab-ci.yml")

    assert [each.name for each in workflow.jobs] == ["a", "b", "c"]
    a, b, c = workflow.jobs
    assert [each.text for each in a.commands] == ["flyctl deploy -a gaia-auth-staging", "nested", "list"]
    assert deployed_by(a) == {"staging"}
    assert b.needs == ("a",)
    assert [(each.text, each.on_failure) for each in b.commands] == [("one line", True)]
    assert (c.needs, c.by_hand, c.alone) == (("b",), True, True)
    assert [(each.text, each.place.line) for each in c.commands] == [("first", 22), ("second", 23)]
    assert [each.name for each in workflow.variables] == ["C"]


@pytest.mark.parametrize(
    "text",
    ["flyctl deploy", "fly -a x deploy --image y", "cd svc && fly deploy", "gaia deploy staging", "gaia deploy-and-test dev",
     "./scripts/deploy.sh --env dev", "scripts/manage.sh deploy-and-test staging", "pytest --gaia-deploy",
     "uses superfly/flyctl-actions@1.5 args=deploy -c fly.toml", "gaia promote staging --bundle b.json",
     "ci/gate promote staging --bundle b.json"],
)  # fmt: skip
def test_what_deploys(text: str) -> None:
    assert deploys(Command(text, Place("ci.yml", 1)))


@pytest.mark.parametrize(
    "text",
    [
        "fly status",
        "echo deploy",
        "gaia config check",
        "butterfly deploy",
        "uses actions/deploy-pages@v4",
        "fly logs; echo deployed",
        "gaia promote staging --bundle b.json --plan",
        "ci/gate make-bundle b.json",
        "gaia gate staging --bundle b.json",
    ],
)
def test_what_does_not(text: str) -> None:
    assert not deploys(Command(text, Place("ci.yml", 1)))


@pytest.mark.parametrize(
    ("command", "environment", "name", "found"),
    [
        ("fly deploy -c fly.auth.prod.toml", None, "x", {"production"}),
        ("gaia deploy staging", "production", "x", {"staging"}),
        ("fly deploy", "production", "deploy-staging", {"production"}),
        ("fly deploy", None, "deploy_staging", {"staging"}),
        ("fly deploy", "${{ inputs.environment }}", "x", set()),
    ],
)
def test_the_nearest_word_says_the_environment(
    command: str, environment: str | None, name: str, found: set[str]
) -> None:
    place = Place("ci.yml", 1)

    assert deployed_by(Job(name, place, environment=environment, commands=(Command(command, place),))) == found


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("jobs: [", "not valid YAML"),
        ("- a\n", "expected a table with jobs"),
        ("jobs:\n  a: 1\n  a: 2\n", "is duplicated"),
    ],
)
def test_a_file_that_is_no_ci_file_is_told_with_its_line(text: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        read(tmp_path, text)

    assert str(caught.value).startswith(".github/workflows/all.yml:")


@pytest.mark.parametrize(
    "text", ["", "# nothing\n", "jobs:\n", "jobs: {a: }\n", "on: push\njobs: {a: {steps: [1, x]}}\n"]
)
def test_a_file_with_nothing_in_it_has_no_commands(text: str, tmp_path: Path) -> None:
    assert not [each for each in read(tmp_path, text).jobs if each.commands and each.commands[0].text.strip() != "uses"]


def test_a_project_below_its_repository_uses_the_repository_s_ci(tmp_path: Path) -> None:
    project = tmp_path / "services"
    project.mkdir()
    (tmp_path / ".github" / "workflows").mkdir(parents=True)
    (tmp_path / ".github" / "workflows" / "a.yaml").write_text("jobs: {}\n", encoding="utf-8")

    assert read_workflows(project) == ()
    (tmp_path / ".git").mkdir()
    assert [each.file for each in read_workflows(project)] == [".github/workflows/a.yaml"]
