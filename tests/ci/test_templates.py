"""CI templates are valid, safe and without logic, and all their commands exist."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pytest_gaia.cli.app import run
from tests.ci.templates import (
    EDGES,
    GITLAB,
    GITLAB_SHARDS,
    PROMOTE,
    ROLLBACK,
    SHARDS,
    commands,
    document,
    gitlab_jobs,
    install,
    steps,
)
from tests.preflight.sets import changed, look

BIN = Path(sys.executable).parent
WORKFLOWS = [PROMOTE, ROLLBACK]


def tool(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a tool of the virtual environment."""
    return subprocess.run([BIN / arguments[0], *arguments[1:]], capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("schema", "files"),
    [("vendor.github-workflows", [*WORKFLOWS, *SHARDS]), ("vendor.gitlab-ci", [GITLAB, *GITLAB_SHARDS])],
    ids=["github", "gitlab"],
)
def test_a_template_is_what_its_ci_reads(schema: str, files: list[Path]) -> None:
    done = tool("check-jsonschema", "--builtin-schema", schema, *files)

    assert done.returncode == 0, done.stdout + done.stderr


def test_the_workflows_are_safe() -> None:
    done = tool("zizmor", "--offline", "--no-progress", "--persona=pedantic", *WORKFLOWS, *SHARDS)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "No findings to report" in done.stdout + done.stderr


def test_gaia_finds_nothing_wrong_with_them(tmp_path: Path) -> None:
    install(changed(tmp_path))

    assert look(tmp_path) == []


@pytest.mark.parametrize(
    ("file", "old", "new", "check"),
    [
        ("promote.yml", "    environment: production\n", "", "unprotected-production"),
        (
            "promote.yml",
            "    concurrency:\n      group: gaia-staging\n      cancel-in-progress: false\n",
            "",
            "parallel-deployments",
        ),
        ("promote.yml", "--confirm staging\n", "--confirm staging || true\n", "ignored-failure"),
        ("promote.yml", "run: ci/gate promote prod", "run: sleep 60 && ci/gate promote prod", "sleep-as-readiness"),
        (".gitlab-ci.yml", "  resource_group: staging\n", "", "parallel-deployments"),
        (".gitlab-ci.yml", "  environment: production\n", "", "unprotected-production"),
    ],
)
def test_what_a_careless_change_takes_away_is_found(tmp_path: Path, file: str, old: str, new: str, check: str) -> None:
    install(changed(tmp_path))
    path = next(tmp_path.rglob(file))
    text = path.read_text(encoding="utf-8")
    assert text.count(old) == 1
    path.write_text(text.replace(old, new), encoding="utf-8")

    assert check in {finding.check for finding in look(tmp_path)}


def test_each_stage_is_one_job_that_needs_the_one_before() -> None:
    jobs: dict[str, Any] = document(PROMOTE)["jobs"]

    assert {name: job.get("needs") for name, job in jobs.items()} == {"release": None, **EDGES}
    for name in EDGES:
        assert jobs[name]["environment"] == name
        assert jobs[name]["concurrency"] == {"group": f"gaia-{name}", "cancel-in-progress": "false"}
        assert any(f"promote {name} " in step.get("run", "") for step in jobs[name]["steps"])
    theirs = gitlab_jobs()
    assert [name for name in theirs if name != "rollback"] == list(jobs)
    for name, before in EDGES.items():
        assert before in theirs[name]["needs"]
        assert theirs[name]["environment"] == theirs[name]["resource_group"] == name


def test_the_release_is_made_once_and_handed_on() -> None:
    made = [line for _, line in commands() if "create-release" in line or "release create" in line]
    assert made == ["ci/gate create-release release.json"] * 2
    about = [
        line for _, line in commands() if "promote " in line or "--drill" in line or "check " in line or "diff" in line
    ]
    assert about
    assert all("release.json" in line for line in about)


def test_evidence_is_kept_whatever_becomes_of_a_job() -> None:
    for path in WORKFLOWS:
        for name, job in document(path)["jobs"].items():
            last = job["steps"][-1]
            assert last["uses"].startswith("actions/upload-artifact@")
            assert last["with"]["include-hidden-files"] == "true"
            assert ".gaia" in last["with"]["path"]
            assert name == "release" or last["if"] == "always()"
    for name, gitlab in gitlab_jobs().items():
        assert name == "release" or gitlab["artifacts"]["when"] == "always"
        assert any(path.startswith(".gaia/") for path in gitlab["artifacts"]["paths"])


