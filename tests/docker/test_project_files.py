"""All services of a project are deployed, observed and shown, whichever of its files they are in."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.docker.engine import Engine, Project

pytestmark = pytest.mark.slow("docker")

SERVER = """\
    image: tiny
    command: httpd -f -p 8000 -h /www
    healthcheck: {test: [CMD, wget, -qO-, "http://127.0.0.1:8000/health"], interval: 1s}
"""
GATEWAY = f"""\
include: [chat.yml]
services:
  gateway:
{SERVER}    ports: ["127.0.0.1:${{GATEWAY_PORT}}:8000"]
  asset:
{SERVER}    profiles: [extra]
"""
OVERRIDE = f"""\
services:
  gateway:
    environment: {{LEVEL: debug}}
  auth:
{SERVER}"""


@contextlib.contextmanager
def spread(engine: Engine, folder: Path) -> Iterator[Project]:
    """A project with services in an included file and an override file, a profile, and a port in ``.env``."""
    with engine.project(folder, GATEWAY) as project:
        project.write("chat.yml", f"services:\n  chat:\n{SERVER}")
        project.write("docker-compose.override.yml", OVERRIDE)
        project.write(".env", "GATEWAY_PORT=18010\n")
        project.write("suites/health/test_it.py", "def test_it(): pass\n")
        yield project


def test_services_of_all_files_and_of_active_profiles_are_deployed_and_shown(engine: Engine, tmp_path: Path) -> None:
    with spread(engine, tmp_path) as project:
        deployed = project.gaia("deploy", "local", COMPOSE_PROFILES="extra")
        status = project.gaia("status", "local", "--json", COMPOSE_PROFILES="extra")
        again = project.compose("up", "--detach", "--wait", COMPOSE_PROFILES="extra")

        assert deployed.code == 0, deployed.err
        assert {line.split()[0] for line in deployed.out.splitlines()[1:]} == {"gateway", "chat", "auth", "asset"}
        assert "LEVEL=debug" in project.container("gateway")["Config"]["Env"]
        assert "Recreated" not in again.err
    (local,) = json.loads(status.out)["environments"]
    assert {each["service"] for each in local["apps"]} == {"gateway", "chat", "auth", "asset"}


def test_a_run_without_the_engine_ends_with_its_own_result(engine: Engine, tmp_path: Path) -> None:
    with spread(engine, tmp_path) as project:
        project.up()

        ran = project.pytest("--gaia-env=local", DOCKER_HOST=f"unix://{tmp_path}/no.sock")

    assert "Traceback" not in ran.out + ran.err
    assert "1 passed" in ran.out
