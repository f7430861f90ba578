"""What ``gaia deploy``, ``gaia status`` and a run report of each state of a container."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

import pytest

from tests.docker.places import plain
from tests.docker.shop import CHAT, GATEWAY, HTTPD, ONCE_BEFORE, compose, outcomes, service, shop, states

if TYPE_CHECKING:
    from pathlib import Path

    from tests.docker.engine import Engine

pytestmark = pytest.mark.slow("docker")


class Changed(NamedTuple):
    """What was done to chat by hand, and what the commands then report."""

    command: str
    state: str
    text: str
    deployed: tuple[int, str]
    """exit code of ``gaia deploy``, and what it prints of chat"""


BY_HAND = {
    "stopped": Changed(
        "stop chat",
        "stopped",
        "container P-chat-1 was stopped (exit code 143)",
        (0, "chat: container P-chat-1 was stopped (exit code 143); it was started again"),
    ),
    "killed": Changed(
        "kill chat",
        "killed",
        "container P-chat-1 was killed (exit code 137)",
        (0, "chat: container P-chat-1 was killed (exit code 137); it was started again"),
    ),
    "paused": Changed(
        "pause chat",
        "paused",
        "container P-chat-1 is paused",
        (4, "container P-chat-1 is paused. Continue it first: docker compose unpause chat. Nothing was changed."),
    ),
    "removed": Changed("rm -s -f chat", "stopped", "", (0, "chat: deployed")),
}


@pytest.mark.parametrize("name", BY_HAND)
def test_what_was_done_by_hand_is_named_and_repaired(engine: Engine, tmp_path: Path, name: str) -> None:
    changed = BY_HAND[name]
    with shop(engine, tmp_path) as project:
        project.up()
        assert project.compose(*changed.command.split()).code == 0

        status, deployed = project.gaia("status", "local"), project.gaia("deploy", "local")

    assert (status.code, states(status.out)["chat"], changed.text in plain(status.out)) == (1, changed.state, True)
    code, text = changed.deployed
    assert (deployed.code, text in plain(deployed.out + deployed.err)) == (code, True), deployed
    if code == 0:
        assert outcomes(deployed.out) == {"chat": "deployed", "gateway": "unchanged"}


def test_healthy_services_stay_as_they_are(engine: Engine, tmp_path: Path) -> None:
    with shop(engine, tmp_path) as project:
        first, again, status = (project.gaia(word, "local") for word in ("deploy", "deploy", "status"))
        run = project.pytest("--gaia-env=local")

    assert (first.code, outcomes(first.out)) == (0, {"chat": "deployed", "gateway": "deployed"}), first
    assert (again.code, outcomes(again.out)) == (0, {"chat": "unchanged", "gateway": "unchanged"}), again
    assert (status.code, states(status.out)["chat"]) == (0, "healthy")
    assert (run.code, "gaia verdict: PROMOTE on local: 2 passed" in run.out) == (0, True), run.out


class Situation(NamedTuple):
    """A project, and what ``gaia deploy`` and then ``gaia status`` report."""

    services: tuple[str, ...]
    code: int
    outcomes: dict[str, str]
    text: str
    """pattern of a part of the output of ``gaia deploy``"""
    state: str = ""
    """of chat, or of the failed service; empty if it changes too fast"""
    status: str = ""
    """part of the output of ``gaia status``"""
    stable_for: float = 1


def chat(command: str, *keys: str) -> str:
    """Return chat without a health check."""
    return service("chat", command, *keys, check=None)


FAILED = {"chat": "failed", "gateway": "deployed"}
LOOPING = "chat: container P-chat-1 keeps failing: it was restarted"
SITUATIONS = {
    "out of memory": Situation(
        (GATEWAY, chat('sh -c "sleep 2; tail /dev/zero"', "mem_limit: 8m")),
        1,
        FAILED,
        r"container P-chat-1 ran out of memory \(exit code 137\)",
        "out of memory",
        "container P-chat-1 ran out of memory (exit code 137)",
        stable_for=5,
    ),
    "out of memory again and again": Situation(
        (GATEWAY, chat('sh -c "sleep 1; tail /dev/zero"', "mem_limit: 8m", "restart: always")),
        1,
        FAILED,
        LOOPING,
        stable_for=5,
    ),
    "a fast restart loop": Situation(
        (GATEWAY, chat('sh -c "sleep 0.3; exit 3"', "restart: always")), 1, FAILED, LOOPING
    ),
    "a restart loop with exit code 0": Situation(
        (GATEWAY, chat('sh -c "sleep 0.3; exit 0"', "restart: always")), 1, FAILED, LOOPING
    ),
    "a slow restart loop": Situation(
        (GATEWAY, chat('sh -c "sleep 3; exit 3"', "restart: always")), 1, FAILED, LOOPING, stable_for=6
    ),
    "restarted twice": Situation(
        (GATEWAY, chat('sh -c "exit 3"', "restart: 'on-failure:2'")),
        1,
        FAILED,
        # The engine may be about to restart it for the second time.
        "container P-chat-1 (crashed with exit code 3|keeps failing: it was restarted 2 times)",
        "crashed",
        "container P-chat-1 crashed with exit code 3",
    ),
    "a crash while it is watched": Situation(
        (GATEWAY, chat('sh -c "sleep 3; exit 3"')),
        1,
        FAILED,
        "container P-chat-1 crashed with exit code 3",
        "crashed",
        "container P-chat-1 crashed with exit code 3",
        stable_for=5,
    ),
    "unhealthy": Situation(
        (GATEWAY, service("chat", "sleep 1000")),
        1,
        FAILED,
        "container P-chat-1 is unhealthy: it passes 0 of 1 health checks",
        "unhealthy",
        "container P-chat-1 is unhealthy: it passes 0 of 1 health checks",
    ),
    "a one-shot before": Situation(
        (GATEWAY, service("chat", HTTPD, ONCE_BEFORE, port=18001), service("migrate", "'true'", check=None)),
        0,
        {"migrate": "deployed", "chat": "deployed", "gateway": "deployed"},
        "migrate: ran once, and ended with exit code 0",
        "healthy",
    ),
    "a failed one-shot": Situation(
        (GATEWAY, CHAT, service("migrate", 'sh -c "exit 2"', check=None)),
        1,
        {"chat": "deployed", "migrate": "failed", "gateway": "deployed"},
        "container P-migrate-1 crashed with exit code 2",
        "healthy",
        "migrate: container P-migrate-1 crashed with exit code 2",
    ),
    "a failed one-shot before": Situation(
        (GATEWAY, service("chat", HTTPD, ONCE_BEFORE, port=18001), service("migrate", 'sh -c "exit 2"', check=None)),
        1,
        {"migrate": "failed", "chat": "not started", "gateway": "deployed, with an error of the tool"},
        'service "migrate" didn\'t complete successfully: exit 2; container P-migrate-1 crashed with exit code 2',
        "created",
        "container P-chat-1 was created, but not started",
    ),
    "an unhealthy dependency": Situation(
        (
            service("gateway", HTTPD, "depends_on: {chat: {condition: service_healthy}}", port=18000),
            service("chat", "sleep 1000"),
        ),
        1,
        {"chat": "failed", "gateway": "not started"},
        "dependency failed to start: container P-chat-1 is unhealthy",
        "unhealthy",
    ),
    "a server that ends with 0": Situation(
        (GATEWAY, chat("'true'")),
        1,
        FAILED,
        "container P-chat-1 ended with exit code 0",
        "stopped",
        "container P-chat-1 ended with exit code 0",
    ),
    "a wrong command of a shell": Situation(
        (GATEWAY, chat('sh -c "nosuch"')),
        1,
        FAILED,
        "container P-chat-1 crashed with exit code 127",
        "crashed",
        "container P-chat-1 crashed with exit code 127",
    ),
}


@pytest.mark.parametrize("name", SITUATIONS)
def test_deploy_and_status_report_the_same_of_a_state(engine: Engine, tmp_path: Path, name: str) -> None:
    situation = SITUATIONS[name]
    with shop(engine, tmp_path, *situation.services, stable_for=situation.stable_for) as project:
        deployed = project.gaia("deploy", "local")
        if situation.state:
            engine.wait_for_restarts(project.name)
        status = project.gaia("status", "local") if situation.state else None

    # Whether `up` itself notices the end of a container is a matter of time.
    found = {
        service: outcome.replace("not rolled out", "failed") for service, outcome in outcomes(deployed.out).items()
    }
    assert (deployed.code, found) == (situation.code, situation.outcomes), deployed
    assert re.search(situation.text, plain(deployed.out)), deployed.out
    if status is not None:
        assert (status.code, states(status.out)["chat"]) == (situation.code, situation.state), status.out
        assert situation.status in plain(status.out)


def test_a_completed_one_shot_is_good_and_runs_once_a_deployment(engine: Engine, tmp_path: Path) -> None:
    counting = service("migrate", 'sh -c "echo x >> /data/runs"', "volumes: ['data:/data']", check=None)
    waiting = service("chat", HTTPD, ONCE_BEFORE, port=18001)
    gateway = service("gateway", HTTPD, ONCE_BEFORE, port=18000)
    with shop(engine, tmp_path, gateway, waiting, counting, "volumes: {data: }\n") as project:
        codes = [project.gaia("deploy", "local").code for _ in range(2)]
        status = project.gaia("status", "local")
        runs = engine.docker("run", "--rm", "--volume", f"{project.name}_data:/data", "tiny", "cat", "/data/runs")

    assert (codes, runs.split()) == ([0, 0], ["x", "x"])
    assert (status.code, states(status.out)["migrate"]) == (0, "completed")


def test_a_service_that_starts_is_not_unhealthy(engine: Engine, tmp_path: Path) -> None:
    slow = service("chat", "sleep 1000", check="interval: 1s, start_period: 600s")
    with shop(engine, tmp_path, GATEWAY, slow) as project:
        assert project.compose("up", "--detach").code == 0
        status = project.gaia("status", "local")

    assert "container P-chat-1 is starting for " in plain(status.out)


def test_a_container_of_compose_run_is_not_counted(engine: Engine, tmp_path: Path) -> None:
    with shop(engine, tmp_path) as project:
        project.up()
        assert project.compose("run", "--detach", "--no-deps", "chat", "sh", "-c", "exit 3").code == 0

        status = project.gaia("status", "local")

    assert (status.code, states(status.out)) == (0, {"gateway": "healthy", "chat": "healthy"}), status.out


def test_nothing_runs_after_down(engine: Engine, tmp_path: Path) -> None:
    with shop(engine, tmp_path) as project:
        status, run = project.gaia("status", "local"), project.pytest("--gaia-env=local")

    assert (status.code, states(status.out)) == (0, {"gateway": "stopped", "chat": "stopped"})
    assert (run.code, "gaia verdict: INFRA on local" in run.out) == (12, True)


def test_replicas_are_those_of_the_file(engine: Engine, tmp_path: Path) -> None:
    with shop(engine, tmp_path, GATEWAY, service("chat", HTTPD, "scale: 2")) as project:
        project.up("--scale", "chat=3")
        deployed = project.gaia("deploy", "local")
        counted = len(project.containers("chat"))
        engine.docker("stop", "--time", "0", f"{project.name}-chat-2")
        status = project.gaia("status", "local")
        scaled = project.gaia("scale", "local", "chat", "--count", "2")

    assert (deployed.code, counted) == (0, 2), deployed
    assert (status.code, "container P-chat-2 was stopped" in plain(status.out)) == (1, True), status.out
    assert (scaled.code, "Only services on Fly can be scaled" in scaled.err) == (4, True), scaled.err


def test_a_file_is_compared_with_the_state_of_its_services(engine: Engine, tmp_path: Path) -> None:
    silent = service("chat", "sleep 1000", check=None, port=18001)
    with shop(engine, tmp_path) as project:
        project.write("docker-compose.yml", compose(GATEWAY, silent))
        deployed, status = project.gaia("deploy", "local"), project.gaia("status", "local")
        run = project.pytest("--gaia-env=local", "--gaia-deploy")

    # Only the published port shows that nothing listens; a run needs it, a deployment cannot know it.
    assert (deployed.code, status.code, run.code) == (0, 1, 12), run.out
    assert "chat: connection reset" in status.out
