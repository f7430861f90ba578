"""The action for GitHub and the hooks for pre-commit: valid, safe, and their steps run."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from pytest_gaia.cli.app import run

ROOT = Path(__file__).parents[2]
ACTION = ROOT / "action.yml"
BIN = Path(sys.executable).parent


def tool(*arguments: str | Path) -> None:
    done = subprocess.run([BIN / arguments[0], *arguments[1:]], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_action_and_the_hooks_are_valid_and_safe() -> None:
    tool("check-jsonschema", "--builtin-schema", "vendor.github-actions", ACTION)
    tool("zizmor", "--offline", "--no-progress", "--persona=pedantic", ACTION)
    tool("pre-commit", "validate-manifest", ROOT / ".pre-commit-hooks.yaml")


class Runner:
    """Runs the steps of the action as GitHub does, except those of other actions."""

    def __init__(self, folder: Path, inputs: dict[str, str]) -> None:
        self.folder = folder
        self.action = yaml.safe_load(ACTION.read_text())
        defaults = {name: each["default"] for name, each in self.action["inputs"].items()}
        self.values = {f"inputs.{name}": value for name, value in (defaults | inputs).items()}
        self.values |= {"github.action_path": str(ROOT), "runner.temp": str(folder.parent / "temp")}
        self.output = folder.parent / "output"
        self.output.touch()

    def run(self, name: str, **environ: str) -> subprocess.CompletedProcess[str]:
        step = next(each for each in self.action["runs"]["steps"] if each.get("name") == name)
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("GAIA_", "GITHUB_", "PYTEST_"))}
        kept["PATH"] = f"{BIN}{os.pathsep}{kept['PATH']}"
        kept |= {key: self.filled(value) for key, value in step.get("env", {}).items()}
        kept["GITHUB_OUTPUT"] = str(self.output)
        return subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]],
            cwd=self.folder / self.filled(step.get("working-directory", ".")),
            env=kept | environ,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    def filled(self, text: Any) -> str:
        return re.sub(r"\$\{\{ (.+?) \}\}", lambda match: self.values[match[1]], str(text))

    @property
    def outputs(self) -> dict[str, str]:
        return dict(line.split("=", 1) for line in self.output.read_text().splitlines())


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A new project."""
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    assert run(["init"]) == 0
    return folder


def test_the_steps_of_the_action_run_as_shell_commands(project: Path, tmp_path: Path) -> None:
    runner = Runner(project, {"arguments": "-m smoke -q"})
    pip = tmp_path / "bin" / "python"
    pip.parent.mkdir()
    pip.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/installed\n')
    pip.chmod(0o755)

    assert runner.run("Install pytest-gaia", PATH=f"{pip.parent}{os.pathsep}{os.environ['PATH']}").returncode == 0
    assert (tmp_path / "installed").read_text() == f"-m pip install --quiet {ROOT}[sandbox]\n"
    for name in ("Check deploy files", "Check expectations", "Run the tests"):
        done = runner.run(name)
        assert done.returncode == 0, done.stdout + done.stderr
    assert runner.outputs["verdict"] == "PARTIAL"
    assert Path(runner.outputs["report-log"]).stat().st_size > 0


def test_the_action_fails_with_the_verdict(project: Path) -> None:
    test = project / "tests/smoke/test_first.py"
    test.write_text(f"{test.read_text()}\n\ndef test_that_fails() -> None:\n    assert not test_that_fails\n")
    runner = Runner(project, {})

    assert runner.run("Run the tests").returncode == 1
    assert runner.outputs["verdict"] == "REJECT"
