"""Rollbacks of containers on a real engine: tags that move, images that are gone, and going forward again."""

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
[env.local]
from = "compose"
[env.local.deploy]
deadline = 20
stable_for = 0.2
"""
COMPOSE = """\
services:
  chat:
    image: chat:1
    command: sleep 1000
    stop_signal: KILL
"""


@pytest.fixture
def moved(engine: Engine, tmp_path: Path) -> Iterator[Project]:
    """A project that was deployed twice with the same tag, which named another image the second time."""
    with engine.project(tmp_path, COMPOSE, GAIA_TOML) as project:
        for version in ("1", "2"):
            engine.new_image("chat:1", version)
            code, _, err = project.gaia("deploy", "local")
            assert code == 0, err
        yield project


def version(project: Project) -> str:
    """Return the version of the image that runs."""
    found: str = project.container("chat")["Image"]
    return project.engine.docker("image", "inspect", "--format", "{{.Config.Labels.version}}", found)


def history(project: Project) -> str:
    """Return the deployment history."""
    return (project.folder / ".gaia" / "deployments" / "local.jsonl").read_text(encoding="utf-8")


def test_a_rollback_names_the_image_that_the_container_had(moved: Project) -> None:
    code, out, err = moved.gaia("rollback", "local", "--yes")

    assert (code, version(moved)) == (0, "1"), err
    assert re.search(r"^chat returns to chat@sha256:[0-9a-f]{64} \(ran well until", err, re.MULTILINE)
    assert "sha256@" not in out + err + history(moved)


def test_a_rollback_is_not_rolled_back_unless_something_else_runs(moved: Project) -> None:
    assert moved.gaia("rollback", "local", "--yes").code == 0

    again = moved.gaia("rollback", "local", "--yes")
    moved.up()
    forward = version(moved)
    back = moved.gaia("rollback", "local", "--yes")

    assert (again.code, forward, back.code, version(moved)) == (4, "2", 0, "1"), back.err
    assert "a rollback is not rolled back" in again.err


def test_gaia_deploy_goes_forward_again_and_back(moved: Project) -> None:
    versions = []
    for command in ("rollback", "deploy", "rollback"):
        assert moved.gaia(command, "local", *(["--yes"] if command == "rollback" else [])).code == 0
        versions.append(version(moved))

    assert versions == ["1", "2", "1"]


@pytest.mark.parametrize("options", [("--yes",), ("--dry-run",)])
def test_an_image_that_is_gone_is_no_target(moved: Project, options: tuple[str, ...]) -> None:
    before = moved.container("chat")["Id"]
    moved.engine.docker("image", "prune", "--force")

    code, out, err = moved.gaia("rollback", "local", *options)

    assert (code, out) == (4, "")
    assert "the image is no longer on this machine, and in no registry" in err
    assert re.search(r"Known-good images on this machine: chat@sha256:[0-9a-f]{64}\.", err)
    assert moved.container("chat")["Id"] == before


def test_an_unknown_id_is_refused_at_once(engine: Engine, tmp_path: Path) -> None:
    unknown = f"chat=sha256:{'a' * 64}"
    with engine.project(tmp_path, COMPOSE, GAIA_TOML) as project:
        back = project.gaia("rollback", "local", "--yes", "--to", unknown)
        forward = project.gaia("deploy", "local", "--image", unknown)
        planned = project.gaia("deploy", "local", "--dry-run", "--image", unknown)
        found = project.containers("chat")

    assert [back.code, forward.code, planned.code, found] == [4, 4, 4, []]
    assert "the image is no longer on this machine, and in no registry" in back.err
    for each in (forward, planned):
        assert "is not on this machine, and an id cannot be pulled" in each.err
        assert "No such image" not in each.err


def test_an_unreachable_registry_is_tried_twice(engine: Engine, tmp_path: Path) -> None:
    with engine.project(tmp_path, COMPOSE, GAIA_TOML) as project:
        code, out, err = project.gaia("deploy", "local", "--image", "chat=registry.invalid/chat:nosuch", "--json")
        found = project.containers("chat")

    (step,) = json.loads(out)["steps"]
    assert (code, step["outcome"], found) == (12, "unavailable", [])
    expected = "the image registry.invalid/chat:nosuch is not on this machine, and its registry cannot be reached."
    assert step["reason"].startswith(expected)
    assert err.count("chat Pulling") == 2
    assert "No such image" not in err
