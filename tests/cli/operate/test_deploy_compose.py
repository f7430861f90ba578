"""``gaia deploy`` and ``gaia rollback`` with Docker Compose."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Outcome
    from tests.fake_tools import FakeTools

    Gaia = Callable[..., Outcome]

OTHER = "registry.example/auth@sha256:" + "7" * 64


def rows(out: str) -> list[list[str]]:
    return [line.split()[:3] for line in out.splitlines()[1:]]


def test_services_start_in_dependency_order(operated: Path, gaia: Gaia, fake_tools: FakeTools) -> None:
    code, out, err = gaia("deploy", "local")

    assert code == 0, err
    assert rows(out) == [["auth", "auth-service", "deployed"], ["gateway", "gateway", "deployed"]]
    ups = [call.argv for call in fake_tools.calls("docker", "compose") if "up" in call.argv]
    assert [argv[-3:] for argv in ups] == [("--", "auth-service", "gateway")]


OPEN = """\
services:
  gateway:
    image: gaia/gateway:1
    ports: ["${GATEWAY_PORT}:8000"]
    depends_on: {migrate: {condition: service_completed_successfully}}
  migrate: {image: "gaia/migrate:1", restart: "no"}
"""


def test_unknown_addresses_and_one_time_jobs_are_accepted(operated: Path, gaia: Gaia, fake_tools: FakeTools) -> None:
    (file,) = operated.rglob("docker-compose.yml")
    file.write_text(OPEN, encoding="utf-8")

    planned, deployed, status = gaia("deploy", "local", "--dry-run"), gaia("deploy", "local"), gaia("status", "local")

    assert [line.split("540 ")[1] for line in planned.out.splitlines()] == ["-- migrate gateway"]
    assert (planned.code, deployed.code, status.code) == (0, 0, 0), deployed.err
    assert rows(deployed.out)[:2] == [["migrate", "migrate", "deployed"], ["gateway", "gateway", "deployed"]]
    assert "migrate: ran once, and ended with exit code 0" in deployed.out
    assert rows(status.out)[0][:2] == ["local", "running"]


@pytest.mark.parametrize("options", [(), ("--dry-run",)])
def test_a_project_that_compose_refuses_is_not_planned(operated: Path, gaia: Gaia, options: tuple[str, ...]) -> None:
    (file,) = operated.rglob("docker-compose.yml")
    file.write_text(OPEN.replace("{migrate: {cond", "{migrat: {cond"), encoding="utf-8")

    code, out, err = gaia("deploy", "local", *options)

    assert (code, out) == (4, "")
    assert 'service "gateway" depends on undefined service "migrat"' in err
    assert f"{file.name}:5: services.gateway.depends_on" in err


def test_a_running_service_is_left_alone(operated: Path, gaia: Gaia) -> None:
    gaia("deploy", "local")

    code, out, _ = gaia("deploy", "local")

    assert code == 0
    assert rows(out) == [["auth", "auth-service", "unchanged"], ["gateway", "gateway", "unchanged"]]


def test_an_image_is_deployed_and_rolled_back(operated: Path, gaia: Gaia) -> None:
    gaia("deploy", "local")
    deployed, out, err = gaia("deploy", "local", "-s", "auth", "--image", OTHER)
    assert (deployed, rows(out)) == (0, [["auth", "auth-service", "deployed"]]), err

    code, out, err = gaia("rollback", "local", "--confirm", "local")

    assert code == 0, err
    assert rows(out) == [["auth", "auth-service", "rolled"]]
    assert "auth returns to auth@sha256:" in err


def test_the_commands_are_those_of_compose(operated: Path, gaia: Gaia, fake_tools: FakeTools) -> None:
    code, out, _ = gaia("deploy", "local", "--dry-run")

    (line,) = out.splitlines()
    words = shlex.split(line)
    assert (code, words[:2], words[-2:]) == (0, ["docker", "compose"], ["auth-service", "gateway"])
    assert {each.argv[:2] for each in fake_tools.calls()} == {("compose", "config")}


def test_what_compose_cannot_do_is_a_usage_error(operated: Path, gaia: Gaia, fake_tools: FakeTools) -> None:
    code, out, err = gaia("deploy", "local", "--region", "fra")

    assert (code, out) == (4, "")
    assert "--region: compose runs on this machine only" in err


def test_missing_docker_is_one_message(operated: Path, gaia: Gaia, fake_tools: FakeTools) -> None:
    fake_tools.without("docker")

    code, out, err = gaia("deploy", "local")

    assert (code, out) == (4, "")
    assert "docker is not installed" in err


@pytest.mark.parametrize(("fault", "outcome"), [("unhealthy", "failed"), ("phantom", "not rolled out")])
def test_the_outcome_follows_from_the_containers(
    operated: Path, gaia: Gaia, fake_tools: FakeTools, monkeypatch: pytest.MonkeyPatch, fault: str, outcome: str
) -> None:
    monkeypatch.setattr("pytest_gaia.rollout.step._STUCK_AFTER", 0.1)
    gaia("deploy", "local")
    fake_tools.fault("auth-service", fault)

    code, out, _ = gaia("deploy", "local", "-s", "auth", "--image", OTHER)

    assert (code, f"  {outcome}  " in out) == (1, True)
