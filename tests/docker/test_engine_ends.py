"""The engine stops while it is used, and what is said about an engine that does not respond."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from tests.docker.engine import PATIENCE, running_engine

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.docker.engine import Project

pytestmark = pytest.mark.slow("docker")

GAIA_TOML = """\
[services.chat]
[services.gateway]
[env.local]
from = "compose"
[env.local.deploy]
deadline = 60
stable_for = 0.2
"""
COMPOSE = """\
services:
  chat:
    image: tiny
    command: sleep 1000
    stop_signal: KILL
    healthcheck: {test: [CMD, "true"], interval: 1s, retries: 100}
  gateway:
    image: tiny
    depends_on: {chat: {condition: service_healthy}}
    command: sleep 1000
    stop_signal: KILL
"""
NOBODY = "tcp://127.0.0.1:1"


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    """A project whose gateway waits for chat, on an engine of its own, which may stop."""
    with running_engine() as engine, engine.project(tmp_path, COMPOSE, GAIA_TOML) as project:
        yield project


def test_an_engine_that_stops_during_a_deployment_leaves_a_table_and_a_way_to_continue(project: Project) -> None:
    project.change('"true"', '"false"')
    errors = project.folder / "errors"
    with project.engine.start("sh", "-c", "exec gaia deploy local 2>errors", cwd=project.folder) as run:
        until = time.monotonic() + PATIENCE
        while not (errors.exists() and "chat-1  Waiting" in errors.read_text()):
            assert time.monotonic() < until
            time.sleep(0.05)
        project.engine.halt()
        try:
            out, _ = run.communicate(timeout=PATIENCE)
        finally:
            project.engine.resume()

    rows = {line.split()[0]: line for line in out.splitlines() if line.startswith(("chat ", "gateway "))}
    assert run.returncode == 12, out + errors.read_text()
    assert "unreachable" in rows["chat"]
    assert "not started" in rows["gateway"]
    assert "chat: Docker stopped responding during `docker compose up`. docker ps: the Docker daemon at unix://" in out
    assert "To continue: gaia deploy local --services chat,gateway" in out


def test_the_deployment_after_an_engine_was_stopped_says_what_was_down(project: Project) -> None:
    project.up()
    project.engine.halt()
    project.engine.resume()

    code, out, err = project.gaia("deploy", "local")

    assert code == 0, err
    assert f"chat: container {project.name}-chat-1 was stopped or killed (exit code 137); it was started again" in out


def test_an_engine_that_does_not_respond_is_named_once(project: Project) -> None:
    code, out, _ = project.gaia("status", "local", DOCKER_HOST=NOBODY)

    said = f"the Docker daemon at {NOBODY} (DOCKER_HOST) does not respond; start Docker, or unset DOCKER_HOST."
    assert code == 12
    assert out.count(said) == out.count("does not respond") == 1


def test_the_current_context_is_named_if_its_engine_does_not_respond(project: Project) -> None:
    made = project.docker("context", "create", "away", "--docker", f"host={NOBODY}", DOCKER_HOST="")
    code, _, err = project.gaia("deploy", "local", DOCKER_HOST="", DOCKER_CONTEXT="away")
    project.docker("context", "rm", "away", DOCKER_HOST="")

    assert (made.code, code) == (0, 4), made.err
    assert "the Docker daemon of the context away does not respond; start Docker, or choose another context" in err


def test_a_context_that_does_not_exist_is_a_usage_error(project: Project) -> None:
    code, out, err = project.gaia("deploy", "local", DOCKER_HOST="", DOCKER_CONTEXT="nosuch")

    assert (code, out) == (4, "")
    assert "the Docker context does not exist; `docker context ls` lists those that do" in err


def test_a_container_of_the_same_name_is_named_with_the_way_to_remove_it(project: Project) -> None:
    project.change("    image: tiny\n    command", f"    image: tiny\n    container_name: {project.name}\n    command")
    project.write("docker-compose.yml", (project.folder / "docker-compose.yml").read_text().partition("  gateway:")[0])
    project.engine.docker("create", "--name", project.name, "tiny", "true")
    try:
        code, out, _ = project.gaia("deploy", "local")
    finally:
        project.engine.docker("rm", project.name)

    assert code == 1
    assert f"To remove it: docker rm {project.name} (with --force if it runs)" in out
