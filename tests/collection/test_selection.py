"""A check applies where the environment declares to have what the check needs."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

import pytest

from pytest_gaia.collection.needs import Needs
from pytest_gaia.collection.selection import not_applicable_reason
from pytest_gaia.config.environment import Environment
from pytest_gaia.config.platform import NATS_DISABLED
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
        ({"urls": MappingProxyType({})}, "asset has no URL of its own in lab"),
        ({"nats": NATS_DISABLED}, "lab has no NATS server (nats = disabled)"),
        ({"nats": None}, "lab has no NATS server (nats = not configured)"),
        ({"database": None}, "no database is configured for lab: set GAIA_LAB_DATABASE_URL"),
        ({"api_key": None}, "no API key is configured for lab: set GAIA_LAB_API_KEY"),
        ({"jwt_secret": None}, "no JWT secret is configured for lab: set GAIA_LAB_JWT_SECRET"),
    ],
)
def test_a_check_does_not_apply_where_something_is_not(fields: dict[str, Any], reason: str) -> None:
    assert not_applicable_reason(EVERYTHING, environment(**fields)) == reason


def test_a_service_that_is_only_declared_is_enough() -> None:
    # The test finds out whether it responds.
    assert not_applicable_reason(needs("asset", "chat"), environment(urls=MappingProxyType({}))) is None
