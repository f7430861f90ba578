"""Which jobs can deploy to production although staging did not succeed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_gaia.preflight._checks.pipelines import automatic_rollback, unguarded_production, untested_staging
from pytest_gaia.preflight._workflows.conditions import evaluate, filled, outcomes
from pytest_gaia.preflight.files import DeployFiles
from pytest_gaia.preflight.reading import read_workflows

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_gaia.preflight._workflows.conditions import Value
    from pytest_gaia.preflight.findings import Found

GITHUB = """\
on: {on}
jobs:
  build:
    steps: [{{run: make}}]
  staging:
    needs: build
    environment: staging
    steps: [{{run: gaia deploy-and-test staging}}]
  e2e:
    needs: staging
    if: {e2e}
    steps: [{{run: pytest --gaia-env=staging}}]
  production:
    needs: {needs}
    if: {condition}
    environment: production
    steps: [{{run: gaia deploy-and-test production}}]
"""
UPSTREAM = """\
name: Staging
on: push
jobs:
  staging:
    steps: [{run: gaia deploy-and-test staging}]
"""
DOWNSTREAM = """\
on:
  {on}
jobs:
  gate:
    if: {gate}
    steps: [{{run: echo}}]
  production:
    needs: gate
    if: {condition}
    steps: [{{run: gaia deploy-and-test production}}]
"""
MATRIX = """\
on: push
jobs:
  deploy:
    strategy: {{matrix: {matrix}}}
    environment: ${{{{ matrix.env }}}}
    steps:
      - run: gaia deploy-and-test ${{{{ matrix.env }}}} {more}
"""
STEPS = """\
on: push
jobs:
  deploy:
    steps:
{steps}
"""
GITLAB = """\
stages: [staging, approve, production]
staging:
  stage: staging
  {staging}
  script: gaia deploy-and-test staging
production:
  stage: production
  {production}
  script: gaia deploy-and-test production
