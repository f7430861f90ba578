"""The events that services publish when they start and stop; only in the sandbox, because services are restarted."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from suites.services import require_up
from suites.shapes import MOMENT, OBJECT, TEXT, equal, mismatches, some

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from pytest_gaia.clients.broker.events import EventLog
    from pytest_gaia.clients.broker.messaging import Messaging
    from pytest_gaia.clients.http.client import HttpClient
    from pytest_gaia.run.sandbox import Sandbox
    from pytest_gaia.run.session import Run
    from suites.shapes import Shape

    Restart = Callable[[str], Awaitable[None]]

pytestmark = pytest.mark.gaia(requires=["nats"], writes=True)

READY, HEALTH = "gaia.service.ready", "gaia.service.health"

READY_EVENTS: dict[str, Shape] = {
    "auth": {"service": equal("auth"), "status": equal("ready")},
    "asset": {"service": equal("asset-service"), "status": equal("ready"), "capabilities": some(TEXT)},
    "chat": {"service": equal("chat"), "status": equal("ready"), "timestamp": TEXT},
}


@pytest.fixture
def restart(gaia_run: Run, gaia_sandbox: Sandbox) -> Restart:
    """Restart one service; its events are published before this returns."""

    async def restart(service: str) -> None:
        try:
            await asyncio.to_thread(gaia_sandbox.fault, gaia_run.process, service, "stop")
        finally:
            await asyncio.to_thread(gaia_sandbox.heal, gaia_run.process)

    return restart


@pytest.mark.parametrize(
    "service",
    [
        pytest.param("auth", marks=pytest.mark.gaia(requires=["auth"])),
        pytest.param("asset", marks=pytest.mark.gaia(requires=["asset"])),
        pytest.param("chat", marks=pytest.mark.gaia(requires=["chat"])),
    ],
)
async def test_a_service_publishes_that_it_is_ready(
    nats: Messaging, gateway: HttpClient, restart: Restart, service: str
) -> None:
    await require_up(gateway, service)
    async with nats.subscribe("gaia.>") as events:
        await restart(service)
        event = await events.wait_for(subject=READY, within=0.5)
    assert not list(mismatches(event.data, READY_EVENTS[service]))


async def test_the_gateway_publishes_stop_start_and_health(nats: Messaging, restart: Restart) -> None:
    async with nats.subscribe("gaia.service.>") as events:
        await restart("gateway")
        said = [await _of_the_gateway(events, subject) for subject in (HEALTH, HEALTH, READY)]
    # These are JSON inside a JSON string; the client decodes both.
    shape: Shape = {"service_name": equal("gateway"), "status": TEXT, "timestamp": MOMENT, "details": OBJECT}
    assert not [problem for data in said for problem in mismatches(data, shape)]
    assert [data["status"] for data in said] == ["stopping", "starting", "healthy"]
    assert [event.subject for event in events.seen] == [HEALTH, HEALTH, READY]


async def _of_the_gateway(events: EventLog, subject: str) -> Any:
    return (await events.wait_for(subject=subject, within=2.0)).data
