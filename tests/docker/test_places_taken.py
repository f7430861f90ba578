"""Containers and processes of others in the place of a service, and files that changed since a deployment."""

from __future__ import annotations

import shutil
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from tests.docker.places import plain
from tests.docker.shop import CHAT, GATEWAY, HTTPD, compose, outcomes, service, shop, states

if TYPE_CHECKING:
    from pathlib import Path

    from tests.docker.engine import Engine

pytestmark = pytest.mark.slow("docker")

IN_USE = "Error starting userland proxy: listen tcp4 127.0.0.1:18001: bind: address already in use"


def test_a_port_that_a_process_holds_is_named_at_once(engine: Engine, tmp_path: Path) -> None:
    with shop(engine, tmp_path) as project:
        with project.engine.start("busybox", "httpd", "-f", "-p", "127.0.0.1:18001", cwd=tmp_path) as holder:
            failed = project.gaia("deploy", "local")
            holder.kill()
        status = project.gaia("status", "local")
        freed = project.gaia("deploy", "local")

    assert (failed.code, outcomes(failed.out)["chat"], IN_USE in failed.out) == (1, "failed", True), failed
    assert (status.code, IN_USE in status.out) == (1, True), status
    assert (freed.code, outcomes(freed.out)["chat"]) == (0, "deployed"), freed
    assert "it was started again" in freed.out


@pytest.mark.parametrize("name", ["by hand", "other project"])
def test_a_container_of_others_is_named_and_not_replaced(engine: Engine, tmp_path: Path, name: str) -> None:
    with shop(engine, tmp_path) as project:
        if name == "by hand":
            publish = ("--publish", "127.0.0.1:18001:8000")
            engine.docker("run", "--detach", "--name", "by-hand", *publish, "tiny", *HTTPD.split())
        else:
            assert project.compose("--project-name", "other", "up", "--detach", "--wait").code == 0
        before = engine.docker("ps", "--all", "--quiet")

        deployed = project.gaia("deploy", "local")

        assert engine.docker("ps", "--all", "--quiet") == before
        engine.docker("rm", "--force", *before.split())
        engine.remove("other")
    taken = {
        "by hand": "chat cannot be deployed to local: its place is taken by container by-hand (port 18001).",
        "other project": f"container other-chat-1 of the Compose project other in {project.folder} (port 18001).",
    }
    assert (deployed.code, taken[name] in deployed.err) == (4, True), deployed


def test_a_folder_of_the_same_name_is_another_project(engine: Engine, tmp_path: Path) -> None:
    with shop(engine, tmp_path / "one") as project:
        project.up()
        folder = tmp_path / "two" / project.name
        shutil.copytree(project.folder, folder)
        other = replace(project, folder=folder)

        status, deployed = other.gaia("status", "local"), other.gaia("deploy", "local")

        # Docker Compose itself would take over the containers.
        assert project.gaia("status", "local").code == 0
    assert states(status.out) == {"gateway": "unknown", "chat": "unknown"}
    assert (deployed.code, f"which was created from {project.folder}" in deployed.err) == (4, True), deployed


def test_a_container_that_lost_its_service_is_named(engine: Engine, tmp_path: Path) -> None:
    with shop(engine, tmp_path) as project:
        project.up()
        project.change("chat:", "talk:")
        project.change("services.chat", "services.talk", "gaia.toml")
        project.change('["chat"]', '["talk"]', "gaia.toml")

        deployed = project.gaia("deploy", "local")

    taken = "container P-chat-1 of the service chat, which is no longer in the compose file (port 18001)"
    assert (deployed.code, taken in plain(deployed.err)) == (4, True), deployed


def test_a_missing_source_of_a_mount_is_reported_with_the_words_of_the_engine(engine: Engine, tmp_path: Path) -> None:
    mounted = service("chat", HTTPD, "volumes: [{type: bind, source: ./no, target: /x}]")
    with shop(engine, tmp_path, GATEWAY, mounted) as project:
        deployed = project.gaia("deploy", "local")

    said = "bind source path does not exist"
    assert (deployed.code, outcomes(deployed.out)["chat"], said in deployed.out) == (1, "failed", True), deployed


def test_volumes_are_kept(engine: Engine, tmp_path: Path) -> None:
    kept = service("chat", HTTPD, "volumes: ['data:/data']")
    with shop(engine, tmp_path, GATEWAY, kept, "volumes: {data: }\n") as project:
        project.up()
        assert project.compose("exec", "-T", "chat", "sh", "-c", "echo kept > /data/file").code == 0
        project.write(
            "docker-compose.yml", compose(GATEWAY, kept.replace("init: true", "init: false"), "volumes: {data: }\n")
        )

        deployed = project.gaia("deploy", "local")
        found = project.compose("exec", "-T", "chat", "cat", "/data/file").out

    assert (deployed.code, outcomes(deployed.out)["chat"], found) == (0, "deployed", "kept\n"), deployed


def test_a_dependency_that_is_replaced_too_is_reported(engine: Engine, tmp_path: Path) -> None:
    with shop(engine, tmp_path, service("gateway", HTTPD, "depends_on: [chat]", port=18000), CHAT) as project:
        project.up()
        before = project.container("chat")["Id"]
        project.change("init: true", "init: false")

        deployed = project.gaia("deploy", "local", "--services", "gateway")

        assert project.container("chat")["Id"] != before
    assert outcomes(deployed.out) == {"chat": "deployed", "gateway": "deployed"}
