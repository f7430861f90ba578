"""Locations near a position."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from suites.shapes import COUNT, OBJECT, TEXT, each, equal, shaped, some

if TYPE_CHECKING:
    from pytest_gaia.clients.http.client import HttpClient

NEARBY = "/api/v0.3/locations/nearby"

pytestmark = pytest.mark.gaia(core=True)


async def test_nearby_locations_are_counted(gateway: HttpClient) -> None:
    response = await gateway.get(NEARBY, params={"gps": "37.9,-122.5"})
    content = shaped(response.expect(200), {"locations": each(OBJECT), "count": COUNT})
    assert content["count"] == len(content["locations"])


async def test_a_request_without_a_position_is_rejected(gateway: HttpClient) -> None:
    problem = {"type": equal("missing"), "loc": some(TEXT), "msg": TEXT}
    response = (await gateway.get(NEARBY)).expect(422)
    assert "gps" in shaped(response, {"detail": some(problem)})["detail"][0]["loc"]
