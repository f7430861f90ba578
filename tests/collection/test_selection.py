"""A check applies where the environment declares to have what the check needs."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

import pytest

from pytest_gaia.collection.needs import Needs, not_applicable_reason
from pytest_gaia.config.environment import Environment
from pytest_gaia.config.platform import DISABLED
from pytest_gaia.config.services import PlatformTable, ServiceTable, platform_of
from pytest_gaia.secrets.masks import Secret
from tests.projects import gaia_environment


def environment(**fields: Any) -> Environment:
    """An environment that has everything, but for ``fields``."""
    usual: dict[str, Any] = {
        "name": "lab",
        "urls": MappingProxyType(dict.fromkeys(("gateway", "auth", "asset", "chat"), "http://127.0.0.1:1")),
        "nats": "nats://127.0.0.1:1",
        "writes": True,
        "database": Secret("postgres://lab"),
        "api_key": Secret("key"),
        "jwt_secret": Secret("secret"),
    }
    return gaia_environment(**(usual | fields))


def needs(*requires: str, writes: bool = False, experimental: bool = False) -> Needs:
    """The requirements of a test."""
    return Needs(requires=frozenset(requires), writes=writes, experimental=experimental)


EVERYTHING = needs("asset", "asset:direct", "nats", "postgres", "api_key", "jwt", writes=True, experimental=True)


def test_a_check_applies_where_everything_is_there() -> None:
    assert not_applicable_reason(EVERYTHING, environment()) is None


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"writes": False}, "the test writes, and lab forbids writes"),
        ({"experimental": False}, "the test is experimental, and lab runs no experimental tests"),
        ({"urls": MappingProxyType({"gateway": "http://127.0.0.1:1"})}, "asset has no URL of its own in lab"),
        (
            {"nats": DISABLED, "sources": {"urls.nats": "gaia.toml:7"}},
            "lab has no nats service nats: its URL is disabled (gaia.toml:7)",
        ),
        ({"nats": None}, "no URL of nats is configured for lab: set GAIA_LAB_NATS_URL"),
        ({"database": None}, "no URL of postgres is configured for lab: set GAIA_LAB_DATABASE_URL"),
        ({"api_key": None}, "no API key is configured for lab: set GAIA_LAB_API_KEY"),
        ({"jwt_secret": None}, "no JWT secret is configured for lab: set GAIA_LAB_JWT_SECRET"),
    ],
)
def test_a_check_does_not_apply_where_something_is_not(fields: dict[str, Any], reason: str) -> None:
    assert not_applicable_reason(EVERYTHING, environment(**fields)) == reason


def test_a_service_behind_another_one_applies_where_that_one_is() -> None:
    # The test finds out whether it responds. In production, no other service is declared.
    alone = environment(urls=MappingProxyType({"gateway": "http://127.0.0.1:1"}), services=("gateway",))
    assert not_applicable_reason(needs("gateway", "asset", "chat"), alone) is None
    assert not_applicable_reason(needs("gateway"), environment(urls=MappingProxyType({}))) == (
        "no URL of gateway is configured for lab: set GAIA_LAB_GATEWAY_URL"
    )


@pytest.mark.parametrize(
    ("service", "reason"),
    [
        ("orders", "the sandbox does not run orders; add `command` to [services.orders.sandbox] of gaia.toml"),
        ("cache", "the sandbox of this run has no cache service"),
        ("bank", "the sandbox does not run bank, which is an external service"),
    ],
)
def test_a_service_that_the_sandbox_does_not_run_does_not_apply(service: str, reason: str) -> None:
    described = {
        "orders": ServiceTable(),
        "cache": ServiceTable(kind="redis"),
        "bank": ServiceTable(external=True),
    }
    where = Environment("sandbox", platform=platform_of(PlatformTable(), described), sandbox=True)
    assert not_applicable_reason(needs(service), where) == reason
