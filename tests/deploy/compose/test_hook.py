"""Failures that the hook compose reads in the output of docker, and that a real engine does not produce on request."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from pytest_gaia.deploy.compose.hook import ComposeHook
from pytest_gaia.errors import ConfigError, DeployUnavailable
from tests.deploy.executables import a_request, executable
from tests.projects import gaia_platform

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_gaia.deploy.contract import Reply

ID = "a" * 64
SCRIPT = """
for word in "$@"; do case "$word" in up|ps|build|config|container|image|events) verb=$word; break;; esac; done
echo "$@" >> "$REPLIES/calls"
cat > "$REPLIES/$verb.stdin"
[ -f "$REPLIES/$verb.err" ] && cat "$REPLIES/$verb.err" >&2
[ -f "$REPLIES/$verb.out" ] && cat "$REPLIES/$verb.out"
exit "$(cat "$REPLIES/$verb.code" 2> /dev/null || echo 0)"
"""


@dataclass
class Docker:
    """The reply of docker to each verb."""

    folder: Path

    def says(self, verb: str, out: str = "", err: str = "", code: int = 0) -> None:
        (self.folder / f"{verb}.out").write_text(out)
        (self.folder / f"{verb}.err").write_text(err)
        (self.folder / f"{verb}.code").write_text(str(code))

    @property
    def calls(self) -> list[str]:
        path = self.folder / "calls"
        return path.read_text().splitlines() if path.exists() else []

    def ask(self, phase: str, **changes: Any) -> Reply:
        config = str(self.folder / "docker-compose.yml")
        request = a_request(phase, **{"environment": "local", "app": "gateway", "config": config, **changes})
        return ComposeHook(gaia_platform()).run(request, lambda _: None)


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Docker:
    executable(tmp_path / "bin" / "docker", SCRIPT)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    monkeypatch.setenv("REPLIES", str(tmp_path))
    docker = Docker(tmp_path)
    docker.says("config", json.dumps({"name": "gaia", "services": {"gateway": {"image": "gaia/gateway:1"}}}))
    return docker


def test_what_is_planned_is_what_runs(docker: Docker) -> None:
    for image in (None, "gaia/gateway:2"):
        planned = docker.ask("plan", image=image).commands
        reply = docker.ask("deploy", image=image)

        assert (reply.status, reply.commands) == ("done", planned)
        assert docker.calls[-1] == " ".join(planned[-1][1:])
    assert json.loads((docker.folder / "up.stdin").read_text()) == {
        "services": {"gateway": {"image": "gaia/gateway:2"}}
    }


def test_a_registry_with_a_rate_limit_is_asked_twice(docker: Docker) -> None:
    docker.says("up", err="toomanyrequests: You have reached your pull rate limit.", code=18)

    reply = docker.ask("deploy")

    assert reply.status == "retry"
    assert reply.message.startswith("docker compose up: toomanyrequests")
    with pytest.raises(
        DeployUnavailable,
        match=r"gateway:1 is not on this machine, and its registry cannot be reached\. Output .*: toomany",
    ):
        docker.ask("deploy", attempt=2)


def test_a_daemon_that_does_not_respond_is_for_the_user_to_start(docker: Docker) -> None:
    docker.says("ps", err="Cannot connect to the Docker daemon at unix:///var/run/docker.sock.", code=1)

    with pytest.raises(ConfigError, match=r"does not respond; start Docker\. Output: Cannot connect"):
        docker.ask("observe")


def test_a_daemon_that_ends_during_a_deployment_is_unavailable(docker: Docker) -> None:
    docker.says("up", err="error during connect: Post http://docker: unexpected EOF", code=1)
    docker.says("ps", err="Cannot connect to the Docker daemon at unix:///var/run/docker.sock.", code=1)

    with pytest.raises(
        DeployUnavailable, match=r"Docker stopped responding during `docker compose up`.*Cannot connect"
    ):
        docker.ask("deploy")


def test_without_docker_the_error_says_what_was_looked_for(monkeypatch: pytest.MonkeyPatch, docker: Docker) -> None:
    monkeypatch.setenv("PATH", str(docker.folder))

    with pytest.raises(ConfigError, match=r"docker is not installed, or not on PATH.*Install Docker with its compose"):
        docker.ask("observe")


def test_after_the_deadline_the_tool_is_stopped(docker: Docker) -> None:
    executable(docker.folder / "bin" / "docker", SCRIPT.replace("echo", '[ "$verb" = up ] && exec sleep 600; echo', 1))

    reply = docker.ask("deploy", deadline=0.5)

    assert reply.status == "failed"
    assert reply.message == "docker compose up exceeded its time limit of 0.5 s and was stopped."


def test_a_container_that_is_removed_meanwhile_is_left_out(docker: Docker) -> None:
    docker.says("ps", f"{ID}\n")
    docker.says("container", "[]", err=f"Error: No such container: {ID}", code=1)

    observation = docker.ask("observe").observation

    assert observation is not None
    assert (observation.exists, observation.machines) == (False, ())


def test_output_that_is_not_json_names_the_required_version(docker: Docker) -> None:
    docker.says("ps", f"{ID}\n")
    docker.says("container", "{NAME   IMAGE   COMMAND")

    with pytest.raises(ConfigError, match=r"docker inspect: invalid JSON .*version 2"):
        docker.ask("observe")