"""
STAGING_STEP = "      - {run: gaia deploy-and-test staging, id: staging}\n"
CONCLUSION = "github.event.workflow_run.conclusion == 'success'"


def files(directory: Path, *texts: str, gitlab: str = "") -> DeployFiles:
    folder = directory / ".github" / "workflows"
    folder.mkdir(parents=True, exist_ok=True)
    for number, text in enumerate(texts):
        (folder / f"{number}.yml").write_text(text, encoding="utf-8")
    if gitlab:
        (directory / ".gitlab-ci.yml").write_text(gitlab, encoding="utf-8")
    return DeployFiles(workflows=read_workflows(directory))


def unguarded(directory: Path, *texts: str, gitlab: str = "") -> list[Found]:
    given = files(directory, *texts, gitlab=gitlab)
    assert list(automatic_rollback.look(given)) == []
    return list(unguarded_production.look(given))


def github(condition: str = "success()", *, needs: str = "staging", e2e: str = "success()", on: str = "push") -> str:
    return GITHUB.format(condition=condition, needs=needs, e2e=e2e, on=on)


@pytest.mark.parametrize(
    "condition",
    [
        "always() && (needs.staging.result == 'success' || needs.staging.result == 'skipped')",
        "always() && needs.staging.result == 'skipped'",
        "always() && needs.staging.result != 'failure'",
        'always() && contains(fromJSON(\'["success", "skipped"]\'), needs.staging.result)',
        "always() && !contains(needs.*.result, 'failure')",
        "always() && !contains(join(needs.*.result, ','), 'failure')",
        "always() && !contains(needs.*.result, 'failure') && !contains(needs.*.result, 'cancelled')",
        "'!failure()'",
        "${{ !failure() && !cancelled() }}",
        "success() || failure()",
        "always()",
        "${{ always() }}",
        "'!cancelled()'",
        "${{ always() }} && needs.staging.result == 'success'",
        "always() && ${{ needs.staging.result == 'success' }}",
        "always() && (needs.staging.result == 'success' || inputs.force)",
        "always() && needs.staging.outputs.url != ''",
        "always() && needs.build.result == 'success'",
        "always() && github.ref == 'refs/heads/main'",
        "always() && (((",
    ],
)
def test_a_condition_that_lets_another_result_through_is_found_and_the_advice_closes_it(
    condition: str, tmp_path: Path
) -> None:
    (found,) = unguarded(tmp_path, github(condition, needs="[build, staging]"))

    assert "although staging" in found.text
    if "other text" in found.fix:
        closed = "always() && needs.staging.result == 'success'"
    else:
        assert "add && needs.staging.result == 'success'" in found.fix
        bare = condition.strip("'") if condition.startswith("'") else condition
        closed = f"({bare.replace('${{', '').replace('}}', '')}) && needs.staging.result == 'success'"
    assert condition.endswith("(((") or unguarded(tmp_path, github(closed, needs="[build, staging]")) == []


@pytest.mark.parametrize(
    "condition",
    [
        "always() && needs.staging.result == 'success'",
        "${{ always() && needs['staging'].result == 'success' }}",
        "always() && contains(fromJSON('[\"success\"]'), needs.staging.result)",
        "'!cancelled() && needs.staging.result == ''Success'''",
        "always() && (needs.build.result == 'success' && needs.staging.result == 'success')",
        "always() && !contains(needs.*.result, 'failure') && !contains(needs.*.result, 'skipped') && !contains(needs.*.result, 'cancelled')",
        "github.ref == 'refs/heads/main'",
        "success() && inputs.deploy",
        "needs.staging.result == 'skipped'",
        "always() && github.event_name == 'workflow_dispatch'",
        "false",
    ],
)
def test_a_condition_that_requires_success_is_not(condition: str, tmp_path: Path) -> None:
    assert unguarded(tmp_path, github(condition, needs="[build, staging]")) == []


@pytest.mark.parametrize(
    ("needs", "e2e", "condition", "found"),
    [
        ("[staging, e2e]", "success()", "always() && needs.staging.result == 'success'", "e2e failed or was cancelled"),
        ("e2e", "success()", "always() && needs.e2e.result == 'success'", ""),
        ("e2e", "always()", "always() && needs.e2e.result == 'success'", "staging failed"),
        ("e2e", "always() && needs.staging.result == 'success'", "always() && needs.e2e.result == 'success'", ""),
        ("[staging, e2e]", "always()", "success()", ""),
        ("build", "success()", "success()", "needs no job that deploys to staging"),
    ],
)
def test_every_job_of_staging_counts_along_the_chain(
    needs: str, e2e: str, condition: str, found: str, tmp_path: Path
) -> None:
    texts = [each.text for each in unguarded(tmp_path, github(condition, needs=needs, e2e=e2e))]

    assert len(texts) == bool(found)
    assert all(found in text for text in texts)


@pytest.mark.parametrize(
    ("on", "gate", "condition", "fix"),
    [
        ("workflow_run: {workflows: [Staging]}", "true", "true", f"add && {CONCLUSION}"),
        ("workflow_run: {workflows: [Staging]}", "true", CONCLUSION, ""),
        ("workflow_run: {workflows: [Staging]}", CONCLUSION, "success()", ""),
        ("workflow_run: {workflows: [Staging]}", CONCLUSION, "always()", f"add && {CONCLUSION}"),
        ("{push: , workflow_run: {workflows: [Staging]}}", "true", "true", "with workflow_run of"),
        ("{push: , workflow_run: {workflows: [Staging]}}", "true", CONCLUSION, ""),
        ("{push: , workflow_dispatch: }", "true", "github.event_name == 'workflow_dispatch'", ""),
        ("push:", "true", "true", 'with workflow_run of the workflow "Staging"'),
    ],
)
def test_a_workflow_that_follows_another_needs_its_success(
    on: str, gate: str, condition: str, fix: str, tmp_path: Path
) -> None:
    found = unguarded(tmp_path, UPSTREAM, DOWNSTREAM.format(on=on, gate=gate, condition=condition))

    assert [fix in each.fix for each in found] == [True] * bool(fix)


@pytest.mark.parametrize(
    ("matrix", "more", "is_found"),
    [
        ("{env: [staging, production]}", "", True),
        ("{include: [{env: staging, app: a}, {env: production, app: b}]}", "", True),
        ("{env: [staging], python: ['3.12'], include: [{env: staging, size: 1}, {env: production}]}", "", True),
        ("{python: ['3.12'], env: [dev, staging]}", "", False),
        ("{env: [staging]}", "&& gaia deploy-and-test production", False),
        ("'${{ fromJSON(inputs.all) }}'", "", False),
    ],
)
def test_a_matrix_deploys_everywhere_at_once(matrix: str, more: str, is_found: bool, tmp_path: Path) -> None:
    found = unguarded(tmp_path, MATRIX.format(matrix=matrix, more=more))

    assert [each.text for each in found] == [
        "the job deploy deploys to staging and to production at the same time, with a matrix"
    ] * is_found


@pytest.mark.parametrize(
    ("steps", "is_found"),
    [
        (STAGING_STEP + "      - run: gaia deploy-and-test production", False),
        ("      - run: gaia deploy-and-test staging && gaia deploy-and-test production", False),
        ("      - run: gaia deploy-and-test production\n" + STAGING_STEP, True),
        (STAGING_STEP + "      - {run: gaia deploy-and-test production, if: always()}", True),
        (STAGING_STEP + "      - {run: gaia deploy-and-test production, if: always() && steps.staging.outcome == 'success'}", False),
        (
            STAGING_STEP.replace("id: staging", "if: github.ref == 'refs/heads/develop'")
            + "      - {run: gaia deploy-and-test production, if: github.ref == 'refs/heads/main'}",
            True,
        ),
    ],
)  # fmt: skip
def test_steps_of_one_job_are_in_order_too(steps: str, is_found: bool, tmp_path: Path) -> None:
    assert len(unguarded(tmp_path, STEPS.format(steps=steps))) == is_found


@pytest.mark.parametrize(
    ("staging", "production", "fix"),
    [
        ("when: on_success", "when: on_success", ""),
        ("when: on_success", "when: manual", ""),
        ("when: on_success", "when: always", "remove when: always"),
        ("when: on_success", "rules: [{if: $A, when: manual}, {when: on_success}]", ""),
        ("when: on_success", "rules: [{if: $A, when: manual}, {when: always}]", "remove when: always"),
        ("when: manual", "when: on_success", "write allow_failure: false in staging"),
        ("when: manual", "needs: [staging]", ""),
        ("when: manual\n  allow_failure: false", "when: on_success", ""),
        ("rules: [{when: manual}]", "when: on_success", ""),
        ("rules: [{when: manual, allow_failure: true}]", "when: on_success", "write allow_failure: false in staging"),
        ("when: on_success", "needs: []", "add staging to its needs:"),
    ],
)
def test_gitlab(staging: str, production: str, fix: str, tmp_path: Path) -> None:
    text = GITLAB.format(
        staging=staging,
        production=production,
    )

    found = unguarded(tmp_path, gitlab=text)

    assert [each.fix for each in found] == [fix] * bool(fix)


@pytest.mark.parametrize(
    ("deploy", "test", "needs", "is_found"),
    [
        ("gaia deploy staging", "ls", "staging", True),
        ("gaia deploy staging", "ls", "after", True),
        ("gaia deploy staging", "pytest --gaia-env=staging", "after", False),
        ("gaia deploy staging", "pytest --gaia-env=staging", "staging", True),
        ("gaia deploy staging", "ci/smoke", "after", False),
        ("pytest tests/unit && gaia deploy staging", "ls", "staging", False),
        ("gaia deploy staging && pytest", "ls", "staging", False),
        ("gaia promote staging --bundle b.json", "ls", "staging", False),
    ],
)
def test_staging_has_to_be_tested_between(deploy: str, test: str, needs: str, is_found: bool, tmp_path: Path) -> None:
    text = (
        github(needs=needs).replace("gaia deploy-and-test staging", deploy).replace("pytest --gaia-env=staging", test)
    )
    text = text.replace("e2e", "after")

    assert len(list(untested_staging.look(files(tmp_path, text)))) == is_found


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1 == '1' && true", {True}),
        ("null == ''", {True}),
        ("'a' < 'B'", {True}),
        ("'x' < 1", {False}),
        ("startsWith('Release', 'rel')", {True}),
        ("unknown", None),
        ("hashFiles('x')", None),
        ("unknown && false", {False}),
        ("!!!unknown", {True, False}),
        ("'it''s'", {"it's"}),
        ("needs.a.result || 'none'", {"success", "failure"}),
        ("a b", None),
        ("'open", None),
        ("(" * 5000, None),
        ("!" * 5000 + "true", {True}),
    ],
)
def test_an_expression_has_the_values_that_it_can_have(text: str, value: set[object] | None) -> None:
    known: dict[str, Value] = {"needs.a.result": frozenset({"success", "failure"})}

    assert evaluate(text, known) == (None if value is None else frozenset(value))


def test_what_is_known_is_filled_in() -> None:
    text = "fly -c fly.${{ matrix.env }}.toml ${{ matrix.env == 'production' && '--ha' || '' }} ${{ inputs.more }}"

    assert (
        filled(text, {"matrix.env": frozenset({"production"})}) == "fly -c fly.production.toml --ha ${{ inputs.more }}"
    )
    assert outcomes("", {}) == {True, False}
