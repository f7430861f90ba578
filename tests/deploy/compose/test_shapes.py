from __future__ import annotations

import json
from typing import Any

import pytest

from pytest_gaia.deploy.compose.hook import Image, containers, images

ID = "a" * 64
CONFIG, MIRRORED, OWN = "sha256:c0", "sha256:d1", "sha256:d2"


def line(**changes: Any) -> dict[str, Any]:
    """One container as `docker compose ps --format json` prints it."""
    return {
        "ID": ID, "Name": "gaia-gateway-1", "Service": "gateway", "Image": "gaia/gateway:1", "State": "running",
        "Health": "healthy", "ExitCode": 0, "Labels": "com.docker.compose.oneoff=False,com.docker.compose.project=gaia",
        "Publishers": [{"URL": "0.0.0.0", "TargetPort": 8000, "PublishedPort": 8666, "Protocol": "tcp"}], **changes,
    }  # fmt: skip


def test_lines_and_an_array_are_read_alike() -> None:
    two = [line(), line(ID="b" * 64, Service="auth-service")]

    as_lines = "\n".join(json.dumps(each) for each in two) + "\n"

    assert containers(as_lines) == containers(json.dumps(two))
    assert [each.service for each in containers(as_lines)] == ["gateway", "auth-service"]


@pytest.mark.parametrize("output", ["", "\n", "[]"])
def test_no_container_is_no_error(output: str) -> None:
    assert containers(output) == ()


def test_warnings_between_the_lines_are_passed_over() -> None:
    assert len(containers(f'time="…" level=warning msg="version is obsolete"\n{json.dumps(line())}\n')) == 1


@pytest.mark.parametrize("output", ["[{", '{"ID": '])
def test_a_broken_document_is_an_error(output: str) -> None:
    with pytest.raises(ValueError, match="Expecting"):
        containers(output)


def test_containers_of_compose_run_serve_nobody() -> None:
    assert containers(json.dumps(line(Labels="com.docker.compose.oneoff=True"))) == ()


@pytest.mark.parametrize(
    ("changes", "well"),
    [
        ({}, True),
        ({"Health": ""}, True),
        ({"Health": "starting"}, False),
        ({"Health": "unhealthy"}, False),
        ({"State": "exited", "Health": "", "ExitCode": 0}, False),
        ({"State": "exited", "Health": "", "ExitCode": 1}, False),
        ({"State": "restarting"}, False),
        ({"State": "created"}, False),
    ],
)
def test_what_is_well(changes: dict[str, Any], well: bool) -> None:
    (container,) = containers(json.dumps(line(**changes)))

    assert container.well() is well


@pytest.mark.parametrize(
    ("changes", "state", "checks", "crashed"),
    [
        ({}, "started", (1, 1, 0), False),
        ({"Health": ""}, "started", (0, 0, 0), False),
        ({"Health": "starting"}, "started", (1, 0, 0), False),
        ({"Health": "unhealthy"}, "started", (1, 0, 1), False),
        ({"State": "exited", "Health": "", "ExitCode": 137}, "stopped", (0, 0, 0), True),
        ({"State": "exited", "Health": "", "ExitCode": 0}, "stopped", (0, 0, 0), False),
        ({"State": "restarting", "Health": "", "ExitCode": 1}, "starting", (0, 0, 0), True),
        ({"State": "paused"}, "suspended", (1, 1, 0), False),
        ({"State": "dead", "Health": ""}, "failed", (0, 0, 0), True),
        ({"State": "created", "Health": ""}, "created", (0, 0, 0), False),
    ],
)
def test_compose_in_the_words_of_the_contract(
    changes: dict[str, Any], state: str, checks: tuple[int, int, int], crashed: bool
) -> None:
    (container,) = containers(json.dumps(line(**changes)))

    machine = container.machine(Image(CONFIG), None)

    assert (machine.state, machine.crashed, machine.id) == (state, crashed, "a" * 12)
    assert (machine.checks, machine.passing, machine.critical) == checks


@pytest.mark.parametrize(
    ("code", "may_end", "state", "crashed"),
    [(0, True, "completed", False), (0, False, "stopped", False), (1, True, "stopped", True)],
)
def test_a_one_shot_may_end_if_it_ends_well(code: int, may_end: bool, state: str, crashed: bool) -> None:
    (container,) = containers(json.dumps(line(State="exited", Health="", ExitCode=code)))

    machine = container.machine(Image(CONFIG), None, may_end=may_end)

    assert (machine.state, machine.crashed) == (state, crashed)
    assert container.well(may_end=may_end) is (state == "completed")


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


def test_what_a_container_runs_is_its_own_image_and_not_what_its_tag_has_become() -> None:
    inspected = f"{ID} {CONFIG} false\n{'b' * 64} sha256:c1 true\n"
    referred = f'{CONFIG} ["gaia/gateway@{OWN}"]\nsha256:c1 null\n'

    known = images(inspected, referred)

    assert known[ID] == Image(CONFIG, (f"gaia/gateway@{OWN}",))
    assert known["b" * 64] == Image("sha256:c1", (), oom_killed=True)


def test_a_container_that_is_gone_meanwhile_is_left_out() -> None:
    assert images("Error: No such container\n\n", "") == {}
