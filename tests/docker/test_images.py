"""Images on a real engine: missing ones, builds, tags that moved, and rollbacks."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.docker.engine import PREPARED
from tests.docker.shop import CHAT, GATEWAY, outcomes, shop, states

if TYPE_CHECKING:
    from pathlib import Path

    from tests.docker.engine import Engine, Project

pytestmark = pytest.mark.slow("docker")

UNREACHABLE = "the image {} is not on this machine, and its registry cannot be reached"


def test_an_image_whose_registry_cannot_be_reached_is_named_after_two_attempts(engine: Engine, tmp_path: Path) -> None:
    with shop(engine, tmp_path, GATEWAY, CHAT.replace("image: tiny", "image: nosuch:1")) as project:
        deployed = project.gaia("deploy", "local")

    assert (deployed.code, UNREACHABLE.format("nosuch:1") in deployed.out) == (12, True), deployed
    assert deployed.err.count("chat Pulling") == 2


def test_an_image_that_may_not_be_pulled_is_a_usage_error(engine: Engine, tmp_path: Path) -> None:
    with shop(engine, tmp_path, GATEWAY, CHAT.replace("tiny", "nosuch:1\n    pull_policy: never")) as project:
        deployed = project.gaia("deploy", "local")

    assert (deployed.code, "No such image: nosuch:1" in deployed.err) == (4, True), deployed


def test_an_unknown_digest_leaves_what_runs(engine: Engine, tmp_path: Path) -> None:
    with shop(engine, tmp_path) as project:
        project.up()
        before = project.container("chat")["Id"]

        image = f"tiny@sha256:{'7' * 64}"
        deployed = project.gaia("deploy", "local", "--image", f"chat={image}")

        assert project.container("chat")["Id"] == before
    assert (deployed.code, UNREACHABLE.format(image) in deployed.out) == (12, True), deployed


def test_a_service_is_deployed_if_and_only_if_its_build_changed(engine: Engine, tmp_path: Path) -> None:
    with shop(engine, tmp_path, GATEWAY, CHAT.replace("image: tiny", "build: .")) as project:
        project.write("Dockerfile", "FROM tiny\nCOPY page /www/page\n")
        project.write("page", "one\n")
        first = project.gaia("deploy", "local")
        project.write("page", "two\n")
        changed, unchanged = project.gaia("deploy", "local"), project.gaia("deploy", "local")
        page = project.compose("exec", "-T", "chat", "cat", "/www/page").out
        project.write("Dockerfile", "FROM tiny\nRUN false\n")
        broken = project.gaia("deploy", "local")

    assert (first.code, outcomes(first.out)["chat"]) == (0, "deployed"), first
    assert (changed.code, outcomes(changed.out)["chat"], page) == (0, "deployed", "two\n"), changed
    assert (unchanged.code, outcomes(unchanged.out)["chat"]) == (0, "unchanged"), unchanged
    assert (broken.code, outcomes(broken.out)["chat"], "failed to solve" in broken.out) == (1, "failed", True), broken


def move_tag(project: Project) -> None:
    """Give the tag ``mine:1`` to another image."""
    project.engine.docker("import", "--change", f"LABEL made={project.name}", str(PREPARED / "tiny.tar"), "mine:1")


def test_a_rollback_returns_to_the_image_before_a_tag_moved(engine: Engine, tmp_path: Path) -> None:
    with shop(engine, tmp_path, GATEWAY, CHAT.replace("image: tiny", "image: mine:1")) as project:
        move_tag(project)
        project.gaia("deploy", "local")
        first = project.container("chat")["Image"]
        engine.docker("import", "--change", "LABEL made=again", str(PREPARED / "tiny.tar"), "mine:1")
        moved = project.gaia("deploy", "local")
        back = project.gaia("rollback", "local", "--confirm", "local")
        now = project.container("chat")["Image"]
        # Compose goes forward again; what runs then is what can be rolled back.
        project.up()
        again = project.gaia("rollback", "local", "--confirm", "local", "--dry-run")

    assert (moved.code, outcomes(moved.out)) == (0, {"chat": "deployed", "gateway": "unchanged"}), moved
    assert (back.code, now) == (0, first), back
    assert f"chat returns to mine@{first}" in back.err
    assert "sha256@sha256" not in back.out + back.err + again.err
    assert again.code == 0, again.err


def test_a_rollback_to_an_image_that_was_removed_is_refused_before_anything_changes(
    engine: Engine, tmp_path: Path
) -> None:
    with shop(engine, tmp_path, GATEWAY, CHAT.replace("image: tiny", "image: mine:1")) as project:
        move_tag(project)
        project.gaia("deploy", "local")
        first = project.container("chat")["Image"]
        engine.docker("import", "--change", "LABEL made=later", str(PREPARED / "tiny.tar"), "mine:1")
        project.gaia("deploy", "local")
        engine.docker("rmi", first)
        before = project.container("chat")["Id"]

        back = project.gaia("rollback", "local", "--confirm", "local")

        assert project.container("chat")["Id"] == before
    assert back.code == 4, back


def test_without_a_journal_there_is_nothing_to_return_to(engine: Engine, tmp_path: Path) -> None:
    with shop(engine, tmp_path) as project:
        project.up()
        back = project.gaia("rollback", "local", "--confirm", "local")
        status = project.gaia("status", "local")

    assert (back.code, "--to" in back.err) == (4, True), back
    assert (status.code, states(status.out)["chat"]) == (0, "healthy")
    assert not re.search("Traceback", back.err)
