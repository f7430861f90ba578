from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_gaia.deploy.contract import Machine, Observation, Reply, UnknownApp
from pytest_gaia.errors import ConfigError
from pytest_gaia.observation.deployed import PATIENCE, ServiceObservation, changes, observe_services
from pytest_gaia.rollout.model import Rollout, Step
from tests.rollout.deploy_files import Clock

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_gaia.deploy.contract import Request

SERVICES = ("auth", "chat", "gateway")


def observed(app: str, version: int = 1) -> Observation:
    machine = Machine(id="m", state="started", digest=f"sha256:{version}")
    return Observation(app=app, exists=True, machines=(machine,), version=version)


class Hook:
    """A hook that calls ``response`` and records requests and threads."""

    def __init__(self, response: Callable[[Request], Reply], name: str = "fly") -> None:
        self.name = name
        self.response = response
        self.asked: list[Request] = []
        self.threads: set[int] = set()

    def run(self, request: Request, log: Callable[[str], None]) -> Reply:
        self.asked.append(request)
        self.threads.add(threading.get_ident())
        return self.response(request)


def rollout(*services: str, deadline: float = 600) -> Rollout:
    steps = tuple(Step(service, f"gaia-{service}-dev") for service in services)
    return Rollout("dev", Path("/srv/gaia"), steps, deadline=deadline)


def sees_all(request: Request) -> Reply:
    return Reply(status="done", observation=observed(request.app))


def test_every_service_is_only_observed_and_comes_back_in_its_place() -> None:
    hook = Hook(sees_all)

    observations = observe_services(rollout(*SERVICES), hook)

    assert [observed.service for observed in observations] == list(SERVICES)
    assert [observed.observation for observed in observations] == [observed(f"gaia-{each}-dev") for each in SERVICES]
    assert {request.phase for request in hook.asked} == {"observe"}


def test_tools_are_asked_side_by_side() -> None:
    meeting = threading.Barrier(len(SERVICES), timeout=30)

    def response(request: Request) -> Reply:
        meeting.wait()
        return sees_all(request)

    observations = observe_services(rollout(*SERVICES), Hook(response))

    assert all(observed.observation for observed in observations)


def test_code_of_the_project_is_asked_in_the_thread_that_asks() -> None:
    hook = Hook(sees_all, name="plugin")

    observe_services(rollout(*SERVICES), hook)

    assert hook.threads == {threading.get_ident()}


def test_what_cannot_be_observed_reports_why_and_stops_nothing() -> None:
    def response(request: Request) -> Reply:
        if request.service == "auth":
            raise ConfigError("not logged in")
        if request.service == "chat":
            return Reply(status="failed", message="no such machine")
        return sees_all(request)

    auth, chat, gateway = observe_services(rollout(*SERVICES), Hook(response))

    assert (auth.observation, auth.problem) == (None, "not logged in")
    assert (chat.observation, chat.problem) == (None, "gaia-chat-dev cannot be observed: no such machine")
    assert (gateway.observation, gateway.problem) == (observed("gaia-gateway-dev"), "")


def test_an_app_that_the_tool_does_not_know_is_not_deployed() -> None:
    def response(request: Request) -> Reply:
        raise UnknownApp("no such app")

    (observed,) = observe_services(rollout("auth"), Hook(response))

    assert observed.observation == Observation(app="gaia-auth-dev", exists=False)


def test_a_tool_that_does_not_respond_is_asked_again_and_then_given_up() -> None:
    clock = Clock()
    hook = Hook(lambda _: Reply(status="retry", message="rate limit"))

    (observed,) = observe_services(rollout("auth"), hook, pace=clock.pace())

    assert observed.problem == "gaia-auth-dev could not be observed in time: rate limit"
    assert len(hook.asked) > 3
    assert clock.now <= PATIENCE


def test_it_waits_no_longer_than_a_deployment_would() -> None:
    clock = Clock()

    observe_services(rollout("auth", deadline=5), Hook(lambda _: Reply(status="retry")), pace=clock.pace())

    assert clock.now <= 5


@pytest.mark.parametrize(
    ("then", "now", "sentences"),
    [
        ([ServiceObservation("auth", "a", observed("a"))], [ServiceObservation("auth", "a", observed("a"))], []),
        (
            [ServiceObservation("auth", "a", observed("a"))],
            [ServiceObservation("auth", "a", observed("a", version=2))],
            ["auth changed during the run: a has release 2, but had release 1 before"],
        ),
        (
            [ServiceObservation("auth", "a", observed("a"))],
            [ServiceObservation("auth", "a", problem="rate limit")],
            ["auth could not be observed at the end: rate limit"],
        ),
        ([ServiceObservation("auth", "a", problem="rate limit")], [ServiceObservation("auth", "a", observed("a"))], []),
        ([ServiceObservation("auth", "a", problem="rate limit")], [], []),
    ],
    ids=["same", "another", "unseen", "never seen", "not asked again"],
)
def test_changes_are_reported_of_what_was_seen_before(
    then: list[ServiceObservation], now: list[ServiceObservation], sentences: list[str]
) -> None:
    assert list(changes(then, now)) == sentences
