"""The states of apps and environments."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import pytest

from pytest_gaia.deploy.contract import Machine, Observation
from pytest_gaia.observation.deployed import AppState
from pytest_gaia.observation.overview import (
    AppView,
    EnvironmentView,
    asked_app,
    deployed_app,
    environment_view,
)
from pytest_gaia.observation.sampling import Reading
from tests.projects import gaia_environment

AWAKE: dict[str, Any] = {"state": "started", "checks": 1, "passing": 1, "digest": "sha256:a"}


def machine(**known: Any) -> Machine:
    return Machine(**{"id": "m1", **AWAKE, **known})


def seen(*machines: Machine, exists: bool = True) -> Observation:
    return Observation(app="gaia-auth-dev", exists=exists, machines=machines, version=7)


def reading(state: str = "ready", *, well: bool = True, latency: float | None = 4.0, detail: str = "") -> Reading:
    return Reading("auth", "http://auth", state, detail, "0.2", latency, well)


def app(service: str, state: AppState, reason: str = "") -> AppView:
    return AppView(service, f"gaia-{service}-dev", state, reason)


def test_an_app_whose_machines_are_well_is_healthy_and_reports_what_runs() -> None:
    view = deployed_app("auth", seen(machine(), machine(id="m2", state="suspended", passing=0)), reading())

    assert (view.state, view.deployed_version, view.digests, view.version) == ("healthy", 7, ("sha256:a",), "0.2")
    assert view.machines == "1 started, 1 suspended"


@pytest.mark.parametrize(
    ("wrong", "state", "reason"),
    [
        ({"passing": 0}, "unhealthy", "machine m1 passes 0 of 1 health checks"),
        ({"state": "starting"}, "starting", "machine m1 is starting, not started"),
        ({"state": "failed"}, "degraded", "machine m1 is failed, not started"),
        ({"crashed": True}, "crashed", "machine m1 crashed or ran out of memory after it started"),
        ({"cordoned": True}, "degraded", "machine m1 is cordoned, so it gets no requests"),
        ({"host_ok": False}, "degraded", "machine m1 is on a host that does not respond"),
        ({"crashed": True, "state": "stopped"}, "crashed", "machine m1 crashed or ran out of memory"),
        (
            {"state": "stopped", "exit_code": 3, "label": "container a-1"},
            "crashed",
            "container a-1 crashed with exit code 3",
        ),
        ({"state": "paused"}, "paused", "machine m1 is paused"),
        ({"state": "stopped", "exit_code": 137, "ended_by": "kill"}, "killed", "machine m1 was killed (exit code 137)"),
        ({"state": "stopped", "out_of_memory": True}, "out of memory", "machine m1 ran out of memory"),
        (
            {"state": "restarting", "exit_code": 3, "restarts": 2},
            "restarting",
            "machine m1 is restarting: it was restarted 2 times, and its last run ended with exit code 3",
        ),
    ],
)
def test_a_machine_in_bad_condition_decides_the_state_of_its_app(
    wrong: dict[str, Any], state: str, reason: str
) -> None:
    view = deployed_app("auth", seen(machine(**wrong)), local=True)

    assert (view.state, view.reason) == (state, reason)
    if wrong.get("state") not in ("stopped", "suspended"):
        assert deployed_app("auth", seen(machine(**wrong))).state == state


def test_an_environment_is_starting_as_long_as_a_service_is() -> None:
    def local(*apps: AppView) -> EnvironmentView:
        return environment_view(gaia_environment("local"), apps, source="compose", local=True)

    view = local(app("auth", "healthy"), app("chat", "starting", "container chat-1 is starting for 3 s"))

    assert (view.state, view.as_expected) == ("starting", False)
    assert view.reason == "chat: container chat-1 is starting for 3 s"
    assert local(app("auth", "crashed"), app("chat", "starting")).state == "degraded"


def test_a_one_shot_that_has_ended_well_is_completed_and_degrades_nothing() -> None:
    ended = deployed_app("migrate", seen(machine(state="completed", checks=0, passing=0)), local=True)
    broken = deployed_app("migrate", seen(machine(state="stopped", crashed=True)), local=True)

    def local(*apps: AppView) -> str:
        return environment_view(gaia_environment("local"), apps, source="compose", local=True).state

    assert (ended.state, ended.reason) == ("completed", "")
    assert local(app("auth", "healthy"), ended) == "running"
    assert local(app("auth", "stopped"), ended) == local(ended) == "stopped"
    assert local(app("auth", "degraded"), ended) == local(app("auth", "healthy"), broken) == "degraded"


def test_many_machines_that_are_not_well_are_not_all_named() -> None:
    view = deployed_app("auth", seen(*(machine(id=f"m{number}", passing=0) for number in range(5))))

    assert view.reason.count("health checks") == 3
    assert view.reason.endswith(", and 2 more")


def test_two_images_at_once_are_degraded() -> None:
    view = deployed_app("auth", seen(machine(), machine(id="m2", digest="sha256:b")))

    assert (view.state, view.reason, view.digests) == (
        "degraded",
        "its machines run 2 images",
        ("sha256:a", "sha256:b"),
    )


@pytest.mark.parametrize("state", ["stopped", "suspended"])
def test_an_app_that_sleeps_is_suspended_unless_it_is_kept_awake_or_runs_here(state: str) -> None:
    suspended = seen(machine(state=state, passing=0))

    assert deployed_app("auth", suspended).state == "suspended"
    assert deployed_app("auth", suspended, local=True).state == state
    kept = deployed_app("auth", suspended, kept="fly.auth.production.toml keeps 2 running")
    assert (kept.state, kept.reason) == (
        "degraded",
        "all machines are suspended, but fly.auth.production.toml keeps 2 running",
    )


def test_an_app_without_machines_is_not_deployed() -> None:
    assert deployed_app("auth", seen(exists=False)).state == "not deployed"
    assert deployed_app("auth", seen()).reason == "the app has no machine"
    assert deployed_app("auth", seen(exists=False), local=True).state == "stopped"


def test_an_app_whose_address_belongs_to_another_container_is_unknown() -> None:
    taken = Observation(app="auth", exists=False, elsewhere="container b-auth-1 of the Compose project b in /b")

    view = deployed_app("auth", taken, local=True)

    assert (view.state, view.reason) == (
        "unknown",
        "container b-auth-1 of the Compose project b in /b responds at its address",
    )


def test_the_reported_health_counts_although_its_checks_pass() -> None:
    view = deployed_app("auth", seen(machine()), reading("unhealthy", well=False, detail="reports 'unhealthy'"))

    assert (view.state, view.reason) == ("degraded", "reports 'unhealthy'")


@pytest.mark.parametrize(
    ("reading", "state"),
    [
        (reading(), "healthy"),
        (reading("connected"), "connected"),
        (reading("degraded", well=False), "degraded"),
        (reading("unhealthy", well=False, detail="GET /health returned 503"), "degraded"),
        (reading("unreachable", well=False, latency=None), "unknown"),
    ],
)
def test_of_what_was_only_asked_its_response_is_known(reading: Reading, state: str) -> None:
    assert asked_app(reading).state == state


@pytest.mark.parametrize(
    ("states", "local", "state"),
    [
        (["healthy", "healthy"], False, "healthy"),
        (["healthy", "suspended"], False, "healthy"),
        (["suspended", "suspended"], False, "suspended"),
        (["healthy"], False, "healthy"),
        (["suspended"], False, "suspended"),
        (["healthy", "healthy"], True, "running"),
        (["stopped", "stopped"], True, "stopped"),
        (["healthy", "stopped"], True, "degraded"),
        (["healthy", "degraded"], False, "degraded"),
        (["healthy", "not deployed"], False, "degraded"),
        (["not deployed", "not deployed"], False, "not deployed"),
        (["healthy", "unknown"], False, "unknown"),
        (["unknown", "degraded"], False, "degraded"),
        (["unknown", "unknown"], False, "unknown"),
        (["unknown", "unknown"], True, "unknown"),
        (["healthy", "connected"], False, "healthy"),
        (["connected"], False, "unknown"),
        (["connected", "degraded"], False, "degraded"),
        ([], False, "not deployed"),
    ],
)
def test_an_environment_is_as_well_as_its_apps(states: list[AppState], local: bool, state: str) -> None:
    apps = [app(service, each) for service, each in zip(("gateway", "auth"), states, strict=False)]

    view = environment_view(gaia_environment("dev"), apps, source="fly", local=local)

    assert view.state == state
    assert view.as_expected == (state not in ("degraded", "unknown"))


def test_reasons_name_their_apps_in_order() -> None:
    apps = [app("chat", "degraded", "crashed"), app("gateway", "healthy"), app("auth", "not deployed")]

    view = environment_view(gaia_environment("dev"), apps, source="fly")

    assert view.reason == "auth: not deployed; chat: crashed"
    assert [each.service for each in view.apps] == ["gateway", "auth", "chat"]


def test_one_reason_for_all_is_reported_once() -> None:
    apps = [app(service, "unknown", "fly is not installed") for service in ("gateway", "auth", "chat")]

    assert environment_view(gaia_environment("dev"), apps, source="fly").reason == "fly is not installed"


def test_services_that_the_environment_does_not_have_are_absent() -> None:
    environment = gaia_environment("staging", services=("gateway", "postgres"))

    view = environment_view(environment, [app("gateway", "healthy")], source="fly")

    assert {each.service: each.state for each in view.apps} == {
        "gateway": "healthy",
        "auth": "absent",
        "asset": "absent",
        "chat": "absent",
    }


def test_every_state_is_in_the_documents() -> None:
    page = (Path(__file__).parents[2] / "docs" / "how-to" / "watch-an-environment.md").read_text(encoding="utf-8")

    assert [state for state in get_args(AppState) if f"| `{state}` |" not in page] == []
