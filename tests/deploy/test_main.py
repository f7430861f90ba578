from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from pytest_gaia.deploy.contract import Reply
from pytest_gaia.deploy.hooks import BUILT_IN
from tests.deploy.executables import a_request, executable

if TYPE_CHECKING:
    from pathlib import Path


def ask(*arguments: str, source: str, path: Path | None = None) -> tuple[int, Reply, str]:
    """Return exit code, reply and standard error; ``path`` is all that is on PATH."""
    environ = {**os.environ, "PATH": str(path)} if path else dict(os.environ)
    ended = subprocess.run(
        [sys.executable, "-m", "pytest_gaia.deploy", *arguments],
        input=source, capture_output=True, text=True, check=False, env=environ,
    )  # fmt: skip
    (line,) = ended.stdout.splitlines()
    return ended.returncode, msgspec.json.decode(line, type=Reply), ended.stderr


def request(phase: str, **changes: Any) -> str:
    values = {"app": "gateway", "config": "/srv/compose.yaml", "environment": "local", **changes}
    return msgspec.json.encode(a_request(phase, **values)).decode()


def docker(folder: Path, up: str) -> None:
    """Write a `docker` whose project is empty, and that runs `up`."""
    executable(folder / "docker", f"""case "$*" in *" up "*) {up};; *config*) echo '{{"name": "shop"}}';; esac""")


def test_a_plan_comes_back_as_one_line(tmp_path: Path) -> None:
    docker(tmp_path, "exit 1")
    config = str(tmp_path / "compose.yaml")

    code, reply, _ = ask("compose", source=request("plan", deadline=100.0, config=config), path=tmp_path)

    assert code == 0
    assert reply.commands == (
        ("docker", "compose", "up", "--detach", "--wait", "--wait-timeout", "90", "--", "gateway"),
    )


@pytest.mark.parametrize(
    ("script", "code", "status"),
    [("exit 0", 0, "done"), ("echo toomanyrequests: wait >&2; exit 18", 75, "retry"), ("exit 1", 1, "failed")],
)
def test_what_became_of_it_is_the_exit_code(tmp_path: Path, script: str, code: int, status: str) -> None:
    docker(tmp_path, script)
    config = str(tmp_path / "compose.yaml")

    ended, reply, _ = ask("compose", source=request("deploy", config=config), path=tmp_path)

    assert (ended, reply.status) == (code, status)


def test_the_tools_own_lines_go_to_standard_error(tmp_path: Path) -> None:
    docker(tmp_path, "echo Container gateway started >&2")
    config = str(tmp_path / "compose.yaml")

    _, _, stderr = ask("compose", source=request("deploy", config=config), path=tmp_path)

    assert stderr == "Container gateway started\n"


def test_a_project_that_compose_does_not_print_is_an_error(tmp_path: Path) -> None:
    executable(tmp_path / "docker", "exit 0")
    config = str(tmp_path / "compose.yaml")

    code, reply, _ = ask("compose", source=request("deploy", config=config), path=tmp_path)

    assert (code, reply.status) == (4, "failed")
    assert reply.message.startswith("docker compose config: invalid JSON (")


@pytest.mark.parametrize(
    ("arguments", "source", "complaint"),
    [
        ([], request("plan"), f"usage: python -m pytest_gaia.deploy {'|'.join(BUILT_IN)} < request.json"),
        (["compose", "fly"], request("plan"), "usage: "),
        (["flyctl"], request("plan"), "unknown built-in hook 'flyctl'; did you mean fly"),
        (["compose"], "", "standard input is not a request"),
        (["compose"], "deploy staging", "standard input is not a request"),
        (["compose"], json.dumps({"phase": "ship"}), "Invalid enum value 'ship'"),
        (["compose"], request("plan", config=None), "no compose file for gateway in local"),
        (["compose"], request("plan", region="fra"), "--region: compose runs on this machine only"),
    ],
)
def test_a_usage_error_is_one_message_and_a_failed_reply(arguments: list[str], source: str, complaint: str) -> None:
    code, reply, stderr = ask(*arguments, source=source)

    assert (code, reply.status) == (4, "failed")
    assert complaint in reply.message
    assert stderr == f"{reply.message}\n"
