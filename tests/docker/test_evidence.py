"""What runs decides what a run of pytest proves: states of containers before, and changes of them during the tests."""

from __future__ import annotations

import json
import re
import time
from typing import TYPE_CHECKING, NamedTuple

import pytest

from tests.docker.engine import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.docker.engine import Engine, Project

pytestmark = pytest.mark.slow("docker")

COMPOSE = """\
services:
  chat: &service
    image: tiny
    command: [sh, -c, "echo '{\\"status\\": \\"healthy\\"}' >/www/health; exec httpd -f -p 8000 -h /www"]
    stop_signal: SIGKILL
    ports: ["127.0.0.1:18202:8000"]
    healthcheck: {test: [CMD, wget, -qO-, "http://127.0.0.1:8000/health"], interval: 1s, retries: 1}
  gateway:
    <<: *service
    ports: ["127.0.0.1:18200:8000"]
    healthcheck: {test: [CMD, "true"], interval: 1s}
"""
TESTS = """\
import pytest

@pytest.mark.gaia(requires=["chat"])
async def test_marked(gateway):
    assert (await gateway.get("/health")).json(any_type=True) == {"status": "healthy"}

async def test_fixture(chat):
    assert (await chat.get("/health")).json(any_type=True) == {"status": "healthy"}

async def test_other(gateway):
    assert (await gateway.get("/health")).json(any_type=True) == {"status": "healthy"}
"""
DURING = """\
import subprocess

async def test_it(gateway):
    subprocess.run(["docker", *{words}], check=True, capture_output=True)
    assert (await gateway.get("/health")).json(any_type=True) == {{"status": "healthy"}}

async def test_other(gateway):
    assert (await gateway.get("/health")).json(any_type=True) == {{"status": "healthy"}}
"""
PYTEST_INI = """\
[pytest]
asyncio_mode = auto
asyncio_default_fixture_loop_scope = session
asyncio_default_test_loop_scope = session
"""
LOCAL = ("--gaia-env=local",)


