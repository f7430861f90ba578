"""A machine without Docker, and deployments that are interrupted or concurrent."""

from __future__ import annotations

import contextlib
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.docker.engine import PATIENCE
from tests.docker.shop import CHAT, GATEWAY, service, shop

if TYPE_CHECKING:
    import subprocess

    from tests.docker.engine import Engine, Project

pytestmark = pytest.mark.slow("docker")

WITHOUT = {
    "no plugin": ({"DOCKER_CONFIG": "/nowhere"}, "Docker has no `compose` command"),
    "no docker": ({"PATH": str(Path(sys.executable).parent)}, "docker is not installed"),
}


@pytest.mark.parametrize("name", WITHOUT)
def test_without_docker_each_command_names_the_reason(engine: Engine, tmp_path: Path, name: str) -> None:
    variables, said = WITHOUT[name]
    with shop(engine, tmp_path) as project:
        deployed, status = (project.gaia(command, "local", **variables) for command in ("deploy", "status"))

    assert (deployed.code, said in deployed.err, "Traceback" in deployed.err) == (4, True, False), deployed
    assert (status.code, said in status.out, status.out.count(said)) == (12, True, 1), status


SLOW = service("chat", "sleep 1000", check="interval: 1s, start_period: 600s")


def deploying(project: Project) -> subprocess.Popen[str]:
    """Start a deployment that waits for chat, and return it once chat runs."""
    process = project.engine.start("gaia", "deploy", "local", cwd=project.folder)
    until = time.monotonic() + PATIENCE
    while not any(each["State"]["Running"] for each in project.containers("chat")):
        assert time.monotonic() < until
        time.sleep(0.1)
    return process


def test_an_interrupted_deployment_is_named_and_the_next_one_is_good(engine: Engine, tmp_path: Path) -> None:
    with shop(engine, tmp_path, GATEWAY, SLOW) as project:
        process = deploying(project)
        second = project.gaia("deploy", "local")
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=PATIENCE)
        project.write("docker-compose.yml", "services:\n" + GATEWAY + CHAT)
        following = project.gaia("deploy", "local")

    assert (
        process.returncode,
        "the rollout was interrupted while it was being deployed" in out,
        "Traceback" in err,
    ) == (130, True, False), out + err
    assert second.code == 13, second
    assert following.code == 0, following


def test_a_killed_deployment_holds_no_lock(engine: Engine, tmp_path: Path) -> None:
    with shop(engine, tmp_path, GATEWAY, SLOW) as project:
        process = deploying(project)
        process.kill()
        process.communicate(timeout=PATIENCE)
        project.write("docker-compose.yml", "services:\n" + GATEWAY + CHAT)
        following = project.gaia("deploy", "local")

    assert following.code == 0, following
    assert processes_with(project.folder) == []


def processes_with(folder: Path) -> list[str]:
    """Return the processes that run in ``folder``."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (process / "cwd").readlink() == folder:
                found.append(process.name)
    return found
