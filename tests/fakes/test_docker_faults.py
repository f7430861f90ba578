"""All faults of ``docker``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ci.fakes.replay import faults
from tests.fakes.test_docker import image, listed, up

if TYPE_CHECKING:
    from tests.fake_tools import FakeTools

TEXT = """\
services:
  gateway:
    build: .
    healthcheck:
      test: curl -f http://localhost:8000/health
  auth:
    image: gaia/auth:dev
"""


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "gaia" / "compose.yml"
    path.parent.mkdir()
    path.write_text(TEXT, encoding="utf-8")
    return str(path)


@pytest.mark.parametrize(
    ("target", "kind", "code", "message"),
    [
        ("docker", "daemon-down", 1, "Cannot connect to the Docker daemon at unix:///var/run/docker.sock."),
        ("docker", "unauthorised", 1, "permission denied while trying to connect to the Docker daemon socket"),
        ("docker", "no-compose", 125, "unknown shorthand flag: 'f' in -f"),
        ("auth", "rate-limited", 18, "toomanyrequests"),
        ("auth", "server-error", 18, "503 Service Unavailable"),
        ("auth", "image-gone", 18, "pull access denied for gaia/auth:dev"),
        ("auth", "crash", 1, "container gaia-auth-1 exited (1)"),
        ("auth", "oom", 1, "container gaia-auth-1 exited (137)"),
        ("auth", "one-shot", 1, "container gaia-auth-1 exited (0)"),
        ("gateway", "unhealthy", 1, "container gaia-gateway-1 is unhealthy"),
        ("gateway", "starting", 1, "application not healthy after 1m30s"),
        ("docker", "tool-error-after-success", 1, "context canceled"),
    ],
)
def test_up_fails_as_it_does(fake_tools: FakeTools, file: str, target: str, kind: str, code: int, message: str) -> None:
    fake_tools.fault(target, kind)

    done = fake_tools.run("docker", "compose", "-f", file, "up", "-d", "--wait", "--wait-timeout", "90")

    assert (done.returncode, message in done.stderr) == (code, True), done.stderr


def test_how_a_container_ended_shows_in_what_ps_and_inspect_print(fake_tools: FakeTools, file: str) -> None:
    fake_tools.fault("auth", "oom")
    up(fake_tools, file)

    auth = listed(fake_tools, file)["gaia-auth-1"]
    killed = fake_tools.run("docker", "container", "inspect", "-f", "{{.State.OOMKilled}}", auth["ID"])

    assert (auth["Status"], killed.stdout) == ("Exited (137) 2 seconds ago", "true\n")


def test_a_phantom_leaves_the_containers_as_they_were(fake_tools: FakeTools, file: str) -> None:
    up(fake_tools, file)
    before = image(fake_tools, "gaia-auth-1")
    fake_tools.new_source("v2")
    fake_tools.fault("auth", "phantom")

    assert up(fake_tools, file, "--pull", "always") == 0
    assert image(fake_tools, "gaia-auth-1") == before


def test_a_split_replaces_the_first_container_alone(fake_tools: FakeTools, file: str) -> None:
    up(fake_tools, file, "--scale", "auth=2")
    before = image(fake_tools, "gaia-auth-1")
    fake_tools.new_source("v2")
    fake_tools.fault("auth", "split")

    up(fake_tools, file, "--scale", "auth=2", "--pull", "always")

    assert image(fake_tools, "gaia-auth-1") != before
    assert image(fake_tools, "gaia-auth-2") == before


def test_a_build_can_fail(fake_tools: FakeTools, file: str) -> None:
    fake_tools.fault("gateway", "build-fails")

    done = fake_tools.run("docker", "compose", "-f", file, "build", "--no-cache", "gateway")

    assert (done.returncode, "failed to solve" in done.stderr) == (17, True)


def test_a_slow_service_is_waited_for(fake_tools: FakeTools, file: str) -> None:
    fake_tools.fault("auth", "slow:0.01")
    fake_tools.fault("docker", "slow:0.01")

    assert up(fake_tools, file) == 0


def test_every_fault_is_explained_and_tried_here(fake_tools: FakeTools) -> None:
    help_text = fake_tools.run("docker", "--fake-help").stdout
    source = Path(__file__).read_text(encoding="utf-8")

    assert [kind for kind in faults.DOCKER if f'"{kind}' not in source or f"  {kind} " not in help_text] == []
