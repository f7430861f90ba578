"""What the platform can do is asked as the checks ask it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from pytest_gaia.config.environment import Environment
from pytest_gaia.config.secrets import Secret
from pytest_gaia.run.capabilities import QUESTIONS, observe
from pytest_gaia.run.readiness import MemberState
from tests.plugin.conftest import server

if TYPE_CHECKING:
    from tests.plugin.conftest import ScriptedServer

__all__ = ["server"]


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ({"api_key": Secret("a key"), "token": Secret("a token")}, "a key"),
        ({"token": Secret("a token")}, "Bearer a token"),
        ({}, None),
    ],
    ids=["key", "token", "nobody"],
)
def test_a_service_is_asked_with_what_the_clients_send(
    server: ScriptedServer, given: dict[str, Any], sent: str | None
) -> None:
    environment = Environment("staging", urls={"gateway": server.url}, **given)

    observe(environment, [MemberState("gateway", "ready")])

    assert len(server.seen) == len(QUESTIONS)
    assert server.identities == {sent}
