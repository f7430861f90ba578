"""``gaia logs`` of containers on a real engine."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.docker.engine import Engine, Project

pytestmark = pytest.mark.slow("docker")

GAIA_TOML = """\
[services.chat]
[services.mute]
[env.local]
from = "compose"
"""
COMPOSE = """\
services:
  chat:
    image: tiny
    command:
      - sh
      - -c
      - |
        echo '{"level": "WARN", "msg": "late"}'
        printf "\\033[31mERROR\\033[0m no route\\n"
        echo "connects to postgresql://shop:hunter2@db/shop"
        echo "connects to postgresql://shop:hunter2@db/shop"
        until test -e /over; do sleep 0.1; done
        exit 7
  mute:
    image: tiny
    command: sh -c "echo unseen; sleep 100"
    stop_signal: KILL
    logging: {driver: none}
"""


@pytest.fixture
def started(engine: Engine, tmp_path: Path) -> Iterator[Project]:
    """A project whose container has written four lines, and another one that keeps none."""
    with engine.project(tmp_path, COMPOSE, GAIA_TOML) as project:
        assert project.compose("up", "--detach").code == 0
        yield project


def test_json_has_the_time_the_level_and_the_container_of_each_line(started: Project) -> None:
    code, out, err = started.gaia("logs", "local", "chat", "--json")

    lines = [json.loads(line) for line in out.splitlines()]
    assert code == 0, err
    assert [each["level"] for each in lines] == ["warn", "error", None, None]
    assert {each["machine"] for each in lines} == {f"{started.name}-chat-1"}
    assert all(re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", each["time"]) for each in lines)
    assert lines[1]["message"] == "ERROR no route"
    assert lines[2]["message"] == lines[3]["message"]
    assert "hunter2" not in out


def test_the_end_of_a_container_is_no_line_of_its_service(started: Project) -> None:
    with started.engine.start("gaia", "logs", "local", "chat", "--follow", cwd=started.folder) as following:
        assert following.stdout is not None
        assert following.stderr is not None
        lines = [following.stdout.readline() for _ in range(4)]
        assert started.compose("exec", "chat", "touch", "/over").code == 0
        rest, err = following.stdout.read(), following.stderr.read()

    assert (following.returncode, rest) == (0, ""), err
    assert lines[3].endswith("@db/shop\n")
    assert "note: chat-1 exited with code 7" in err.splitlines()


def test_a_container_without_kept_lines_is_named_once(started: Project) -> None:
    code, out, err = started.gaia("logs", "local", "mute")

    assert (code, out) == (0, "")
    assert len(err.splitlines()) == 1
    assert err.startswith(
        f"note: Docker keeps no logs of container {started.name}-mute-1, because of its logging driver"
    )
