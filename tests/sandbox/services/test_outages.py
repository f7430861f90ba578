"""Outages of the database and of NATS, and their end."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.sandbox.services.platform import Platform

PROVIDERS = "GET /api/v0.2/providers"


@contextmanager
def without(platform: Platform, service: str) -> Iterator[None]:
    platform.sandbox.stop_service(service)
    try:
        yield
    finally:
        platform.sandbox.start_service(service)


async def test_keys_count_again_once_the_database_is_back(platform: Platform) -> None:
    await platform.content(PROVIDERS)
    with without(platform, "postgres"):
        away = [(await platform.ask(PROVIDERS)).status_code for _ in range(3)]
        by_token = await platform.ask(PROVIDERS, headers={**platform.bearer(), "X-API-Key": ""})

    assert away == [403] * 3
    assert by_token.status_code == 200
    assert [(await platform.ask(PROVIDERS)).status_code for _ in range(3)] == [200] * 3


async def test_every_service_reports_that_the_database_is_away(platform: Platform) -> None:
    with without(platform, "postgres"):
        said = {
            service: (await platform.content("GET /health", service=service))["status"]
            for service in platform.stack.urls
        }

    assert said == dict.fromkeys(platform.stack.urls, "unhealthy")


async def test_request_that_needs_the_database_is_a_500_without_it(platform: Platform) -> None:
    with without(platform, "postgres"):
        response = await platform.ask("GET /api/v0.2/personas", headers={**platform.bearer(), "X-API-Key": ""})

    assert (response.status_code, "Database unavailable" in response.text) == (500, True)


@pytest.mark.parametrize(("service", "said"), [("asset", "connected"), ("chat", {"status": "connected"})])
async def test_no_service_reports_that_the_broker_is_away(platform: Platform, service: str, said: object) -> None:
    with without(platform, "nats"):
        health = await platform.content("GET /health", service=service)

    assert (health["nats"], health["status"]) == (said, "healthy")
