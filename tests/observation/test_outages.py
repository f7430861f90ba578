"""Which services on this machine no container serves, and what that means for probed services."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from pytest_gaia.config.environment import Environment
from pytest_gaia.deploy.contract import Machine, Observation
from pytest_gaia.observation.deployed import (
    Outage,
    ServiceObservation,
    corrected,
    interrupted,
    outages,
    weakened,
)
from pytest_gaia.observation.readiness import ServiceState
from tests.projects import gaia_environment

TAKEN = "2026-01-01T10:00:00+00:00"
WELL: dict[str, Any] = {"state": "started", "started_at": "2026-01-01T09:00:00+00:00", "checks": 1, "passing": 1}


def container(**known: Any) -> Machine:
    return Machine(**{"id": "c1", "label": "container shop-chat-1", **WELL, **known})


def observed(*machines: Machine, elsewhere: str = "") -> ServiceObservation:
    seen = Observation(app="chat", exists=bool(machines), machines=machines, taken=TAKEN, elsewhere=elsewhere)
    return ServiceObservation("chat", "chat", seen)


def local(**urls: str) -> Environment:
    return replace(gaia_environment("local"), services=("gateway", "chat"), urls=urls)


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"state": "restarting", "exit_code": 3, "restarts": 2}, "last run ended with exit code 3: docker compose logs chat"),
        ({"state": "stopped", "exit_code": 3}, "crashed with exit code 3: docker compose up --detach chat"),
        ({"state": "created", "error": "port is already allocated"}, "port is already allocated: docker compose up --detach chat"),
        ({"state": "stopped", "exit_code": 137, "out_of_memory": True}, "ran out of memory (exit code 137): docker compose up --detach chat"),
        ({"passing": 0, "critical": 1}, "it passes 0 of 1 health checks: docker compose logs chat"),
        ({"state": "paused"}, "container shop-chat-1 is paused: docker compose unpause chat"),
    ],
)  # fmt: skip
def test_a_service_whose_only_container_does_not_serve_it_is_out(wrong: dict[str, Any], text: str) -> None:
    found = outages([observed(container(**wrong))], local())

    assert str(found["chat"]).endswith(text)


@pytest.mark.parametrize(
    "machines",
    [
        (container(),),
        (container(state="completed"),),
        (container(passing=0),),
        (container(), container(id="c2", state="stopped", exit_code=137)),
    ],
    ids=["healthy", "completed", "starting", "one of two runs"],
)
def test_a_service_that_a_container_serves_is_not_out(machines: tuple[Machine, ...]) -> None:
    assert outages([observed(*machines)], local()) == {}


def test_only_services_of_the_environment_at_the_address_of_their_container_count() -> None:
    gone = observed()

    assert str(outages([gone], local())["chat"]) == "it has no container: docker compose up --detach chat"
    assert outages([gone], local(chat="http://localhost:9000")) == {}
    assert outages([gone], local(gateway="http://localhost:9000")) == {}
    assert outages([gone], replace(local(), services=("gateway",))) == {}


def test_a_late_service_is_degraded_by_one_that_it_needs() -> None:
    out = {"chat": Outage("stopped", "container shop-chat-1 was stopped", "docker compose up --detach chat")}
    late = ServiceState("gateway", "unreachable", "http://g", "no response in time", settled=False, late=True)
    refused = replace(late, detail="connection refused", late=False)
    chat = ServiceState("chat", "ready", "http://c")

    def states(*given: ServiceState, needs: tuple[str, ...] = ("chat",), problem: str = "") -> list[ServiceState]:
        return list(corrected(given, out, needs=lambda _: needs, problem=lambda _: problem))

    gateway, other = states(late, chat)
    assert (gateway.state, gateway.detail) == ("degraded", "chat is stopped: no response in time")
    assert (gateway.reachable, gateway.settled, other.reachable, other.state) == (True, True, False, "stopped")
    assert states(late, needs=()) == [late]
    assert states(refused) == [refused]
    (unknown,) = states(refused, problem="docker ps: no daemon. Output: x")
    assert (unknown.detail, unknown.remedy) == (
        "connection refused; docker ps: no daemon",
        "docker ps: no daemon. Output: x",
    )


@pytest.mark.parametrize(
    ("now", "sentence"),
    [
        ((container(),), ""),
        ((container(), container(id="c2", label="container shop-chat-2")), ""),
        ((container(passing=0, critical=1),), ""),
        ((container(restarts=1),), "chat: container shop-chat-1 was restarted during the tests"),
        ((container(started_at=TAKEN),), "chat: container shop-chat-1 was restarted during the tests"),
        ((container(id="c2"),), "chat: container shop-chat-1 was replaced during the tests"),
        ((), "chat: container shop-chat-1 was removed during the tests"),
        (
            (container(state="stopped", exit_code=3),),
            "chat: container shop-chat-1 crashed with exit code 3 during the tests",
        ),
    ],
)
def test_containers_that_changed_are_named(now: tuple[Machine, ...], sentence: str) -> None:
    assert list(interrupted([observed(container())], [observed(*now)])) == [sentence] * bool(sentence)


def test_a_service_that_becomes_unhealthy_is_named() -> None:
    ill = observed(container(passing=0, critical=1))

    assert list(weakened([ill], [ill])) == []
    assert list(weakened([observed(container())], [ill])) == [
        "chat became unhealthy during the run: container shop-chat-1 is unhealthy: it passes 0 of 1 health checks"
    ]
