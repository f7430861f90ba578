"""Images on a real engine: missing ones, and builds."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.docker.shop import CHAT, GATEWAY, outcomes, shop, states

if TYPE_CHECKING:
    from pathlib import Path

    from tests.docker.engine import Engine

pytestmark = pytest.mark.slow("docker")

UNREACHABLE = "the image {} is not on this machine, and its registry cannot be reached"


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


def test_without_a_journal_there_is_nothing_to_return_to(engine: Engine, tmp_path: Path) -> None:
    with shop(engine, tmp_path) as project:
        project.up()
        back = project.gaia("rollback", "local", "--confirm", "local")
        status = project.gaia("status", "local")

    assert (back.code, "--to" in back.err) == (4, True), back
    assert (status.code, states(status.out)["chat"]) == (0, "healthy")
    assert not re.search("Traceback", back.err)
