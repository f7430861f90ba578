"""How Compose reads the files of a project: the same on a real engine and on the fake that everyday tests use."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from tests.docker.places import plain

if TYPE_CHECKING:
    from tests.docker.places import Place

FULL = """\
x-common: &common
  restart: always
services:
  gateway:
    <<: *common
    build: ./gateway
    command: sh -c "exit 3"   # not a comment in the file's own words
    ports: ["8666:8000", "127.0.0.1:18000-18001:8000-8001/udp", {target: 9000, published: "9001"}]
    environment: [A=1, "B=2:3"]
    depends_on: [db]
    deploy: {replicas: 2}
    healthcheck: {test: curl -f http://localhost:8000/health, interval: 10s}
  db:
    image: 'postgres:15'
    healthcheck: {disable: true}
    depends_on: {tool: {condition: service_healthy}}
  tool: {image: tiny, command: [echo, "a b"], environment: {C: d}}
"""


def merged(place: Place, *words: str) -> dict[str, Any]:
    """Return the services that Compose reads, without what only the real one adds."""
    ran = place.docker("compose", *words, "config", "--format", "json")
    assert ran.code == 0, ran.err
    document = json.loads(ran.out)
    assert document["name"] == place.name
    return {name: _without_additions(service, place) for name, service in document["services"].items()}


def _without_additions(service: dict[str, Any], place: Place) -> dict[str, Any]:
    deploy = {key: each for key, each in service.get("deploy", {}).items() if each}
    service = {key: each for key, each in {**service, "deploy": deploy}.items() if each}
    text = json.dumps(service).replace(str(place.folder), "HERE")
    parsed: dict[str, Any] = json.loads(text)
    return parsed


def test_keys_have_their_long_forms(place: Place) -> None:
    (place.folder / "docker-compose.yml").write_text(FULL)

    services = merged(place)

    everywhere = {"networks": {"default": None}}
    port = {"mode": "ingress", "protocol": "tcp"}
    local = {"mode": "ingress", "protocol": "udp", "host_ip": "127.0.0.1"}
    assert services["gateway"] == {
        **everywhere,
        "build": {"context": "HERE/gateway", "dockerfile": "Dockerfile"},
        "command": ["sh", "-c", "exit 3"],
        "depends_on": {"db": {"condition": "service_started", "required": True}},
        "deploy": {"replicas": 2},
        "environment": {"A": "1", "B": "2:3"},
        "healthcheck": {"test": ["CMD-SHELL", "curl -f http://localhost:8000/health"], "interval": "10s"},
        "ports": [
            {**port, "target": 8000, "published": "8666"},
            {**local, "target": 8000, "published": "18000"},
            {**local, "target": 8001, "published": "18001"},
            {**port, "target": 9000, "published": "9001"},
        ],
        "restart": "always",
    }
    assert services["db"] == {
        **everywhere,
        "depends_on": {"tool": {"condition": "service_healthy", "required": True}},
        "healthcheck": {"disable": True},
        "image": "postgres:15",
    }
    assert services["tool"] == {
        **everywhere,
        "command": ["echo", "a b"],
        "environment": {"C": "d"},
        "image": "tiny",
    }


class Files(NamedTuple):
    """Files of a project, and the images that its services then have."""

    files: dict[str, str]
    images: dict[str, str]
    words: tuple[str, ...] = ()


CHAT = "services: {chat: {image: 'tiny:1'}}\n"
OTHER = "services: {chat: {image: 'tiny:2'}, asset: {image: tiny}}\n"
CHOICES = {
    "an override file": Files(
        {"docker-compose.yml": CHAT, "docker-compose.override.yml": OTHER}, {"chat": "tiny:2", "asset": "tiny"}
    ),
    "COMPOSE_FILE": Files(
        {"base.yml": CHAT, "more.yml": OTHER, ".env": "COMPOSE_FILE=base.yml:more.yml\n"},
        {"chat": "tiny:2", "asset": "tiny"},
    ),
    "named files": Files(
        {"docker-compose.yml": CHAT, "docker-compose.override.yml": OTHER},
        {"chat": "tiny:1"},
        ("--file", "docker-compose.yml"),
    ),
    "the first of two": Files({"compose.yaml": CHAT, "docker-compose.yml": OTHER}, {"chat": "tiny:1"}),
    "a variable of .env": Files(
        {"compose.yml": CHAT.replace("tiny:1", "tiny:${TAG}"), ".env": "# of ours\nTAG='7'\n"}, {"chat": "tiny:7"}
    ),
    "a default": Files({"compose.yml": CHAT.replace("tiny:1", "tiny:${TAG:-latest}")}, {"chat": "tiny:latest"}),
    "a dollar": Files({"compose.yml": CHAT.replace("tiny:1", "tiny:$$1")}, {"chat": "tiny:$$1"}),
    "a profile": Files(
        {"compose.yml": OTHER.replace("{image: tiny}", "{image: tiny, profiles: [x]}")}, {"chat": "tiny:2"}
    ),
    "COMPOSE_PROFILES": Files(
        {
            "compose.yml": OTHER.replace("{image: tiny}", "{image: tiny, profiles: [x]}"),
            ".env": "COMPOSE_PROFILES=x\n",
        },
        {"chat": "tiny:2", "asset": "tiny"},
    ),
}


@pytest.mark.parametrize("name", CHOICES)
def test_compose_chooses_and_merges_files(place: Place, name: str) -> None:
    (place.folder / "docker-compose.yml").unlink(missing_ok=True)
    given = CHOICES[name]
    for path, text in given.files.items():
        (place.folder / path).write_text(text)

    services = merged(place, *given.words)

    assert {each: service["image"] for each, service in services.items()} == given.images


BROKEN = {
    "no file": ("", 14, "no configuration file provided: not found"),
    "a tab": ("services:\n\tchat:\n", 15, "line 2: found character that cannot start any token"),
    "an open list": ("services:\n  chat:\n    image: [\n", 15, "did not find expected"),
    "a required variable": (
        CHAT.replace("tiny:1", "${T:?name it}"),
        15,
        "required variable T is missing a value: name it",
    ),
    "an unknown key": (CHAT.replace("image", "imagge"), 15, "Additional property imagge is not allowed"),
    "an unknown dependency": (
        CHAT.replace("'tiny:1'", "'tiny:1', depends_on: [nosuch]"),
        15,
        'depends on undefined service "nosuch": invalid compose project',
    ),
    "a port that is too high": (CHAT.replace("'tiny:1'", "'tiny:1', ports: ['99999:1']"), 15, "nvalid"),
    "a missing env_file": (CHAT.replace("'tiny:1'", "'tiny:1', env_file: no.env"), 14, "env file {}/no.env not found"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_file_is_refused(place: Place, name: str) -> None:
    text, code, said = BROKEN[name]
    (place.folder / "docker-compose.yml").unlink(missing_ok=True)
    if text:
        (place.folder / "docker-compose.yml").write_text(text)

    ran = place.docker("compose", "config", "--format", "json")

    assert (ran.code, said.format(place.folder) in ran.err) == (code, True), ran.err


def test_hashes_change_with_the_configuration_alone(place: Place) -> None:
    file = place.folder / "docker-compose.yml"

    def hashes(text: str) -> dict[str, str]:
        file.write_text(text)
        ran = place.docker("compose", "config", "--hash", "*")
        assert ran.code == 0, ran.err
        return dict(line.split() for line in ran.out.splitlines())

    before, same = hashes(OTHER), hashes(OTHER + "# a comment\n")
    changed = hashes(OTHER.replace("tiny:2", "tiny:3"))

    assert (same, changed["asset"]) == (before, before["asset"])
    assert changed["chat"] != before["chat"]


def test_a_container_has_the_labels_of_its_project(place: Place) -> None:
    (place.folder / "docker-compose.yml").write_text("services: {chat: {image: tiny, command: sleep 1000}}\n")
    assert place.docker("compose", "up", "--detach").code == 0

    (found,) = json.loads(place.docker("inspect", f"{place.name}-chat-1").out)

    labels = {key.removeprefix("com.docker.compose."): value for key, value in found["Config"]["Labels"].items()}
    config_hash = place.docker("compose", "config", "--hash", "chat").out.split()[1]
    assert labels == {
        "config-hash": config_hash,
        "container-number": "1",
        "depends_on": "",
        "image": found["Image"],
        "oneoff": "False",
        "project": place.name,
        "project.config_files": str(place.folder / "docker-compose.yml"),
        "project.working_dir": str(place.folder),
        "service": "chat",
        "version": labels["version"],
    }


@pytest.mark.parametrize("kind", ["container", "image", "inspect"])
def test_what_is_not_there_is_named(place: Place, kind: str) -> None:
    ran = place.docker(*([kind, "inspect"] if kind != "inspect" else ["inspect"]), "nothing")

    what = "object" if kind == "inspect" else kind
    assert (ran.code, ran.out.split(), plain(ran.err).strip()) == (1, ["[]"], f"Error: No such {what}: nothing")
