"""The hook compose, with scripted output of docker."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from pytest_gaia.config.platform import Platform, Service
from pytest_gaia.deploy.compose.hook import ComposeHook
from pytest_gaia.errors import ConfigError
from tests.deploy.compose.test_shapes import CONFIG, ID, OWN, line
from tests.deploy.executables import a_request, executable
from tests.projects import gaia_platform

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_gaia.deploy.contract import Reply

FILE = "/srv/gaia/docker-compose.yml"
COMPOSE = ("docker", "compose", "--file", FILE)
UP = ("up", "--detach", "--wait", "--wait-timeout", "540")
SCRIPT = """
for word in "$@"; do case "$word" in up|ps|build|container|image) verb=$word; break;; esac; done
echo "$@" >> "$REPLIES/calls"
cat > "$REPLIES/$verb.stdin"
[ -f "$REPLIES/$verb.err" ] && cat "$REPLIES/$verb.err" >&2
[ -f "$REPLIES/$verb.out" ] && cat "$REPLIES/$verb.out"
exit "$(cat "$REPLIES/$verb.code" 2> /dev/null || echo 0)"
"""


@dataclass
class Docker:
    """The reply of docker to each verb."""

    folder: Path

    def says(self, verb: str, out: str = "", err: str = "", code: int = 0) -> None:
        (self.folder / f"{verb}.out").write_text(out)
        (self.folder / f"{verb}.err").write_text(err)
        (self.folder / f"{verb}.code").write_text(str(code))

    def runs(self, *containers: dict[str, Any]) -> None:
        self.says("ps", "\n".join(json.dumps(each) for each in containers))
        self.says("container", "\n".join(f"{each['ID']} {CONFIG} false" for each in containers))
        self.says("image", f'{CONFIG} ["gaia/gateway@{OWN}"]')

    @property
    def calls(self) -> list[str]:
        path = self.folder / "calls"
        return path.read_text().splitlines() if path.exists() else []


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Docker:
    executable(tmp_path / "bin" / "docker", SCRIPT)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    monkeypatch.setenv("REPLIES", str(tmp_path))
    return Docker(tmp_path)


def ask(phase: str, **changes: Any) -> Reply:
    request = a_request(phase, **{"environment": "local", "app": "gateway", "config": FILE, **changes})
    return ComposeHook(gaia_platform()).run(request, lambda _: None)


def test_a_plan_needs_no_docker_and_changes_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    assert ask("plan").commands == ((*COMPOSE, *UP, "--", "gateway"),)
    assert ask("deploy", dry_run=True) == ask("plan")
    assert (
        ask("rollback", dry_run=True, previous="gaia/gateway:1").commands
        == ask("plan", image="gaia/gateway:1").commands
    )


def test_to_rebuild_builds_without_the_cache_first() -> None:
    assert ask("plan", rebuild=True).commands == (
        (*COMPOSE, "build", "--no-cache", "--pull", "--", "gateway"),
        (*COMPOSE, *UP, "--", "gateway"),
    )


def test_a_given_image_is_laid_over_the_file_for_this_service_alone() -> None:
    planned = ask("plan", image=f"gaia/gateway@{OWN}")

    assert planned.commands == ((*COMPOSE, "--file", "-", *UP, "--no-build", "--no-deps", "--", "gateway"),)
    assert planned.message == f'standard input: {{"services": {{"gateway": {{"image": "gaia/gateway@{OWN}"}}}}}}'


def test_a_plan_names_the_override_file_that_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "docker-compose.override.yml").write_text("services: {}\n")

    said = ask("plan", config=str(tmp_path / "docker-compose.yml")).message

    assert said == ("docker-compose.override.yml is not applied, because Compose reads it only without --file")


def test_what_was_planned_is_what_is_run(docker: Docker) -> None:
    for image in (None, "gaia/gateway:2"):
        planned = ask("plan", image=image).commands
        reply = ask("deploy", image=image)

        assert (reply.status, reply.commands) == ("done", planned)
    assert docker.calls == [" ".join(ask("plan", image=each).commands[0][1:]) for each in (None, "gaia/gateway:2")]


def test_to_deploy_an_image_hands_it_over_on_standard_input(docker: Docker) -> None:
    reply = ask("rollback", previous="gaia/gateway:1", image="gaia/gateway:2")

    assert json.loads((docker.folder / "up.stdin").read_text()) == {
        "services": {"gateway": {"image": "gaia/gateway:1"}}
    }
    assert reply.image == "gaia/gateway:1"


def test_an_image_that_was_built_here_is_named_by_its_id(docker: Docker) -> None:
    docker.says("image", CONFIG)

    reply = ask("rollback", previous=f"gaia/gateway@{CONFIG}")

    assert json.loads((docker.folder / "up.stdin").read_text()) == {"services": {"gateway": {"image": CONFIG}}}
    assert reply.image == f"gaia/gateway@{CONFIG}"


def test_an_image_that_is_not_here_is_left_to_be_pulled(docker: Docker) -> None:
    docker.says("image", err=f"Error response from daemon: No such image: {OWN}", code=1)

    ask("deploy", image=f"gaia/gateway@{OWN}")

    up = json.loads((docker.folder / "up.stdin").read_text())
    assert up == {"services": {"gateway": {"image": f"gaia/gateway@{OWN}"}}}


def test_a_build_that_fails_ends_it_before_anything_is_replaced(docker: Docker) -> None:
    docker.says("build", err="failed to solve: exit code: 2", code=17)

    reply = ask("deploy", rebuild=True)

    assert reply.status == "failed"
    assert reply.message == "docker compose build ended with exit code 17: failed to solve: exit code: 2"
    assert not any(" up " in call for call in docker.calls)


@pytest.mark.parametrize(
    ("waits", "status"),
    [
        ("{migrate: {condition: service_completed_successfully}}", "done"),
        ("{migrate: {condition: service_started}}", "failed"),
        ("[migrate]", "failed"),
        ("{}", "failed"),
    ],
)
def test_up_that_fails_because_a_container_ended_is_believed_unless_it_was_a_one_shot(
    docker: Docker, tmp_path: Path, waits: str, status: str
) -> None:
    file = tmp_path / "docker-compose.yml"
    file.write_text(f"services:\n  gateway: {{depends_on: {waits}}}\n  migrate: {{restart: 'no'}}\n")
    docker.says("up", err="container gaia-migrate-1 exited (0)", code=1)
    docker.runs(line(), line(ID="b" * 64, Service="migrate", State="exited", Health="", ExitCode=0))

    reply = ask("deploy", config=str(file))

    assert reply.status == status
    how = "ended with exit code 1, because a container that runs once has succeeded."
    assert (reply.message == f"docker compose up {how}") == (status == "done")


def test_a_service_of_the_platform_is_no_one_shot_whatever_waits_for_it(docker: Docker, tmp_path: Path) -> None:
    file = tmp_path / "docker-compose.yml"
    waits = (
        "{db: {condition: service_completed_successfully}, auth-service: {condition: service_completed_successfully}}"
    )
    file.write_text(f"services:\n  gateway: {{depends_on: {waits}}}\n  db: {{}}\n  auth-service: {{}}\n")

    for service, app in (("postgres", "db"), ("auth", "auth-service")):
        docker.runs(line(Service=app, State="exited", Health="", ExitCode=0))

        observation = ask("observe", service=service, app=app, config=str(file)).observation

        assert observation is not None
        assert [machine.state for machine in observation.machines] == ["stopped"]


@pytest.mark.parametrize(("once", "state"), [(True, "completed"), (False, "stopped")])
def test_a_described_service_may_end_only_if_it_is_described_so(
    docker: Docker, tmp_path: Path, once: bool, state: str
) -> None:
    file = tmp_path / "docker-compose.yml"
    file.write_text(
        "services:\n  shop-schema: {}\n  web: {depends_on: {shop-schema: {condition: service_completed_successfully}}}\n"
    )
    platform = Platform({"schema": Service("schema", once=once, units={"compose": "shop-schema"})})
    docker.runs(line(Service="shop-schema", State="exited", Health="", ExitCode=0))

    request = a_request("observe", environment="local", service="schema", app="shop-schema", config=str(file))
    observation = ComposeHook(platform).run(request, lambda _: None).observation

    assert observation is not None
    assert [machine.state for machine in observation.machines] == [state]


@pytest.mark.parametrize(
    "others",
    [
        [line(Health="unhealthy")],
        [line(), line(ID="b" * 64, Service="migrate", State="exited", Health="", ExitCode=3)],
        [line(State="exited", Health="", ExitCode=0)],
        [],
    ],
)
def test_up_that_fails_for_a_reason_is_believed(docker: Docker, others: list[dict[str, Any]]) -> None:
    docker.says("up", err="container gaia-gateway-1 is unhealthy", code=1)
    docker.runs(*others)

    reply = ask("deploy")

    assert reply.status == "failed"
    assert reply.message == "docker compose up ended with exit code 1: container gaia-gateway-1 is unhealthy"
    assert reply.tail == ("container gaia-gateway-1 is unhealthy",)


def test_a_registry_that_limits_is_asked_again(docker: Docker) -> None:
    docker.says("up", err="toomanyrequests: You have reached your pull rate limit.", code=18)

    reply = ask("deploy")

    assert reply.status == "retry"
    assert reply.message.startswith("docker compose up: toomanyrequests")


@pytest.mark.parametrize("phase", ["deploy", "observe"])
def test_a_daemon_that_is_away_is_the_users_matter(docker: Docker, phase: str) -> None:
    for verb in ("up", "ps"):
        docker.says(verb, err="Cannot connect to the Docker daemon at unix:///var/run/docker.sock.", code=1)

    with pytest.raises(ConfigError, match=r"does not respond; start Docker\. Output: Cannot connect"):
        ask(phase)


def test_without_docker_it_says_what_was_looked_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(ConfigError, match=r"docker is not installed, or not on PATH.*Install Docker with its compose"):
        ask("observe")


def test_past_the_deadline_it_is_ended(docker: Docker) -> None:
    executable(docker.folder / "bin" / "docker", "exec sleep 600")

    reply = ask("deploy", deadline=0.3)

    assert reply.status == "failed"
    assert reply.message == "docker compose up exceeded its time limit of 0.3 s and was stopped."


def test_what_runs_is_observed_with_the_image_of_each_container(docker: Docker) -> None:
    docker.runs(line(), line(ID="c" * 64, Health=""))

    reply = ask("observe")

    observation = reply.observation
    assert observation is not None
    assert (reply.status, observation.exists, observation.hostname) == ("done", True, "localhost:8666")
    assert [(each.id, each.state, each.digest) for each in observation.machines] == [
        ("a" * 12, "started", OWN),
        ("c" * 12, "started", OWN),
    ]
    assert (
        docker.calls[1]
        == f"container inspect --format {{{{.Id}}}} {{{{.Image}}}} {{{{.State.OOMKilled}}}} {ID} {'c' * 64}"
    )


def test_the_digest_that_was_asked_for_is_known_again(docker: Docker) -> None:
    docker.runs(line())
    docker.says("image", f'{CONFIG} ["gaia/gateway@{OWN}","mirror/gateway@sha256:m1"]')

    observation = ask("observe", image="mirror/gateway@sha256:m1").observation

    assert observation is not None
    assert observation.machines[0].digest == "sha256:m1"


def test_a_service_without_containers_is_not_there(docker: Docker) -> None:
    docker.runs()

    observation = ask("observe").observation

    assert observation is not None
    assert (observation.exists, observation.machines) == (False, ())


def test_output_that_is_no_json_names_the_version_that_is_needed(docker: Docker) -> None:
    docker.says("ps", "{NAME   IMAGE   COMMAND")

    with pytest.raises(ConfigError, match=r"docker compose ps: invalid JSON .*version 2"):
        ask("observe")
