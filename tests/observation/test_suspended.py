"""Suspended apps are started in the order of their dependencies before the run waits for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_gaia.deploy.contract import Machine, Observation
from pytest_gaia.errors import DeployUnavailable
from pytest_gaia.observation.deployed import ServiceObservation, start_suspended, starter_of, suspended

if TYPE_CHECKING:
    from tests.fake_tools import FakeTools


def observed(service: str, *states: str) -> ServiceObservation:
    machines = tuple(Machine(id=f"m{number}", state=state) for number, state in enumerate(states))
    return ServiceObservation(
        service, f"gaia-{service}-dev", Observation(app=f"gaia-{service}-dev", exists=True, machines=machines)
    )


def test_they_are_started_in_the_order_of_the_rollout_that_observed_them() -> None:
    observations = [observed(name, "suspended") for name in ("queue", "orders", "web")]

    assert [each.service for each in suspended(observations)] == ["queue", "orders", "web"]


@pytest.mark.parametrize("states", [(), ("started",), ("started", "suspended"), ("starting",), ("failed", "stopped")])
def test_an_app_of_which_anything_is_awake_or_nothing_is_there_is_left_alone(states: tuple[str, ...]) -> None:
    assert suspended([observed("auth", *states)]) == ()


def test_what_could_not_be_observed_is_left_alone() -> None:
    assert suspended([ServiceObservation("auth", "gaia-auth-dev", problem="fly is not installed")]) == ()


def test_one_that_does_not_wake_stops_none_of_the_others() -> None:
    asked = []

    def wake(app: str, deadline: float) -> None:
        asked.append(app)
        if "auth" in app:
            raise DeployUnavailable("a lease is held")

    started = start_suspended([observed("auth", "stopped"), observed("gateway", "stopped")], wake, deadline=10)

    assert asked == ["gaia-auth-dev", "gaia-gateway-dev"]
    assert str(started[0]) == "auth was suspended and could not be started: a lease is held"
    assert str(started[1]).startswith("gateway was suspended; started in ")


def test_there_is_one_deadline_for_all_of_them() -> None:
    started = start_suspended([observed("auth", "stopped")], lambda app, deadline: None, deadline=0)

    assert started[0].problem == "the limit of 0 s was used by the apps before it"


def test_machines_on_fly_are_started(fake_tools: FakeTools) -> None:
    fake_tools.app("gaia-auth-dev", machines=2, state="suspended")
    wake = starter_of("fly")

    assert wake is not None
    (started,) = start_suspended([observed("auth", "suspended", "suspended")], wake, deadline=60)

    assert started.problem == ""
    assert {machine["state"] for machine in fake_tools.machines("gaia-auth-dev")} == {"started"}


@pytest.mark.parametrize("hook", ["compose", "command", "plugin"])
def test_other_hooks_have_nothing_that_sleeps(hook: str) -> None:
    assert starter_of(hook) is None
