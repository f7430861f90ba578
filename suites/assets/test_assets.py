"""Assets, through the gateway and at the asset service's own URL.

Listing and generating are experimental; the service reports them as "in progress". A complete request is never sent,
because generating an asset costs money and cannot be undone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from suites.services import NOWHERE, OFFERS_V03, require_up
from suites.shapes import COUNT, MOMENT, NOT_FOUND, OBJECT, PATH, REFUSED, TEXT, VERSION, each, equal, holding, shaped

if TYPE_CHECKING:
    from pytest_gaia.clients.http.client import HttpClient
    from suites.shapes import Shape

pytestmark = pytest.mark.gaia(requires=["asset"])

LISTING: Shape = {"assets": each(OBJECT), "total": COUNT}
DETAILED: Shape = {"assets": each(OBJECT), "total": COUNT, "message": TEXT, "timestamp": MOMENT}
ALIVE: Shape = {"status": equal("ok"), "service": equal("asset-service"), "message": TEXT, "timestamp": MOMENT}
ROUTES = ["/api/v1/assets", "/assets"]
"""the routes of the service, before and since version 0.3 of the API"""
INCOMPLETE = {"type": "image", "prompt": "nothing at all"}


@pytest.mark.gaia(experimental=True)
async def test_the_gateway_lists_the_assets(gateway: HttpClient) -> None:
    content = shaped((await gateway.get("/api/v1/assets")).expect(200), LISTING)
    assert content["total"] >= len(content["assets"])


async def test_an_unknown_asset_is_not_found(gateway: HttpClient) -> None:
    response = await gateway.get("/api/v1/assets/{asset_id}", path_params={"asset_id": NOWHERE})
    shaped(response.expect(404), NOT_FOUND)


@pytest.mark.gaia(writes=True, experimental=True)
async def test_an_incomplete_request_is_rejected(gateway: HttpClient) -> None:
    response = await gateway.post("/api/v1/assets/generate", json={"name": "nothing at all"})
    assert "missing" in response.expect(422).field("detail")


@pytest.mark.gaia(operations=[OFFERS_V03])
async def test_the_gateway_lists_the_assets_of_the_service(gateway: HttpClient) -> None:
    content = shaped((await gateway.get("/api/v1/assets")).expect(200), DETAILED)
    assert content["total"] >= len(content["assets"])
    shaped((await gateway.anonymous().get("/api/v1/assets")).expect(401), REFUSED)


@pytest.mark.gaia(operations=[OFFERS_V03])
async def test_anyone_may_ask_whether_the_service_runs(anonymous: HttpClient) -> None:
    shaped((await anonymous.get("/api/v1/assets/test")).expect(200), ALIVE)


@pytest.mark.gaia(requires=["asset:direct"], experimental=True)
@pytest.mark.parametrize("route", ROUTES)
async def test_the_service_lists_its_assets(gateway: HttpClient, asset: HttpClient, route: str) -> None:
    await require_up(gateway, "asset")
    content = shaped((await asset.get(f"{route}/")).expect(200), DETAILED)
    assert content["total"] >= len(content["assets"])
    assert content["assets"] or not content["total"]


@pytest.mark.gaia(requires=["asset:direct"])
@pytest.mark.parametrize("route", ROUTES)
async def test_the_service_requires_a_key_for_its_assets(gateway: HttpClient, asset: HttpClient, route: str) -> None:
    await require_up(gateway, "asset")
    (await asset.get(f"{route}/")).expect(200)
    shaped((await asset.anonymous().get(f"{route}/")).expect(401), REFUSED)


@pytest.mark.gaia(requires=["asset:direct"], writes=True)
@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize(
    ("content", "missing"),
    [
        pytest.param(INCOMPLETE, {"category", "style"}, id="of another form"),
        pytest.param({"category": "image", "description": "nothing at all"}, {"style"}, id="without style"),
    ],
)
async def test_the_service_names_what_a_request_lacks(
    gateway: HttpClient, asset: HttpClient, route: str, content: dict[str, Any], missing: set[str]
) -> None:
    await require_up(gateway, "asset")
    response = (await asset.post(f"{route}/request", json=content)).expect(422)
    shaped(response, {"detail": each({"type": TEXT, "loc": each(TEXT), "msg": TEXT, "input": equal(content)})})
    assert missing <= {problem["loc"][-1] for problem in response.field("detail") if problem["type"] == "missing"}


@pytest.mark.gaia(requires=["asset:direct"])
async def test_the_service_introduces_itself(gateway: HttpClient, asset: HttpClient) -> None:
    await require_up(gateway, "asset")
    described: Shape = {
        "service": holding("asset"),
        "version": VERSION,
        "description": TEXT,
        "endpoints": dict.fromkeys(("assets", "health", "docs"), PATH),
    }
    content = shaped((await asset.anonymous().get("/")).expect(200), described)
    (await asset.anonymous().get(content["endpoints"]["health"])).expect(200)


@pytest.mark.gaia(requires=["asset:direct"])
@pytest.mark.parametrize("route", ROUTES)
async def test_the_service_reports_its_parts(gateway: HttpClient, asset: HttpClient, route: str) -> None:
    await require_up(gateway, "asset")
    shaped((await asset.anonymous().get(f"{route}/test")).expect(200), ALIVE)
    services = dict.fromkeys(("database", "nats", "storage", "external_apis"), TEXT)
    parts: Shape = {"status": equal("healthy"), "timestamp": MOMENT, "services": services}
    shaped((await asset.anonymous().get(f"{route}/health")).expect(200), parts)
