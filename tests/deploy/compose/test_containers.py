"""Containers, from the output of `docker inspect`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pytest_gaia.deploy.compose.containers import Container, Image, images, requests_to_end

ID = "a" * 64
CONFIG, MIRRORED, OWN = "sha256:c0", "sha256:d1", "sha256:d2"


def container(health: str = "", labels: dict[str, str] | None = None, **state: Any) -> Container:
    """One container as `docker inspect` describes it."""
    known = {"Status": "running", "ExitCode": 0, "OOMKilled": False, "StartedAt": "2026-11-29T14:54:07.486504036Z"}
    return Container(
        {
            "Id": ID,
            "Name": "/shop-orders-1",
            "Image": CONFIG,
            "RestartCount": 2,
            "State": known | state | ({"Health": {"Status": health}} if health else {}),
            "Config": {"Image": "shop/orders:1", "Labels": labels or {}},
            "NetworkSettings": {"Ports": {"8000/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8666"}], "9/tcp": None}},
        }
    )


@pytest.mark.parametrize(
    ("given", "state", "checks"),
    [
        ({}, "started", (0, 0, 0)),
        ({"health": "healthy"}, "started", (1, 1, 0)),
        ({"health": "none"}, "started", (0, 0, 0)),
        ({"health": "starting"}, "started", (1, 0, 0)),
        ({"health": "unhealthy"}, "started", (1, 0, 1)),
        ({"Status": "exited", "ExitCode": 137}, "stopped", (0, 0, 0)),
        ({"Status": "restarting", "ExitCode": 3}, "restarting", (0, 0, 0)),
        ({"Status": "paused"}, "paused", (0, 0, 0)),
        ({"Status": "dead"}, "failed", (0, 0, 0)),
        ({"Status": "created"}, "created", (0, 0, 0)),
    ],
)
def test_a_container_is_a_machine(given: dict[str, Any], state: str, checks: tuple[int, int, int]) -> None:
    machine = container(**given).machine(Image(CONFIG), None, may_end=False)

    assert (machine.state, machine.label, machine.restarts) == (state, "container shop-orders-1", 2)
    assert (machine.checks, machine.passing, machine.critical) == checks
    assert (machine.image, machine.digest) == ("shop/orders:1", CONFIG)
    assert machine.started_at == "2026-11-29T14:54:07.486504+00:00"


@pytest.mark.parametrize(
    ("code", "may_end", "state", "exit_code"),
    [(0, True, "completed", None), (0, False, "stopped", 0), (1, True, "stopped", 1)],
)
def test_only_a_container_that_runs_once_completes(code: int, may_end: bool, state: str, exit_code: int | None) -> None:
    machine = container(Status="exited", ExitCode=code).machine(Image(CONFIG), None, may_end=may_end)

    assert (machine.state, machine.exit_code) == (state, exit_code)


def test_a_container_has_the_ports_that_are_published() -> None:
    assert container().ports == (8666,)


def test_containers_of_another_folder_are_not_those_of_this_one(tmp_path: Path) -> None:
    here, other, gone = tmp_path / "here", tmp_path / "other", tmp_path / "gone"
    for folder in (here, other):
        folder.mkdir()
        (folder / "compose.yaml").write_text("services: {}\n", encoding="utf-8")
    origin = "com.docker.compose.project.working_dir"

    assert [container(labels={origin: str(each)}).is_of(here) for each in (here, other, gone)] == [True, False, True]


@pytest.mark.parametrize(
    ("references", "wanted", "digest"),
    [
        ((), None, CONFIG),
        ((), CONFIG, CONFIG),
        ((f"mirror/gateway@{MIRRORED}",), None, MIRRORED),
        ((f"mirror/gateway@{MIRRORED}", f"gaia/gateway@{OWN}"), None, OWN),
        ((f"mirror/gateway@{MIRRORED}", f"gaia/gateway@{OWN}"), MIRRORED, MIRRORED),
        ((f"gaia/gateway@{OWN}",), "sha256:other", OWN),
        (("gaia/gateway",), None, CONFIG),
    ],
)
def test_an_image_has_as_many_names_as_registries(references: tuple[str, ...], wanted: str | None, digest: str) -> None:
    assert Image(CONFIG, references).digest(wanted, "gaia/gateway") == digest


def test_images_without_a_registry_have_no_reference() -> None:
    pulled, built = [CONFIG, [f"gaia/gateway@{OWN}"], ["gaia/gateway:1"]], ["sha256:c1", None, None]

    assert images(f"{json.dumps(pulled)}\n{json.dumps(built)}\nError: No such image\n") == {
        CONFIG: Image(CONFIG, (f"gaia/gateway@{OWN}",), ("gaia/gateway:1",)),
        "sha256:c1": Image("sha256:c1"),
    }


@pytest.mark.parametrize(
    ("reference", "is_its_name"),
    [
        (CONFIG, True),
        (f"gaia/gateway@{OWN}", True),
        (f"gaia/gateway@{MIRRORED}", False),
        ("docker.io/gaia/gateway", True),
        ("gaia/gateway:2", False),
    ],
)
def test_an_image_has_the_names_that_point_to_it_now(reference: str, is_its_name: bool) -> None:
    image = Image(CONFIG, (f"gaia/gateway@{OWN}",), ("gaia/gateway:latest",))

    assert image.is_named(reference) is is_its_name


def test_the_last_request_ended_a_container() -> None:
    assert requests_to_end("a kill\na kill\na stop\nb kill\nc stop\nc start\n") == {"a": "stop", "b": "kill"}
