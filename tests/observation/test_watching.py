"""The environment at the end of a run is compared with its state before the first test."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from pytest_gaia.observation.readiness import ONE_RESPONSE, probe_services
from pytest_gaia.observation.watching import Early, Ending, observe_again
from tests.observation.conftest import environment
from tests.observation.scripted import Says, healthy, says

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_gaia.config.environment import Environment
    from tests.observation.scripted import ScriptedService

    Start = Callable[..., ScriptedService]


def ending(there: Environment, *, deadline: float = 1.0, meanwhile: Callable[[], None] = lambda: None) -> Ending:
    before = probe_services(there, deadline=10)
    meanwhile()
    return observe_again(there, before, deadline=deadline)


def test_an_environment_that_stayed_as_it_was_has_nothing_to_say(serve: Start) -> None:
    assert ending(environment(gateway=serve(healthy()), chat=serve(says("degraded")))) == Ending()


def test_a_required_service_that_is_gone_takes_the_evidence_with_it(serve: Start) -> None:
    gateway = serve(healthy())

    found = ending(environment(gateway=gateway), meanwhile=gateway.close, deadline=20)

    assert found == Ending(gone=("gateway responded before the first test and no longer does: connection refused",))


def test_one_that_is_not_required_is_noted(serve: Start) -> None:
    chat = serve(healthy())

    found = ending(environment(gateway=serve(healthy()), chat=chat), meanwhile=chat.close, deadline=20)

    assert (found.gone, found.changed) == ((), ())
    assert found.noted[0].startswith("chat responded before the first test and no longer does")


@pytest.mark.parametrize(
    ("after", "sentence"),
    [
        (healthy("0.3"), "gateway is version 0.3 at the end, it was 0.2"),
        (Says(body={"status": "healthy"}), "gateway is version unknown at the end, it was 0.2"),
        (says("unhealthy"), "gateway was ready before the first test and is unhealthy at the end: reports 'unhealthy'"),
    ],
    ids=["release", "no release", "state"],
)
def test_what_is_another_is_named(serve: Start, after: Says, sentence: str) -> None:
    found = ending(environment(gateway=serve(healthy("0.2"), after)))

    assert found.changed == (sentence,)


def test_another_release_of_any_service_counts(serve: Start) -> None:
    found = ending(environment(gateway=serve(healthy()), chat=serve(healthy("1"), healthy("2"))))

    assert found.changed == ("chat is version 2 at the end, it was 1",)


def test_a_machine_that_went_to_sleep_may_wake_again(serve: Start) -> None:
    gateway = serve(healthy(), Says(503), says("unhealthy"), healthy())

    assert ending(environment(gateway=gateway), deadline=20) == Ending()
    assert gateway.asked == 4


def test_a_gateway_that_stands_alone_is_no_worse_for_saying_so(serve: Start) -> None:
    assert ending(environment(gateway=serve(healthy(), says("degraded")))) == Ending()


def test_degraded_from_the_beginning_is_no_change_but_worse_is(serve: Start) -> None:
    there = environment(gateway=serve(says("degraded"), says("degraded"), says("unhealthy")))

    before = probe_services(there, deadline=10)

    assert observe_again(there, before, deadline=10).changed == ()
    assert observe_again(there, before, deadline=10).changed == (
        "gateway was degraded before the first test and is unhealthy at the end: reports 'unhealthy'",
    )


def test_services_that_were_never_there_are_not_asked(serve: Start) -> None:
    gateway, chat = serve(healthy()), serve(healthy())
    there = environment(gateway=gateway, chat=chat)
    before = tuple(
        replace(state, state="unreachable") if state.service == "chat" else state
        for state in probe_services(there, deadline=10)
    )

    assert observe_again(there, before, deadline=10) == Ending()
    assert (gateway.asked, chat.asked) == (2, 1)


def test_what_responds_while_the_tests_are_collected_is_not_asked_again(serve: Start) -> None:
    gateway = serve(healthy())
    there = environment(gateway=gateway)
    early = Early(there, ONE_RESPONSE, ())
    found = early.beginning(lambda _: None, 10)
    asked = gateway.asked

    again = early.beginning(lambda _: None, 10)

    assert found is not None
    assert again is found
    assert {state.service: state.state for state in found.states if state.asked} == {"gateway": "ready"}
    assert found.observed is not None
    assert "gateway" in found.observed.capabilities
    assert found.documents.keys() == {"gateway"}
    assert gateway.asked == asked


def test_a_service_that_refused_connections_during_collection_is_probed_again(serve: Start) -> None:
    gateway = serve(healthy())
    there = environment(gateway=gateway)
    gateway.close()

    assert Early(there, ONE_RESPONSE, ()).beginning(lambda _: None, 10) is None
