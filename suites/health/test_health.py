"""Health: the status that the body reports must agree with the services' own responses."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from suites.services import OFFERS_V03, ask, require_up
from suites.shapes import AMOUNT, FLAG, MOMENT, PATH, TEXT, VERSION, equal, mismatches, named, one_of, shaped, some

if TYPE_CHECKING:
    from pytest_gaia.clients.http.client import HttpClient
    from pytest_gaia.clients.http.responses import Response
    from suites.shapes import Fields, Shape

HEALTH: Fields = {"status": one_of("healthy", "degraded", "unhealthy"), "timestamp": MOMENT, "version": VERSION}


@pytest.mark.gaia(core=True, command="health")
async def test_the_gateway_reports_the_health_of_the_services(gateway: HttpClient) -> None:
    content = shaped((await gateway.anonymous().get("/health")).expect(200), HEALTH)
    responses = {service: (await ask(gateway, service)).status for service in ("auth", "asset", "chat")}
    down = [service for service, status in responses.items() if status == 503]
    if content["status"] == "healthy":
        assert not down, "healthy, but a service is down"
    elif content["status"] == "degraded":
        # The newest release also reports services that are not behind the gateway.
        parts = content.get("services", {}).items()
        down += [name for name, part in parts if name not in responses and part["status"] != "healthy"]
        assert down, f"degraded, but every service responds: {responses}"


@pytest.mark.gaia(core=True, command="health")
async def test_the_gateway_reaches_its_database(gateway: HttpClient) -> None:
    response = (await gateway.anonymous().get("/health")).expect(200)
    if response.field("status") == "unhealthy":
        raise response.unexpected("reports that the database is down")


@pytest.mark.gaia(core=True, operations=[OFFERS_V03])
async def test_a_healthy_platform_has_only_healthy_parts(gateway: HttpClient) -> None:
    state: Shape = {"status": TEXT}
    shape: Shape = {
        **HEALTH,
        "services": dict.fromkeys(("auth", "asset", "chat", "kb"), state),
        "database": {"status": TEXT, "database": equal("postgresql"), "responsive": FLAG},
        "redis": {"status": TEXT, "connected": FLAG},
        "supabase": {"status": TEXT, "service": equal("supabase"), "responsive": FLAG},
    }
    content = shaped((await gateway.anonymous().get("/health")).expect(200), shape)
    healthy = {name: each for name, each in content["services"].items() if each["status"] == "healthy"}
    assert not list(mismatches(healthy, named({"response_time": AMOUNT})))
    assert content["database"]["responsive"] == (content["database"]["status"] == "healthy")
    assert content["redis"]["connected"] == (content["redis"]["status"] == "healthy")
    states = {**content["services"], "database": content["database"], "redis": content["redis"]}
    ill = {name for name, part in states.items() if part["status"] != "healthy"}
    assert (content["status"] == "healthy") == (not ill), f"{content['status']}, but not healthy: {sorted(ill)}"


@pytest.mark.parametrize(
    "service",
    [pytest.param(name, marks=pytest.mark.gaia(requires=[name])) for name in ("auth", "asset", "chat")],
)
@pytest.mark.gaia(core=True, command="health")
async def test_the_service_responds_behind_the_gateway(gateway: HttpClient, service: str) -> None:
    await require_up(gateway, service)


# In the sandbox, `root_responses` exceeds a rate limit, which later requests of other tests would meet, too.
@pytest.mark.gaia(core=True, serial=True)
async def test_the_root_names_the_versions_that_it_serves(
    anonymous: HttpClient, root_responses: list[Response]
) -> None:
    content = shaped(root_responses[0].expect(200), {"message": TEXT, "versions": named(TEXT, least=1), "note": TEXT})
    paths = (await anonymous.get("/openapi.json")).expect(200).field("paths")
    served = {path.split("/")[2] for path in paths if path.startswith("/api/")}
    assert served
    # Routes without a version are "legacy".
    assert content["versions"].keys() - {"legacy"} == served


@pytest.mark.gaia(requires=["chat"], core=True)
async def test_version_0_2_describes_itself(anonymous: HttpClient) -> None:
    wanted = (
        "chat",
        "chat_stream",
        "providers",
        "models",
        "asset_pricing",
        "usage_tracking",
        "personas",
        "performance",
    )
    described: Shape = {
        "version": VERSION,
        "status": TEXT,
        "description": TEXT,
        "features": some(TEXT),
        "endpoints": dict.fromkeys(wanted, PATH),
    }
    version = shaped((await anonymous.get("/api/v0.2/")).expect(200), described)["version"]
    healthy: Shape = {"status": equal("healthy"), "version": equal(version)}
    shaped((await anonymous.get("/api/v0.2/health")).expect(200), healthy)
