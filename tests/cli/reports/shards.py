"""One run of a project as a whole and in shards, by real processes, to merge and to corrupt."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from tests.forking.runs import run_pytest
from tests.plugin.conftest import SETTINGS, ScriptedServer

if TYPE_CHECKING:
    from pathlib import Path

COUNT = 3
"""number of shards"""

ORDERS = """
import pytest

@pytest.mark.parametrize("number", range(8))
async def test_many(gateway, number):
    (await gateway.get("/health")).expect(200)

async def test_is_broken(gateway):
    (await gateway.get("/broken")).expect(200)

@pytest.mark.gaia(requires=["postgres"])
def test_not_here(): pass

@pytest.mark.gaia(offline=True)
def test_is_offline(): pass
"""

STATE = """
import pytest

@pytest.fixture(scope="module")
def seen():
    return []

async def test_first(gateway, seen):
    (await gateway.get("/health")).expect(200)
    seen.append("first")

async def test_second(gateway, seen):
    (await gateway.get("/health")).expect(200)
    assert seen == ["first"]
"""

CLASSES = """
import pytest

class TestClass:
    async def test_a(self, gateway):
        (await gateway.get("/health")).expect(200)

    async def test_b(self, gateway):
        (await gateway.get("/health")).expect(200)

async def test_alone(gateway):
    (await gateway.get("/health")).expect(200)
"""

BROKEN = """
reason = "the route is broken"
issue = "GAIA-1"
owner = "@team"
created = 2026-01-01
expires = 2099-01-01
environments = ["preview"]
tests = ["suites/orders/test_orders.py::test_is_broken"]
expect = "fail"
match = { status = 500 }
"""

FILES = {
    "pyproject.toml": SETTINGS,
    "suites/orders/test_orders.py": ORDERS,
    "suites/state/test_state.py": STATE,
    "suites/state/test_classes.py": CLASSES,
    "suites/expectations/broken.toml": BROKEN,
    ".gitignore": "*.jsonl\n*.json\n__pycache__\n*.xml\nallure*\nmerged*\n",
}


def _toml(url: str) -> str:
    return (
        '[gaia]\nplatform = "gaia"\nsuites = ["suites"]\n'
        f'[env.preview]\nurl = "{url}"\nnats = "disabled"\n'
        "[env.preview.tolerance]\nmax_expectation_age_days = 100000\n"
    )


@dataclass
class Project:
    """A project in git, whose gateway responds."""

    folder: Path
    server: ScriptedServer
    variables: dict[str, str] = field(default_factory=dict)

    @classmethod
    def made(cls, folder: Path) -> Project:
        """Make and commit it."""
        server = ScriptedServer()
        server.answers["/broken"] = [(500, {"detail": "broken"})]
        variables = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("GAIA_", "GITHUB_", "GIT_", "PYTEST_", "CI"))
        }
        variables |= {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull, "COLUMNS": "400"}
        project = cls(folder, server, variables)
        for name, text in {**FILES, "gaia.toml": _toml(server.url)}.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text, encoding="utf-8")
        project.git("init", "--quiet", "--initial-branch=main")
        project.commit()
        return project

    def git(self, *arguments: str) -> None:
        """Run git there."""
        author = ["-c", "user.name=A", "-c", "user.email=a@example.org"]
        subprocess.run(["git", *author, *arguments], cwd=self.folder, env=self.variables, check=True)

    def commit(self) -> None:
        """Commit everything."""
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message=change")

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run pytest there."""
        without = () if any(each.startswith("--alluredir") for each in arguments) else ("-p", "no:allure_pytest")
        given = ["--gaia-env=preview", *without, *arguments]
        return run_pytest(self.folder, *given, variables=self.variables)

    def plan(self, name: str = "plan.json", *arguments: str) -> Path:
        """Create a test plan."""
        done = self.run("--collect-only", "-q", f"--gaia-plan-out={name}", *arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        return self.folder / name

    def shards(self, *arguments: str, plan: str = "plan.json", count: int = COUNT, name: str = "shard") -> list[Path]:
        """Run all shards of a plan."""
        return [
            self.shard(f"{index}/{count}", f"{name}-{index}.jsonl", *arguments, plan=plan)
            for index in range(1, count + 1)
        ]

    def shard(self, shard: str, name: str, *arguments: str, plan: str = "plan.json") -> Path:
        """Run one shard."""
        done = self.run(f"--gaia-plan={plan}", f"--gaia-shard={shard}", f"--gaia-report-log={name}", *arguments)
        path = self.folder / name
        assert path.exists(), done.stdout + done.stderr
        return path

    def folders(self, name: str, *arguments: str, plan: str = "plan.json") -> list[Path]:
        """Run all shards with all files, each in a folder of its own."""
        found = []
        for index in range(1, COUNT + 1):
            folder = self.folder / f"merged-{name}-{index}"
            folder.mkdir()
            files = (f"--junitxml={folder}/junit.xml", f"--alluredir={folder}/allure-results")
            self.shard(f"{index}/{COUNT}", f"{folder.name}/results.jsonl", *files, *arguments, plan=plan)
            found.append(folder)
        return found

    def whole(self, *arguments: str, plan: str = "plan.json", name: str = "whole") -> bytes:
        """Run all tests in one process, and return the verdict file."""
        logs = (f"--gaia-report-log={name}.jsonl", f"--gaia-verdict-file={name}-verdict.json")
        done = self.run(f"--gaia-plan={plan}", *logs, *arguments)
        path = self.folder / f"{name}-verdict.json"
        assert path.exists(), done.stdout + done.stderr
        return path.read_bytes()


class Copy:
    """The plan and the results logs of a good set of shards, in a folder of their own, to corrupt."""

    def __init__(self, project: Project, folder: Path) -> None:
        self.project = project
        self.folder = folder
        self.plan = folder / "plan.json"
        shutil.copy(project.folder / "plan.json", self.plan)
        self.paths = [folder / f"shard-{index}.jsonl" for index in range(1, COUNT + 1)]
        """the arguments of ``gaia merge``"""
        for path in self.paths:
            shutil.copy(project.folder / path.name, path)

    def lines(self, index: int) -> list[dict[str, Any]]:
        """Return the lines of the shard ``index``, from 1."""
        return [json.loads(line) for line in self.paths[index - 1].read_text().splitlines()]

    def write(self, index: int, lines: list[dict[str, Any]]) -> None:
        """Replace the lines of the shard ``index``."""
        self.paths[index - 1].write_text("".join(f"{json.dumps(line)}\n" for line in lines))

    def edit(self, index: int, line: int, change: Callable[[dict[str, Any]], object]) -> None:
        """Change one line of a shard in place; 0 is the first, -1 the last."""
        lines = self.lines(index)
        change(lines[line])
        self.write(index, lines)

    def text(self, index: int, change: Callable[[bytes], bytes]) -> None:
        """Change the content of a shard."""
        path = self.paths[index - 1]
        path.write_bytes(change(path.read_bytes()))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """The project, without a test plan."""
    project = Project.made(tmp_path_factory.mktemp("sharded"))
    yield project
    project.server.close()


@pytest.fixture(scope="module")
def project(made: Project) -> Project:
    """The project with a test plan and a good set of shards."""
    made.plan()
    made.shards()
    return made


Mutation = Callable[[Copy], object]
"""corrupts a set of shards"""
