"""``docker`` and ``docker compose``: what runs after each command, and their output."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.fakes.asking import ask

if TYPE_CHECKING:
    from pathlib import Path

    from tests.fake_tools import FakeTools

TEXT = """\
services:
  gateway:
    build: .
    ports: ["8666:8000"]
    depends_on: [auth-service]
    healthcheck:
      test: curl -f http://localhost:8000/health
  auth-service:
    image: gaia/auth:dev
    depends_on:
      migrate:
        condition: service_completed_successfully
  migrate:
    image: gaia/migrate:dev
"""


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "gaia" / "docker-compose.yml"
    path.parent.mkdir()
    path.write_text(TEXT, encoding="utf-8")
    return str(path)


def up(tools: FakeTools, file: str, *words: str) -> int:
    return tools.run("docker", "compose", "-f", file, "up", "-d", "--wait", "--wait-timeout", "90", *words).returncode


def listed(tools: FakeTools, file: str) -> dict[str, dict[str, Any]]:
    done = tools.run("docker", "ps", "--all", "--format", "json", "--filter", "label=com.docker.compose.project=gaia")
    assert done.returncode == 0, done.stderr
    return {each["Names"]: each for each in map(json.loads, done.stdout.splitlines())}


def image(tools: FakeTools, container: str) -> str:
    return tools.run("docker", "container", "inspect", "--format", "{{.Image}}", container).stdout.strip()


def started(tools: FakeTools, name: str) -> int:
    """Return how often a container was started."""
    words = ("--since", "600s", "--until", "0s", "--filter", "event=start", "--format", "{{.ID}}")
    events = tools.run("docker", "events", *words).stdout.split()
    return events.count(tools.run("docker", "inspect", "--format", "{{.Id}}", name).stdout.strip())


def test_up_brings_up_everything_and_ps_prints_an_object_a_line(fake_tools: FakeTools, file: str) -> None:
    assert up(fake_tools, file) == 0

    containers = listed(fake_tools, file)
    assert set(containers) == {"gaia-gateway-1", "gaia-auth-service-1", "gaia-migrate-1"}
    gateway = containers["gaia-gateway-1"]
    assert (gateway["State"], gateway["Status"]) == ("running", "Up 6 seconds (healthy)")
    assert gateway["Ports"] == "0.0.0.0:8666->8000/tcp"
    assert containers["gaia-auth-service-1"]["Status"] == "Up 6 seconds"


def test_one_service_brings_what_it_needs_by_default(fake_tools: FakeTools, file: str) -> None:
    assert up(fake_tools, file, "--no-deps", "auth-service") == 0
    assert set(listed(fake_tools, file)) == {"gaia-auth-service-1"}

    assert up(fake_tools, file, "auth-service") == 0
    assert set(listed(fake_tools, file)) == {"gaia-auth-service-1", "gaia-migrate-1"}


def test_what_runs_by_the_file_is_left_alone_and_what_has_ended_runs_again(fake_tools: FakeTools, file: str) -> None:
    up(fake_tools, file)
    before = listed(fake_tools, file)

    up(fake_tools, file)
    after = listed(fake_tools, file)
    assert before["gaia-migrate-1"]["State"] == after["gaia-migrate-1"]["State"] == "exited"
    assert before == after
    assert started(fake_tools, "gaia-migrate-1") == 2

    up(fake_tools, file, "--force-recreate")
    assert {each["ID"] for each in listed(fake_tools, file).values()}.isdisjoint(x["ID"] for x in before.values())


def test_a_new_source_runs_only_after_a_build_or_a_pull(fake_tools: FakeTools, file: str) -> None:
    up(fake_tools, file)
    gateway, auth = image(fake_tools, "gaia-gateway-1"), image(fake_tools, "gaia-auth-service-1")
    fake_tools.new_source("v2")

    up(fake_tools, file)
    assert image(fake_tools, "gaia-gateway-1") == gateway

    fake_tools.run("docker", "compose", "-f", file, "build", "gateway")
    up(fake_tools, file, "--pull", "always")
    assert image(fake_tools, "gaia-gateway-1") != gateway
    assert image(fake_tools, "gaia-auth-service-1") != auth


def test_a_second_file_on_standard_input_names_the_image(fake_tools: FakeTools, file: str, tmp_path: Path) -> None:
    wanted = "registry.example/gaia/auth@sha256:" + "d" * 64
    override = tmp_path / "override.json"
    override.write_text(json.dumps({"services": {"auth-service": {"image": wanted}}}))

    command = f"docker compose -f '{file}' -f - up -d --no-deps auth-service < '{override}'"
    assert fake_tools.run("/bin/sh", "-c", command).returncode == 0

    template = "{{.Id}} {{json .RepoDigests}}"
    shown = fake_tools.run("docker", "image", "inspect", "--format", template, image(fake_tools, "gaia-auth-service-1"))
    assert json.loads(shown.stdout.split(None, 1)[1]) == [wanted]


def test_an_image_that_was_built_here_has_no_digest_of_a_registry(fake_tools: FakeTools, file: str) -> None:
    up(fake_tools, file)

    (entry,) = ask(fake_tools, "docker", "image", "inspect", "gaia-gateway")

    assert (entry["RepoDigests"], entry["RepoTags"]) == ([], ["gaia-gateway:latest"])


def test_replicas_come_and_go(fake_tools: FakeTools, file: str) -> None:
    up(fake_tools, file, "--scale", "auth-service=3")
    assert sum("auth" in name for name in listed(fake_tools, file)) == 3

    up(fake_tools, file, "--scale", "auth-service=1")
    assert sum("auth" in name for name in listed(fake_tools, file)) == 1


def test_the_project_is_the_folder_or_the_option(fake_tools: FakeTools, file: str) -> None:
    up(fake_tools, file, "--no-deps", "auth-service")
    fake_tools.run("docker", "compose", "-f", file, "-p", "other", "up", "-d", "--no-deps", "auth-service")

    assert fake_tools.run("docker", "container", "inspect", "other-auth-service-1").returncode == 0
    assert set(listed(fake_tools, file)) == {"gaia-auth-service-1"}


def test_logs_are_by_service(fake_tools: FakeTools, file: str) -> None:
    up(fake_tools, file)
    with fake_tools.state() as cloud:
        cloud["docker"]["logs"] = {"auth-service": ["one", "two"]}

    done = fake_tools.run("docker", "compose", "-f", file, "logs", "--tail", "1", "auth-service")

    assert done.stdout == "auth-service-1  | two\n"


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["bogus"], 125, "docker: unknown command: docker bogus"),
        (["compose", "bogus"], 16, 'unknown docker command: "compose bogus"'),
        (["compose", "up", "--bogus"], 16, "unknown flag: --bogus"),
        (["compose", "-f", "no.yml", "up", "-d"], 14, "no.yml: no such file or directory"),
        (["compose", "pull"], 16, 'unknown docker command: "compose pull"'),
        (["compose", "logs"], 14, "no configuration file provided: not found"),
        (["image", "inspect", "nobody"], 1, "Error: No such image: nobody"),  # glossary: ok
        (
            ["container", "inspect", "nobody"],  # glossary: ok
            1,
            "Error: No such container: nobody",  # glossary: ok
        ),  # glossary: ok
    ],
)
def test_usage_errors_end_with_the_tool_s_own_words(
    fake_tools: FakeTools,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
    code: int,
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)

    done = fake_tools.run("docker", *words)

    assert (done.returncode, message in done.stderr) == (code, True), done.stderr


def test_a_service_that_is_not_in_the_file_is_refused(fake_tools: FakeTools, file: str) -> None:
    for words in (["up", "-d", "chat"], ["logs", "chat"]):
        done = fake_tools.run("docker", "compose", "-f", file, *words)
        assert (done.returncode, done.stderr) == (1, "no such service: chat\n")
