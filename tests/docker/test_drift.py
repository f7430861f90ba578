"""``gaia status`` shows how the containers of a real engine differ from the compose files."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.docker.engine import Engine, Project

pytestmark = pytest.mark.slow("docker")

GAIA_TOML = """\
[services.chat]
[services.asset]
[env.local]
from = "compose"
[env.local.deploy]
stable_for = 0.2
"""
ASSET = '  asset: {image: "drift:1", command: sleep 1000, stop_signal: KILL}\n'
COMPOSE = f"""\
services:
  chat:
    image: drift:1
    command: sleep 1000
    stop_signal: KILL
    env_file: variables
    depends_on: {{extra: {{condition: service_started, required: false}}}}
{ASSET}\
  extra: {{image: "drift:1", command: sleep 1000, stop_signal: KILL, profiles: [more]}}
"""
CHANGED = "the compose file, or a variable in it, has changed since the container was created"


@pytest.fixture
def started(engine: Engine, tmp_path: Path) -> Iterator[Project]:
    """A project that Compose has started, together with the service of a profile."""
    engine.new_image("drift:1", "1")
    with engine.project(tmp_path, COMPOSE, GAIA_TOML) as project:
        project.write("variables", "A=1")
        project.up("extra")
        project.up()
        yield project


def shown(project: Project) -> dict[str, Any]:
    """Return what ``gaia status local --json`` shows of the environment; it must end with 0."""
    code, out, err = project.gaia("status", "local", "--json")
    assert code == 0, err
    (environment,) = json.loads(out)["environments"]
    return {"orphans": environment["orphans"], **{app["service"]: app["differences"] for app in environment["apps"]}}


def test_what_compose_would_leave_as_it_is_differs_in_nothing(started: Project) -> None:
    assert shown(started) == {"orphans": [], "chat": [], "asset": []}


def test_a_changed_file_and_a_removed_service_are_shown(started: Project) -> None:
    started.write("docker-compose.yml", COMPOSE.replace("1000", "999", 1).replace(ASSET, ""))

    found = shown(started)
    code, out, _ = started.gaia("status", "local")

    assert found == {"orphans": [f"container {started.name}-asset-1 still runs"], "chat": [CHANGED], "asset": []}
    assert [line for line in out.splitlines() if line.startswith("drift: ")] == [
        f"drift: local: chat: {CHANGED}",
        f"drift: local: orphan: container {started.name}-asset-1 still runs",
        "drift: local: the next `gaia deploy local` or `docker compose up` replaces what differs",
    ]
    assert code == 0


def test_a_changed_variable_is_shown(started: Project) -> None:
    started.write("variables", "A=2")

    assert shown(started) == {"orphans": [], "chat": [CHANGED], "asset": []}


def test_a_tag_that_names_another_image_now_is_shown(started: Project) -> None:
    started.engine.new_image("drift:1", "2")

    assert shown(started)["chat"] == ["its tag drift:1 now names another image"]


def test_a_rollback_differs_from_the_files_until_compose_goes_forward_again(started: Project) -> None:
    identifier = started.container("chat")["Image"]
    started.engine.new_image("drift:1", "2")
    code, _, err = started.gaia("rollback", "local", "--yes", "--to", f"chat={identifier}")
    back = shown(started)["chat"]
    started.up()

    assert code == 0, err
    assert back == [f"it runs {identifier}, and the compose file names drift:1"]
    assert shown(started)["chat"] == []


def test_a_service_that_compose_leaves_as_it_is_is_unchanged_next_to_a_job_that_ends(started: Project) -> None:
    started.change(ASSET, '  asset: {image: "drift:1", command: "true"}\n')
    started.change("[services.asset]", "[services.asset]\nonce = true", "gaia.toml")

    code, out, err = started.gaia("deploy", "local", "--json")

    assert code == 0, err
    assert {each["service"]: each["outcome"] for each in json.loads(out)["steps"]} == {
        "chat": "unchanged", "asset": "deployed",
    }  # fmt: skip


def test_an_orphan_that_keeps_a_port_is_named_before_anything_changes(started: Project) -> None:
    port = '    ports: ["127.0.0.1:18070:8000"]\n    env_file'
    started.change("    env_file", port)
    started.up("chat")
    started.change("  chat:", "  talk:")
    started.change("[services.chat]", "[services.talk]", "gaia.toml")

    code, _, err = started.gaia("deploy", "local")

    orphan = f"container {started.name}-chat-1 of the service chat, which is no longer in the compose file (port 18070)"
    assert code == 4
    assert f"its place is taken by {orphan}" in err
