"""A project whose environment is deployed by an executable of its own, which follows the script of a test."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.plugin.conftest import ScriptedServer, add_suite

if TYPE_CHECKING:
    from pathlib import Path

PROJECT = """
[gaia]
platform = "gaia"
suites = ["suites"]

[env.stage]
services = ["gateway"]
[env.stage.urls]
gateway = "{url}"
[env.stage.tolerance]
kind = "known-failures"
[env.stage.deploy]
{deploy}
services = ["gateway"]
consecutive_successes = 1
deadline = {deadline}
"""

# What is waited for between two looks is nothing that these tests are about.
CONFTEST = """
import pytest_gaia.rollout.step
import pytest_gaia.rollout.step

pytest_gaia.rollout.step._LOOK_EVERY = 0.01
pytest_gaia.rollout.step._STUCK_AFTER = 0.1
"""

HOOK = """#!{python}
import json, os, pathlib, signal, sys, threading

here = pathlib.Path(__file__).parent
request = json.load(sys.stdin)
phase, app = request["phase"], request["app"]
with open(here / "calls", "a") as calls:
    calls.write(json.dumps(request) + "\\n")
script = json.loads((here / "script.json").read_text()).get(phase, {{}})
state = json.loads((here / "state.json").read_text())
print(phase, "the", request["service"], file=sys.stderr)
if script.get("signal"):
    (here / "pid").write_text(str(os.getpid()))
    os.kill(os.getppid(), script["signal"])
    threading.Event().wait(600)
if phase == "deploy" and not script.get("exit") and not script.get("lazy"):
    state = {{"release": state["release"] + 1, "digest": (request["image"] or "@sha256:" + "n" * 64).split("@")[1]}}
    (here / "state.json").write_text(json.dumps(state))
reply = {{"message": script.get("message", "")}}
if phase == "observe" and not script.get("exit"):
    machine = {{"id": "m1", "state": "started", "checks": 1, "passing": 1, **state}}
    reply["observation"] = {{"machines": [machine], "release": state["release"]}}
print(json.dumps(reply))
sys.exit(script.get("exit", 0))
"""

OLD, NEW = f"sha256:{'0' * 64}", f"sha256:{'n' * 64}"
SUITE = """
import pathlib
calls = pathlib.Path(__file__).parents[2] / "ci" / "calls"

def note():
    with calls.open("a") as file:
        print('{"phase": "test"}', file=file)

def test_one(): note()
def test_two(): note()
"""


class Deployer:
    """The project, its executable ``ci/deploy``, and what that was asked."""

    def __init__(self, project: pytest.Pytester, server: ScriptedServer) -> None:
        self.project = project
        self.server = server
        self.folder: Path = project.mkdir("ci")
        (self.folder / "deploy").write_text(HOOK.format(python=sys.executable))
        (self.folder / "deploy").chmod(0o755)
        (self.folder / "state.json").write_text(json.dumps({"release": 1, "digest": OLD}))
        self.script: dict[str, Any] = {}
        self.tell("plan")
        self.settings()
        project.makeconftest(CONFTEST)
        add_suite(project, "health", SUITE)

    def settings(self, deploy: str = 'hook = "command"\ncommand = ["ci/deploy"]', deadline: float = 20) -> None:
        """Write gaia.toml."""
        text = PROJECT.format(url=self.server.url, deploy=deploy, deadline=deadline)
        (self.project.path / "gaia.toml").write_text(text)

    def tell(self, phase: str, **behaviour: Any) -> None:
        """Let the executable behave like this in ``phase``: ``exit``, ``message``, ``lazy``, ``signal``."""
        self.script[phase] = behaviour
        (self.folder / "script.json").write_text(json.dumps(self.script))

    def run(self, *arguments: str) -> pytest.RunResult:
        """Run pytest on the environment, with a verdict file."""
        report = f"--gaia-verdict-file={self.project.path / 'verdict.json'}"
        return self.project.runpytest_subprocess("--gaia-env=stage", report, *arguments)

    @property
    def phases(self) -> list[str]:
        """What the executable was asked and when tests ran, in order."""
        return [call["phase"] for call in self.calls]

    @property
    def calls(self) -> list[dict[str, Any]]:
        """Every request that the executable got; ``{"phase": "test"}`` where a test ran."""
        path = self.folder / "calls"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    @property
    def verdict(self) -> dict[str, Any]:
        """The verdict file."""
        document: dict[str, Any] = json.loads((self.project.path / "verdict.json").read_text())
        return document


@pytest.fixture
def deployer(project: pytest.Pytester, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch) -> Deployer:
    """A project with two tests and an environment ``stage``, which runs version 1 and is deployed by ``ci/deploy``."""
    # This very test may run in a worker, and what it starts would take itself for one.
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)
    return Deployer(project, server)
