"""``gaia init`` and ``gaia doctor``: the first minutes with an empty folder."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from pytest_gaia.cli.app import run
from tests.cli.conftest import GAIA

CREATED = {
    "gaia.toml",
    "pytest.toml",
    "tests/smoke/test_first.py",
    "tests/expectations/assets-redirect.toml",
    ".github/workflows/gaia.yml",
    ".pre-commit-config.yaml",
}


def files(folder: Path) -> dict[str, str]:
    found = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_text() for path in found}


def shell(command: str, folder: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    words = ["bash", "-e", "-c", command]
    return subprocess.run(
        words, cwd=folder, env=os.environ | environ, capture_output=True, text=True, check=False, timeout=120
    )


def test_an_empty_folder_becomes_a_project_whose_tests_pass(folder: Path) -> None:
    assert run(["init"]) == 0
    assert set(files(folder)) == {"gaia.toml", "orders.py", "pytest.toml", "tests/smoke/test_first.py"}

    done = shell("pytest && pytest -n 2 -q && gaia config check && gaia doctor", folder)

    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("gaia verdict: PROMOTE on sandbox: 2 passed") == 2
    assert "note:" not in done.stdout + done.stderr
    assert "gateway" not in done.stdout


def test_a_project_of_the_platform_has_tests_that_pass(folder: Path) -> None:
    assert run(["init", "--platform", "gaia"]) == 0
    assert set(files(folder)) == CREATED

    done = shell("pytest && gaia doctor && gaia --help", folder)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "gaia verdict: PROMOTE on sandbox: 1 passed, 1 expected failure" in done.stdout
    assert "note:" not in done.stdout + done.stderr


def test_files_are_never_overwritten(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "pyproject.toml").write_text("[tool.pytest]\n")
    (folder / "tests").mkdir()
    (folder / ".pre-commit-config.yaml").write_text("repos: []\n")
    assert run(["init", "--platform", "gaia"]) == 0
    before = files(folder)

    assert before[".pre-commit-config.yaml"] == "repos: []\n"
    assert "pytest.toml" not in before
    assert "release_tests/smoke/test_first.py" in before
    assert '  asyncio_mode = "auto"' in capsys.readouterr().out
    assert run(["init", "--env", "dev=http://localhost:8000"]) == 0
    assert files(folder) == before


def test_a_second_run_asks_for_no_settings_that_exist(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert (run(["init"]), run(["init"])) == (0, 0)

    out = capsys.readouterr().out
    assert "skipped  pytest.toml: exists" in out
    assert "Add these settings" not in out


def test_the_smoke_tests_of_a_project_are_its_suite_smoke(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["init", "--url", "http://localhost:8000"]) == 0
    capsys.readouterr()
    assert run(["test", "--smoke", "--dry-run"]) == 0
    assert capsys.readouterr().out == "pytest tests -m=smoke\n"

    (folder / "tests/smoke").rename(folder / "tests/orders")
    assert run(["test", "--smoke", "--dry-run"]) == 4
    assert "Put its smoke tests into tests/smoke" in capsys.readouterr().err


def test_environments_come_from_the_command_line_and_from_deploy_files(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "fly.gateway.dev.toml").write_text('app = "example-gateway-dev"\n[http_service]\ninternal_port = 8000\n')

    assert run(["init", "--platform", "gaia", "-e", "staging=https://staging.example.com", "--ci", "gitlab"]) == 0
    assert run(["env", "list", "--json"]) == 0

    listed = capsys.readouterr().out
    addresses = {each["name"]: each["urls"].get("gateway") for each in json.loads(listed[listed.index("\n[") :])}
    assert addresses["staging"] == "https://staging.example.com"
    assert addresses["dev"] == "https://example-gateway-dev.fly.dev"
    assert ".gitlab-ci.yml" in files(folder)


@pytest.mark.parametrize("value", ["staging", "staging=example.com", "Staging=https://a.example", "=https://a.example"])
def test_a_malformed_environment_is_a_usage_error(folder: Path, capsys: pytest.CaptureFixture[str], value: str) -> None:
    assert run(["init", "--env", value]) == 4
    assert capsys.readouterr().err.startswith("gaia: --env ")
    assert files(folder) == {}


def test_a_dry_run_writes_nothing(folder: Path) -> None:
    assert run(["init", "--dry-run"]) == 0
    assert files(folder) == {}


@pytest.mark.parametrize("ci", ["github", "gitlab"])
def test_the_ci_files_are_valid_and_their_commands_run(folder: Path, ci: str) -> None:
    assert run(["init", "--platform", "gaia", "--ci", ci]) == 0
    path = folder / (".gitlab-ci.yml" if ci == "gitlab" else ".github/workflows/gaia.yml")
    document = yaml.safe_load(path.read_text())
    steps = document["jobs"]["test"]["steps"] if ci == "github" else []
    commands = [step["run"] for step in steps if "run" in step] or document["release-tests"]["script"]
    schema = "vendor.github-workflows" if ci == "github" else "vendor.gitlab-ci"

    checked = shell(shlex.join(["check-jsonschema", "--builtin-schema", schema, str(path)]), folder)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    if ci == "github":
        checked = shell(f"zizmor --offline --no-progress --persona=pedantic {path}", folder)
        assert checked.returncode == 0, checked.stdout + checked.stderr
    for command in commands:
        if " pip " not in command:
            done = shell(command, folder)
            assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"


def test_the_pre_commit_hooks_run(folder: Path) -> None:
    assert run(["init", "--platform", "gaia"]) == 0
    assert shell("git init -q && git add -A", folder).returncode == 0

    done = shell("pre-commit run --all-files", folder, PRE_COMMIT_HOME=str(folder.parent / "hooks"))

    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("Passed") == 3


def findings(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> dict[str, dict[str, Any]]:
    assert run(["doctor", "--json", *arguments]) == code
    return {each["subject"]: each for each in json.loads(capsys.readouterr().out)}


def test_the_doctor_finds_what_is_missing(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = findings(capsys)
    assert found["configuration"]["state"] == "note"
    assert "gaia init" in found["configuration"]["fix"]
    assert found["extra sandbox"]["state"] == "ok"

    assert run(["init", "--platform", "gaia"]) == 0
    with (folder / "gaia.toml").open("a") as file:
        file.write('[env.staging]\nurl = "http://127.0.0.1:1"\n')
    capsys.readouterr()
    found = findings(capsys, "-e", "staging", code=1)
    assert found["configuration"]["state"] == "ok"
    assert found["staging: gateway"]["state"] == "error"
    assert "connection refused" in found["staging: gateway"]["detail"]

    (folder / "tests/expectations/assets-redirect.toml").write_text("expect = 1\n")
    assert findings(capsys, code=1)["expectations"]["state"] == "error"
    (folder / "gaia.toml").write_text("[gaia]\nsuits = []\n")
    assert "suits" in findings(capsys, code=1)["configuration"]["fix"]


def test_the_doctor_names_an_unknown_environment(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = findings(capsys, "-e", "stagin", code=1)

    assert "unknown environment 'stagin'" in found["environment stagin"]["fix"]


def test_the_doctor_prints_a_table_with_fixes(folder: Path) -> None:
    done = subprocess.run([GAIA, "doctor"], cwd=folder, capture_output=True, text=True, check=False)

    assert done.returncode == 0
    assert "ok    extra sandbox   installed" in done.stdout
    assert "\nconfiguration: Run `gaia init`" in done.stdout
