"""Files for GitHub and pre-commit are valid, safe, and usable without a network."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SHOP = ROOT / "examples" / "shop"


@pytest.mark.parametrize("path", [".github/workflows/ci.yml", "examples/shop/.github/workflows/release.yml"])
def test_workflows_of_this_project_and_of_its_example_are_valid_and_safe(path: str) -> None:
    workflow = ROOT / path
    tools = Path(sys.executable).parent
    for command in (
        ["check-jsonschema", "--builtin-schema", "vendor.github-workflows"],
        ["zizmor", "--offline", "--no-progress", "--persona=pedantic"],
    ):
        done = subprocess.run([tools / command[0], *command[1:], workflow], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_the_forms_for_issues_and_the_hooks_before_a_commit_are_valid() -> None:
    tools = Path(sys.executable).parent
    forms = [ROOT / ".github" / "ISSUE_TEMPLATE" / name for name in ("bug.yml", "feature.yml")]
    for command in (
        ["check-jsonschema", "--builtin-schema", "vendor.github-issue-forms", *map(str, forms)],
        ["check-jsonschema", "--builtin-schema", "vendor.compose-spec", str(SHOP / "docker-compose.yml")],
        ["pre-commit", "validate-config", str(ROOT / ".pre-commit-config.yaml")],
    ):
        done = subprocess.run([tools / command[0], *command[1:]], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_every_hook_before_a_commit_works_offline() -> None:
    text = (ROOT / ".pre-commit-config.yaml").read_text()

    assert text.count("repo:") == text.count("repo: local") == 1
    assert text.count("language:") == text.count("language: system")
