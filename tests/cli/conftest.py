"""A project, and fixtures that run ``gaia`` in it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from tests.cli.evidence import Underway
from tests.rollout.deploy_files import write_fly_files

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.fake_tools import FakeTools

GAIA = Path(sys.executable).with_name("gaia")

PROJECT = """\
[gaia]
platform = "gaia"
suites = ["checks"]

[env.preview]
url = "https://{service}.preview.example"
"""

OPERATED = """
[env.staging]
from = "fly"
services = ["gateway", "auth", "asset", "chat", "nats", "postgres"]

[env.production]
from = "fly"
services = ["gateway", "auth", "asset", "chat", "nats", "postgres"]

[env.local]
from = "compose"
[env.local.deploy]
stable_for = 0
"""

COMPOSE = """
services:
  gateway:
    image: gateway:v1
    ports: ["8666:8000"]
    depends_on: [auth-service]
    healthcheck:
      test: ["CMD", "curl", "--fail", "http://localhost:8000/health"]
  auth-service:
    image: auth:v1
    expose: ["8000"]
    healthcheck:
      test: ["CMD", "curl", "--fail", "http://localhost:8000/health"]
"""


class Outcome(NamedTuple):
    """Exit code and output of a command line."""

    code: int
    out: str
    err: str


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with one folder of suites and one environment, as the current folder; without variables of Gaia."""
    for name in list(os.environ):
        if name.startswith("GAIA_"):
            monkeypatch.delenv(name)
    (tmp_path / "checks" / "health").mkdir(parents=True)
    (tmp_path / "gaia.toml").write_text(PROJECT, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def operated(project: Path, fake_tools: FakeTools, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The project, with staging and production deployed and healthy on the fake Fly, and local for Compose.

    Observations do not wait: the fake cloud does not change between them.
    """
    text = PROJECT.replace("[gaia]", '[gaia]\ndeploy_files = "deploy"') + OPERATED
    (project / "gaia.toml").write_text(text, encoding="utf-8")
    for environment in ("staging", "production"):
        write_fly_files(project / "deploy", environment, "auth", "gateway")
    (project / "deploy" / "docker-compose.yml").write_text(COMPOSE, encoding="utf-8")
    fake_tools.platform("staging", ["auth", "gateway"])
    fake_tools.platform("production", ["auth", "gateway"], machines=2)
    monkeypatch.setattr("pytest_gaia.rollout.step._LOOK_EVERY", 0.01)
    monkeypatch.setattr("pytest_gaia.rollout.step._FIRST", 0.01)
    return project


@pytest.fixture
def pipeline(project: Path) -> Underway:
    """A release in the project, with keys and an empty ledger."""
    return Underway.of(project)


@pytest.fixture
def gaia(project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Outcome]:
    """Run a command line in this process, in the project."""
    from pytest_gaia import wording
    from pytest_gaia.cli.app import run

    # As in a process of its own.
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)

    def call(*arguments: str) -> Outcome:
        wording._printed.clear()
        code = run(arguments)
        return Outcome(code, *capsys.readouterr())

    return call


@pytest.fixture
def gaia_process(project: Path) -> Callable[..., Outcome]:
    """Run the installed script as a process, in the project."""

    def call(*arguments: str, **variables: str) -> Outcome:
        done = subprocess.run(
            [GAIA, *arguments],
            capture_output=True,
            text=True,
            env={**os.environ, **variables},
            timeout=60,
            check=False,
        )
        return Outcome(done.returncode, done.stdout, done.stderr)

    return call


@pytest.fixture
def told(gaia: Callable[..., Outcome], pipeline: Underway) -> Callable[..., dict[str, Any]]:
    """Return the release report as JSON."""

    def call(*arguments: str) -> dict[str, Any]:
        code, out, err = gaia("release", "report", pipeline.id, "--format", "json", *arguments)
        assert (code, err) == (0, "")
        page: dict[str, Any] = json.loads(out)
        return page

    return call
