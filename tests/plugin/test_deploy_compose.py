"""A whole run with ``--gaia-deploy`` on compose, as the fake docker replays it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.plugin.conftest import add_suite
from tests.plugin.deployer import CONFTEST

if TYPE_CHECKING:
    import pytest

    from tests.fake_tools import FakeTools
    from tests.plugin.conftest import ScriptedServer

PROJECT = """
[gaia]
platform = "gaia"
suites = ["suites"]
[env.local]
from = "compose"
[env.local.tolerance]
min_tests = 1
[env.local.deploy]
consecutive_successes = 1
stable_for = 0
deadline = 20
"""
FILE = """
services:
  auth-service:
    image: gaia/auth:1
  gateway:
    image: gaia/gateway:1
    ports: ["8666:8000"]
    depends_on: [auth-service]
    healthcheck:
      test: [CMD, curl, -f, "http://localhost:8000/health"]
"""


def test_the_local_platform_is_brought_up_and_tested(
    project: pytest.Pytester, server: ScriptedServer, fake_tools: FakeTools, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project.path / "gaia.toml").write_text(PROJECT)
    (project.path / "docker-compose.yml").write_text(FILE)
    project.makeconftest(CONFTEST)
    add_suite(project, "health", "def test_one(): pass\n")
    monkeypatch.setenv("GAIA_GATEWAY_URL", server.url)

    deployed = project.runpytest_subprocess("--gaia-env=local", "--gaia-deploy", "-p", "no:xdist")
    looked_at = project.runpytest_subprocess("--gaia-env=local", "-p", "no:xdist")
    fake_tools.without("docker")
    without = project.runpytest_subprocess("--gaia-env=local", "-p", "no:xdist")

    assert (deployed.ret, looked_at.ret, without.ret) == (0, 0, 0)
    deployed.stdout.fnmatch_lines(["  auth: deployed", "  gateway: deployed", "gaia: local: deployed by this run *"])
    looked_at.stdout.fnmatch_lines(
        ["gaia: local: deployed state (compose)", "  gateway  gateway *healthy*1 of 1 checks pass"]
    )
    without.stdout.fnmatch_lines(["gaia: note: deployed version unknown for auth, gateway: docker is not *"])
