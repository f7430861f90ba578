"""When an environment is ready, tested with servers that flap, start slowly, are busy, or change."""

from __future__ import annotations

import re
import socket
import threading
from typing import TYPE_CHECKING

import pytest

from pytest_gaia.observation.probes import ProbeResult
from pytest_gaia.observation.readiness import Demand, Row, ServiceState, probe_services
from pytest_gaia.run.sandbox import bind
from tests.observation.conftest import environment
from tests.observation.scripted import Says, healthy, says
from tests.projects import gaia_environment, gaia_platform

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_gaia.run.sandbox import Sandbox
    from tests.observation.scripted import ScriptedService

    Start = Callable[..., ScriptedService]

BUSY = Says(503, {"detail": "starting"})
JUST_DEPLOYED = Demand(successes=3, healthy=frozenset(gaia_platform().names), patient=True)
THREE = Demand(successes=3)


def gateway(server: ScriptedService | str, *, deadline: float = 20, demand: Demand = JUST_DEPLOYED) -> ServiceState:
    """Return the state of a gateway in an environment that expects all other services too."""
    whole = gaia_environment("here", urls={"gateway": server if isinstance(server, str) else server.url})
    states = probe_services(whole, deadline=deadline, demand=demand)
    return next(state for state in states if state.service == "gateway")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_one_response_is_enough_where_nothing_was_deployed(serve: Start) -> None:
    server = serve(healthy())

    state = gateway(server, demand=Demand())

    assert (state.state, state.settled, state.attempts, server.asked) == ("ready", True, 1, 1)


def test_three_good_responses_in_a_row_are_asked_for(serve: Start) -> None:
    server = serve(healthy())

    state = gateway(server)

    assert (state.state, state.settled, state.version) == ("ready", True, "0.2")
    assert re.fullmatch(r"3 consecutive successes, the first after \d+ ms", state.detail)
    assert server.asked == 3


@pytest.mark.parametrize("between", [BUSY, Says(429), says("degraded"), healthy("0.3"), Says(200, "?")], ids=str)
def test_whatever_comes_between_the_row_begins_anew(serve: Start, between: Says) -> None:
    server = serve(healthy(), healthy(), between, healthy(), healthy(), healthy())

    state = gateway(server)

    assert state.settled
    assert server.asked == 6


def test_a_service_that_flaps_is_reported_at_the_deadline(serve: Start) -> None:
    server = serve(*(healthy(), BUSY) * 40)

    state = gateway(server, deadline=2)

    assert (state.state, state.settled, state.reachable) == ("unsettled", False, True)
    assert "of 3 consecutive" in state.detail


def test_two_releases_that_take_turns_do_not_settle(serve: Start) -> None:
    server = serve(*(healthy("0.2"), healthy("0.3")) * 40)

    state = gateway(server, deadline=4, demand=THREE)

    assert (state.state, state.settled) == ("unsettled", False)
    assert "alternate between versions" in state.detail


@pytest.mark.parametrize("status", ["degraded", "unhealthy"])
def test_what_the_body_reports_counts_after_a_deployment(serve: Start, status: str) -> None:
    state = gateway(serve(says(status)), deadline=1)

    assert (state.state, state.settled) == (status, False)
    assert f"reports '{status}'" in state.detail


def test_a_body_that_vouches_for_nothing_is_no_good_response(serve: Start) -> None:
    state = gateway(serve(Says(200, {"version": "0.2"})), deadline=1)

    assert not state.settled
    assert "does not report to be healthy" in state.detail


@pytest.mark.parametrize(
    ("response", "reason"),
    [
        (Says(200, {"version": "0.2"}), "does not report to be healthy"),
        (Says(503), "GET /health returned 503"),
    ],
    ids=str,
)
def test_an_attempt_that_the_deadline_ends_does_not_hide_the_last_response(
    serve: Start, response: Says, reason: str
) -> None:
    over = threading.Event()
    unanswered = Says(first=lambda: over.wait(30))

    state = gateway(serve(response, unanswered), deadline=0.9)
    over.set()

    assert (state.attempts, state.settled) == (2, False)
    assert reason in state.detail


def test_a_protocol_that_reports_no_health_is_no_evidence_after_a_deployment() -> None:
    connects = ProbeResult(confirmed=False, mute=True)
    deployed, before = Row(2, only_healthy=True), Row(2)

    assert [deployed.take(connects, well=False) for _ in range(2)] == [False, True]
    assert not deployed.settled
    assert "does not show after a deployment that it is healthy" in deployed.reason
    assert [before.take(connects, well=False) for _ in range(2)] == [False, True]
    assert before.settled


def test_without_a_deployment_a_degraded_service_settles_as_what_it_is(serve: Start) -> None:
    server = serve(says("degraded"))

    state = gateway(server, demand=THREE)

    assert (state.state, state.settled, server.asked) == ("degraded", True, 3)