@pytest.mark.parametrize("path", [*WORKFLOWS, *SHARDS], ids=lambda path: path.name)
def test_permissions_are_the_least_and_actions_are_pinned(path: Path) -> None:
    whole = document(path)
    assert whole["permissions"] == {}
    for job in whole["jobs"].values():
        assert list(job["permissions"]) == ["contents"]
        assert int(job["timeout-minutes"]) <= 90
    pins = [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if "uses:" in line]
    assert pins
    assert [pin for pin in pins if not re.fullmatch(r"- uses: [\w./-]+@[0-9a-f]{40} # v\d+(\.\d+)*", pin)] == []
    checkouts = [step["with"] for step in steps(path) if step.get("uses", "").startswith("actions/checkout@")]
    assert all(each["fetch-depth"] == "0" for each in checkouts)


def test_secrets_and_what_people_type_reach_a_command_through_its_variables_alone() -> None:
    for path in (*WORKFLOWS, *SHARDS):
        whole = document(path)
        assert "env" not in whole
        for job in whole["jobs"].values():
            assert "env" not in job
            for step in job["steps"]:
                assert "secrets." not in str(step.get("with", ""))
                assert "${{" not in step.get("run", "")
    assert not any("TOKEN" in line or "KEY" in line for _, line in commands())


def test_only_a_person_rolls_back() -> None:
    assert list(document(ROLLBACK)["on"]) == ["workflow_dispatch"]
    inputs = document(ROLLBACK)["on"]["workflow_dispatch"]["inputs"]
    assert inputs["environment"]["type"] == "choice"
    assert inputs["confirm"]["required"] == "true"
    assert not any("rollback" in step.get("run", "") and "--drill" not in step["run"] for step in steps(PROMOTE))
    assert gitlab_jobs()["rollback"]["rules"] == [{"if": '$ROLLBACK && $CI_PIPELINE_SOURCE == "web"'}]


@pytest.mark.parametrize("command", sorted({line for _, line in commands()}))
def test_each_command_is_one_line_that_gaia_understands(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert "\n" not in command
    assert not re.search(r"[;|&`<>]|\$\(", command), "logic belongs to gaia"
    program, *words = shlex.split(command)
    assert program in ("ci/gate", "gaia")
    if words[0] == "create-release":
        words = ["release", "create", "--image", "gateway=x", "--output", words[1]]

    if words[0] == "promote":
        assert words[:5] == ["promote", words[1], "release.json", "--confirm", words[1]]

    # Words after `--` are those of pytest.
    code = run([*(words[: words.index("--")] if "--" in words else words), "--help"])

    assert code == 0, capsys.readouterr().err


def test_a_command_that_there_is_not_would_be_noticed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["release", "check", "x", "--enw", "dev", "--help"]) == 4
    assert "--enw" in capsys.readouterr().err


def test_shards_have_the_key_that_their_plan_has_not_and_the_last_job_runs_after_a_failed_one() -> None:
    jobs = document(SHARDS[0])["jobs"]
    assert {name: "GAIA_SIGNING_KEY" in str(job["steps"]) for name, job in jobs.items()} == {
        "checks": True,
        "plan": False,
        "shard": True,
        "staging": True,
    }
    for path in SHARDS:
        shards = document(path)["jobs"]["shard"]
        assert shards["strategy"]["fail-fast"] == "false"
        matrix = shards["strategy"]["matrix"]
        names = matrix.get("shard") or [each["shard"] for each in matrix["include"]]
        assert names == [f"{number}/{len(names)}" for number in range(1, len(names) + 1)]
        (plan,) = [step["run"] for step in document(path)["jobs"]["plan"]["steps"] if "run" in step]
        assert "--shards" not in plan or plan.endswith(f"--shards {len(names)}")
    assert jobs["staging"]["if"] == "${{ !cancelled() && needs.plan.result != 'skipped' }}"
    assert document(SHARDS[1])["jobs"]["merge"]["if"] == "always()"
    (promotion, plain) = map(gitlab_jobs, GITLAB_SHARDS)
    assert promotion["staging"]["rules"][0]["when"] == plain["test-merge"]["rules"][0]["when"] == "always"
    assert "resource_group" not in promotion["staging-shard"]
    assert promotion["staging-plan"]["script"][-1].endswith(f"--shards {promotion['staging-shard']['parallel']}")