@pytest.fixture(scope="module")
def running(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    with engine.project(tmp_path_factory.mktemp("evidence"), COMPOSE) as project:
        project.write("pytest.ini", PYTEST_INI)
        yield project


@pytest.fixture
def project(running: Project) -> Project:
    """The project, with healthy containers and the tests above."""
    running.compose("unpause")
    running.docker("compose", "kill", "--signal", "CONT", "gateway")
    running.compose("exec", "chat", "sh", "-c", 'echo \'{"status": "healthy"}\' >/www/health')
    # It fails at once for a container that is still unhealthy.
    wait_until(lambda: running.compose("up", "--detach", "--wait").code == 0)
    running.write("suites/chat/test_it.py", TESTS)
    return running


class Case(NamedTuple):
    """A condition of the service chat."""

    words: tuple[str, ...]
    state: str
    reason: str
    remedy: str = "docker compose up --detach chat"


CASES = (
    Case(("stop", "chat"), "stopped", "container {name}-chat-1 was stopped (exit code 137)"),
    Case(("kill", "chat"), "killed", "container {name}-chat-1 was killed (exit code 137)"),
    Case(("pause", "chat"), "paused", "container {name}-chat-1 is paused", "docker compose unpause chat"),
    Case(("rm", "--stop", "--force", "chat"), "stopped", "it has no container"),
    Case(
        ("exec", "chat", "rm", "/www/health"),
        "unhealthy",
        "container {name}-chat-1 is unhealthy: it passes 0 of 1 health checks",
        "docker compose logs chat",
    ),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: " ".join(case.words))
def test_tests_of_a_service_that_does_not_run_are_no_evidence(project: Project, case: Case) -> None:
    assert project.compose(*case.words).code == 0
    wait_until(lambda: state_of(project, "chat") == case.state)
    reason = case.reason.format(name=project.name)

    status, probe = project.gaia("status", "local"), project.gaia("status", "local", "--probe")
    ran = project.pytest(*LOCAL)

    assert (status.code, probe.code, ran.code) == (1, 1, 12), ran.out
    assert re.search(rf"^local +chat +{case.state}\b", status.out, re.MULTILINE), status.out
    assert re.search(rf"^chat +{case.state}\b", probe.out, re.MULTILINE), probe.out
    assert len(re.findall(rf"^  chat +(?:chat +)?{case.state}\b", ran.out, re.MULTILINE)) == 2, ran.out
    assert verdict(ran.out) == f"gaia verdict: INFRA on local: chat: {reason}: {case.remedy}, 1 passed"
    assert re.search(r"test_it\.py NN\.", ran.out), ran.out
    assert f"2 tests did not send a request to chat, which cannot be tested: {reason}: {case.remedy}" in flat(ran.out)


@pytest.mark.parametrize("way", [("-q",), ("-n", "2"), ("--gaia-concurrency=4",)], ids=" ".join)
def test_each_way_to_run_names_the_service(project: Project, way: tuple[str, ...]) -> None:
    project.compose("stop", "chat")

    ran = project.pytest(*LOCAL, *way)

    assert ran.code == 12, ran.out
    reason = f"chat: container {project.name}-chat-1 was stopped (exit code 137): docker compose up --detach chat"
    assert reason in verdict(ran.out)
    assert "-q" not in way or f"gaia: {reason}" in ran.out.splitlines()


def test_a_run_that_does_not_need_the_service_is_evidence(project: Project) -> None:
    project.compose("stop", "chat")

    ran = project.pytest(*LOCAL, "-k", "test_other")

    assert ran.code == 0, ran.out
    assert verdict(ran.out).startswith("gaia verdict: PARTIAL on local")


def test_a_required_service_that_is_paused_is_named_at_once(project: Project) -> None:
    project.compose("pause", "gateway")

    ran = project.pytest(*LOCAL)

    reason = f"container {project.name}-gateway-1 is paused"
    assert ran.code == 12
    assert verdict(ran.out) == f"gaia verdict: INFRA on local: gateway: {reason}: docker compose unpause gateway"
    assert f"  gateway: {reason}\n  fix: docker compose unpause gateway\n" in ran.out
    assert "in time" not in ran.out


def test_a_slow_gateway_is_degraded_by_the_service_that_is_stopped(project: Project) -> None:
    project.compose("stop", "chat")
    # It accepts connections, and never responds.
    project.compose("kill", "--signal", "STOP", "gateway")
    project.write(
        "suites/chat/test_it.py",
        TESTS.partition("async def test_fixture")[0] + "@pytest.mark.gaia(offline=True)\ndef test_offline(): pass\n",
    )

    ran = project.pytest(*LOCAL)

    assert ran.code == 12, ran.out
    assert re.search(r"^  gateway +degraded +\S+ +chat is stopped: no response in time$", ran.out, re.MULTILINE), (
        ran.out
    )
    assert re.search(r"test_it\.py N\.", ran.out), ran.out
    assert verdict(ran.out).startswith(
        f"gaia verdict: INFRA on local: chat: container {project.name}-chat-1 was stopped"
    )


@pytest.mark.parametrize(
    ("words", "way", "what"),
    [
        (("compose", "kill", "chat"), (), "was killed (exit code 137)"),
        (("compose", "stop", "chat"), ("--gaia-concurrency=4",), "was stopped (exit code 137)"),
        (("compose", "restart", "chat"), ("-n", "2"), "was restarted"),
        (("compose", "up", "--detach", "--force-recreate", "chat"), ("--gaia-deploy",), "was replaced"),
        (("compose", "rm", "--stop", "--force", "chat"), (), "was removed"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_containers_that_change_during_the_tests_are_named(
    project: Project, words: tuple[str, ...], way: tuple[str, ...], what: str
) -> None:
    project.write("suites/chat/test_it.py", DURING.format(words=repr(words)))

    ran = project.pytest(*LOCAL, *way)

    assert ran.code == 12, ran.out
    expected = f"gaia verdict: INFRA on local: chat: container {project.name}-chat-1 {what} during the tests"
    assert verdict(ran.out) == f"{expected}, 2 passed"


def test_containers_of_another_project_are_no_evidence(
    project: Project, engine: Engine, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with engine.project(tmp_path_factory.mktemp("other"), COMPOSE) as other:
        other.write("suites/chat/test_it.py", TESTS)

        ran, status = other.pytest(*LOCAL), other.gaia("status", "local")
        probe, deployed = other.gaia("status", "local", "--probe"), other.gaia("deploy", "local")

    theirs = f"container {project.name}-chat-1 of the Compose project {project.name} in {project.folder} (port 18202)"
    assert (ran.code, status.code, probe.code, deployed.code) == (12, 12, 12, 4), ran.out
    assert f"chat: {theirs} responds at its address" in flat(verdict(ran.out))
    assert "test_it.py" not in ran.out
    for said in (status.out, probe.out, deployed.err):
        assert theirs in flat(said)


def test_an_engine_that_does_not_respond_is_named(project: Project) -> None:
    project.compose("stop")
    host = "tcp://127.0.0.1:1"

    ran = project.pytest(*LOCAL, DOCKER_HOST=host)

    assert ran.code == 12
    why = f"docker ps: the Docker daemon at {host} (DOCKER_HOST) does not respond; start Docker, or unset DOCKER_HOST"
    assert verdict(ran.out) == f"gaia verdict: INFRA on local: gateway: connection refused; {why}"
    assert f"  fix: {why}" in ran.out
    assert "check the network" not in ran.out


def state_of(project: Project, service: str) -> str:
    """Return the state that ``gaia status`` prints."""
    (local,) = json.loads(project.gaia("status", "local", "--json").out)["environments"]
    return next(str(each["state"]) for each in local["apps"] if each["service"] == service)


def wait_until(holds: Callable[[], bool]) -> None:
    until = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.2)


def verdict(out: str) -> str:
    """Return the lines of the verdict as one."""
    return flat(out[out.index("gaia verdict:") :])


def flat(text: str) -> str:
    return " ".join(text.split())
