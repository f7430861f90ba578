from __future__ import annotations

from typing import Any

import pytest

from pytest_gaia.deploy.contract import Machine
from pytest_gaia.deploy.fly.shapes import NotJson, serving

DIGEST = "sha256:" + "a" * 64
START, EXIT = "start", "exit"


def a_machine(**changes: Any) -> dict[str, Any]:
    """A machine as the API describes it."""
    values: dict[str, Any] = {
        "id": "148e21ed",
        "name": "wild-moon-12",
        "state": "started",
        "region": "fra",
        "host_status": "ok",
        "cordoned": False,
        "image_ref": {
            "registry": "registry.fly.io", "repository": "gaia-auth-dev", "tag": "deployment-1", "digest": DIGEST,
            "labels": None,
        },
        "config": {
            "image": "registry.fly.io/gaia-auth-dev:deployment-1",
            "metadata": {"fly_platform_version": "v2", "fly_process_group": "app", "fly_release_version": "7"},
            "services": [{"internal_port": 8000, "checks": [{"type": "http", "path": "/health"}]}],
            "checks": {"alive": {"type": "tcp", "port": 8000}},
            "guest": {"cpu_kind": "shared", "cpus": 1, "memory_mb": 512},
        },
        "events": None,
        "checks": [
            {"name": "servicecheck-00-http-8000", "status": "passing"},
            {"name": "alive", "status": "passing"},
        ],
    }  # fmt: skip
    return {**values, **changes}


def config(**changes: Any) -> dict[str, Any]:
    return {**a_machine()["config"], **changes}


def metadata(**changes: str) -> dict[str, Any]:
    return config(metadata={**a_machine()["config"]["metadata"], **changes})


def only(**changes: Any) -> Machine:
    (machine,) = serving([a_machine(**changes)])
    return machine


def event(kind: str, timestamp: int, **exit_event: Any) -> dict[str, Any]:
    request = {"exit_event": exit_event} if exit_event else None
    return {"type": kind, "status": "stopped", "timestamp": timestamp, "request": request}


def test_a_machine_is_what_the_api_says_of_it() -> None:
    assert only() == Machine(
        id="148e21ed", state="started", group="app", region="fra", digest=DIGEST, version=7, checks=2, passing=2, critical=0,
        image=f"registry.fly.io/gaia-auth-dev:deployment-1@{DIGEST}", memory_mb=512,
    )  # fmt: skip


@pytest.mark.parametrize(
    "changes",
    [
        {"config": metadata(fly_process_group="fly_app_release_command")},
        {"config": metadata(fly_process_group="fly_app_console")},
        {"config": metadata(fly_process_group="fly_app_test_machine_command")},
        {"config": metadata(fly_platform_version="v1")},
        {"config": config(metadata=None)},
        {"config": config(standbys=["148e21ee"])},
        {"state": "destroyed"},
        {"state": "destroying"},
        {"state": "replaced"},
    ],
)
def test_machines_that_do_not_serve_are_left_out(changes: dict[str, Any]) -> None:
    assert serving([a_machine(**changes), a_machine(id="other")]) == serving([a_machine(id="other")])


def test_of_a_machine_on_a_host_that_is_away_little_is_known() -> None:
    machine = only(host_status="unreachable", config=None, incomplete_config={"metadata": config()["metadata"]})

    assert (machine.host_ok, machine.version, machine.memory_mb) == (False, 7, None)


def test_a_configured_check_that_has_not_reported_does_not_pass() -> None:
    machine = only(checks=None)

    assert (machine.checks, machine.passing) == (2, 0)


def test_a_check_that_warns_does_not_pass() -> None:
    machine = only(checks=[{"name": "alive", "status": "warning"}, {"name": "x", "status": "critical"}])

    assert (machine.checks, machine.passing, machine.critical) == (2, 0, 1)


@pytest.mark.parametrize(
    ("events", "crashed"),
    [
        (None, False),
        ([event(START, 1)], False),
        ([event(EXIT, 2, exit_code=1), event(START, 1)], True),
        ([event(EXIT, 2, exit_code=0, oom_killed=True), event(START, 1)], True),
        ([event(EXIT, 2, exit_code=137, requested_stop=True), event(START, 1)], False),
        ([event(EXIT, 2, exit_code=137, requested_stop=True, oom_killed=True), event(START, 1)], True),
        ([event(EXIT, 2, exit_code=0), event(START, 1)], False),
        ([event(START, 3), event(EXIT, 2, exit_code=1), event(START, 1)], False),
        # In whatever order they come; those of one moment come newest first.
        ([event(START, 1), event(EXIT, 2, exit_code=1)], True),
        ([event(EXIT, 1, exit_code=1), event(START, 1)], True),
        ([event(EXIT, 2), event(START, 1)], False),
        ([{"type": EXIT, "timestamp": 2, "request": {"MonitorEvent": {"exit_event": {"exit_code": 1}}}}], True),
        # As in flyctl, the event of the monitor takes precedence.
        (
            [
                {
                    "type": EXIT,
                    "timestamp": 2,
                    "request": {"MonitorEvent": {"exit_event": {"exit_code": 1}}, "exit_event": {}},
                }
            ],
            True,
        ),
        ([{"type": EXIT, "timestamp": 2, "request": {"MonitorEvent": None}}], False),
    ],
)
def test_a_crash_counts_if_nothing_started_after_it(events: list[dict[str, Any]] | None, crashed: bool) -> None:
    assert only(events=events).crashed is crashed


@pytest.mark.parametrize(
    ("ended", "reported"),
    [
        ({"exit_code": 3}, (3, False)),
        ({"exit_code": 137, "oom_killed": True}, (137, True)),
        ({"oom_killed": True}, (None, True)),
        ({"exit_code": 137, "requested_stop": True}, (None, False)),
    ],
)
def test_the_exit_code_of_a_crash_is_reported(ended: dict[str, Any], reported: tuple[int | None, bool]) -> None:
    machine = only(events=[event(EXIT, 2, **ended), event(START, 1)], state="stopped")

    assert (machine.exit_code, machine.out_of_memory) == reported


def test_an_image_without_a_reference_is_the_one_of_the_configuration() -> None:
    assert only(image_ref={}).image == "registry.fly.io/gaia-auth-dev:deployment-1"


@pytest.mark.parametrize("version", ["", "next"])
def test_a_release_that_is_no_number_is_unknown(version: str) -> None:
    assert only(config=metadata(fly_release_version=version)).version is None


def test_no_machines_are_an_empty_list_or_null() -> None:
    assert serving([]) == serving(None) == ()


@pytest.mark.parametrize("values", [{"error": "x"}, [{"state": "started"}], ["a"], 3])
def test_another_shape_is_an_error_that_says_where(values: Any) -> None:
    with pytest.raises(NotJson, match="unexpected JSON: "):
        serving(values)