def test_degraded_may_become_healthy_before_the_deadline(serve: Start) -> None:
    server = serve(says("unhealthy"), says("degraded"), healthy())

    state = gateway(server)

    assert (state.state, state.settled, server.asked) == ("ready", True, 5)


def test_a_gateway_that_stands_alone_may_say_degraded(serve: Start) -> None:
    server = serve(says("degraded"))

    (state,) = probe_services(environment(gateway=server), deadline=20, demand=JUST_DEPLOYED)

    assert (state.state, state.settled, server.asked) == ("degraded", True, 3)


def test_a_gateway_that_stands_alone_may_not_say_unhealthy(serve: Start) -> None:
    (state,) = probe_services(environment(gateway=serve(says("unhealthy"))), deadline=1, demand=JUST_DEPLOYED)

    assert (state.state, state.settled) == ("unhealthy", False)


def test_a_server_that_is_busy_reports_when_to_come_back(serve: Start) -> None:
    server = serve(Says(429, headers={"Retry-After": "1"}), healthy())

    state = gateway(server, demand=Demand())

    assert (state.state, state.attempts) == ("started", 2)
    assert state.cold_start_ms is not None
    assert state.cold_start_ms >= 1000


@pytest.mark.parametrize("value", ["soon", "-1", "1e9", "99999999999", "Wed, 21 Oct 2026 07:28:00 GMT", ""])
def test_a_retry_after_that_is_no_number_of_seconds_is_passed_over(serve: Start, value: str) -> None:
    server = serve(Says(503, headers={"Retry-After": value}), healthy())

    assert gateway(server, demand=Demand()).settled


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_service_that_stays_busy_is_out_of_reach_with_its_reason(serve: Start, status: int) -> None:
    state = gateway(serve(Says(status)), deadline=1)

    assert (state.state, state.settled, state.cold_start_ms) == ("unreachable", False, None)
    assert f"GET /health returned {status}" in state.detail


def test_the_first_response_is_timed_apart_from_the_row(serve: Start) -> None:
    state = gateway(serve(healthy()))

    assert state.cold_start_ms is not None
    # Two pauses follow until the last success.
    assert 0 < state.cold_start_ms < state.elapsed * 1000 - 300


def test_a_machine_that_wakes_is_shown_with_its_first_response(serve: Start) -> None:
    state = gateway(serve(BUSY, BUSY, healthy()))

    assert state.state == "started"
    assert "attempt 3" in state.detail


def test_a_question_that_hangs_at_the_deadline_keeps_what_was_known(serve: Start) -> None:
    never = threading.Event()
    server = serve(healthy(), Says(first=lambda: never.wait(30)))

    state = gateway(server, deadline=1)
    never.set()

    assert (state.state, state.settled, state.attempts) == ("unsettled", False, 2)


def test_what_is_plainly_not_there_is_given_up_at_once_without_a_deployment() -> None:
    state = gateway(f"http://127.0.0.1:{free_port()}", deadline=60, demand=THREE)

    assert (state.state, state.attempts) == ("unreachable", 3)


def test_after_a_deployment_it_may_still_come() -> None:
    port = free_port()

    state = gateway(f"http://127.0.0.1:{port}", deadline=2)

    assert state.state == "unreachable"
    assert state.attempts > 3


def test_services_are_asked_at_once_and_reported_in_order(serve: Start) -> None:
    release = threading.Event()
    slow = serve(Says(200, {"status": "healthy"}, first=lambda: release.wait(30)))
    released = serve(healthy())
    waited: list[tuple[str, ...]] = []

    def waiting(pending: tuple[str, ...]) -> None:
        waited.append(pending)
        release.set()

    states = probe_services(environment(gateway=slow, chat=released), deadline=20, waiting=waiting)

    assert [state.service for state in states] == ["gateway", "chat"]
    assert waited[0] == ("gateway",)


def test_the_whole_platform_settles(sandbox: Sandbox) -> None:
    whole = bind(gaia_environment("sandbox", sandbox=True), sandbox.stack("readiness"))

    states = probe_services(whole, deadline=30, demand=JUST_DEPLOYED)

    assert {state.service: (state.state, state.settled) for state in states} == dict.fromkeys(
        gaia_platform().usual, ("ready", True)
    )


def test_a_platform_without_a_service_does_not_settle_by_itself(sandbox: Sandbox) -> None:
    stack = sandbox.stack("readiness-without")
    sandbox.fault("readiness-without", "asset", "stop")
    whole = bind(gaia_environment("sandbox", sandbox=True), stack)

    states = {state.service: state for state in probe_services(whole, deadline=2, demand=JUST_DEPLOYED)}
    sandbox.heal("readiness-without")

    assert (states["asset"].state, states["gateway"].state) == ("unreachable", "degraded")
    assert [name for name in whole.urls if not states[name].settled] == ["gateway", "asset"]
    assert states["nats"].settled
