"""The sandbox responds as the platform was observed to respond: row by row, in every topology."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import pytest

from tests.sandbox.contract.replay import ROUTES, TABLE, TOPOLOGIES, rows
from tests.sandbox.contract.shapes import problems

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from pytest_gaia.run.sandbox import Sandbox
    from tests.sandbox.contract.replay import Replay

ROWS = [(topology, name) for topology in TOPOLOGIES for name in rows(topology)]


@pytest.mark.parametrize(("topology", "name"), ROWS)
async def test_responses_as_observed(replayed: Callable[[str], Awaitable[Replay]], topology: str, name: str) -> None:
    replay = await replayed(topology)
    expected, got = rows(topology)[name], replay.got[name]

    assert (got.status, got.content_type) == (expected.status, expected.content_type), got.content
    if expected.content_type is None:
        assert got.content == expected.shape
    else:
        assert problems(expected.shape, got.content, replay.values) == []


def test_table_has_at_least_a_hundred_rows_and_six_topologies() -> None:
    assert len(TABLE["rows"]) >= 100
    assert len({topology for topology, _ in ROWS}) == 6


@pytest.mark.parametrize("service", ROUTES)
async def test_serves_the_documented_routes(everything: Sandbox, service: str) -> None:
    url = everything.stack("full").urls[service]
    async with httpx.AsyncClient(trust_env=False) as client:
        document = (await client.get(f"{url}/openapi.json")).json()

    served = [
        f"{method.upper()} {path}{'' if operation.get('security') else ' open'}"
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
    ]
    assert sorted(served) == ROUTES[service]
