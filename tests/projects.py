"""Projects, platforms and environments in tests."""

from __future__ import annotations

from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import pytest_gaia
from pytest_gaia.config.environment import Environment
from pytest_gaia.config.layers import shipped_file
from pytest_gaia.config.platform import DISABLED
from pytest_gaia.config.reader import role_of
from pytest_gaia.config.schema import EnvironmentTable
from pytest_gaia.secrets.masks import Secret

if TYPE_CHECKING:
    from pytest_gaia.config.platform import Platform

ON_GAIA = '[gaia]\nplatform = "gaia"\n'
"""selects the built-in environments of the Gaia Platform; at the end of a file it does not move other lines"""

_SHIPPED = (Path(pytest_gaia.__file__).parent / "config/platforms/gaia.toml").read_text(encoding="utf-8")

SERVICES_OF_GAIA = _SHIPPED[_SHIPPED.index("[platform]") : _SHIPPED.index("# Docker Compose")]
"""declares the services of the Gaia Platform, without any environment; for the end of a file"""


def gaia_platform() -> Platform:
    """Return the built-in description of the Gaia Platform."""
    return shipped_file("gaia").platform


def gaia_environment(
    name: str, *, nats: str | None = None, database: Secret | None = None, **given: Any
) -> Environment:
    """Return an environment of the Gaia Platform, by default with all services of every release."""
    platform: Platform = given.get("platform") or gaia_platform()
    connections = {} if nats in (None, DISABLED) else {"nats": Secret(nats)}
    connections |= {} if database is None else {"postgres": database}
    everywhere = tuple(each for each in platform.names if each not in platform.without)
    services = tuple(each for each in given.pop("services", everywhere) if each != "nats" or nats != DISABLED)
    found: dict[str, Any] = {
        "platform": platform,
        "role": role_of(name, EnvironmentTable()),
        "connections": MappingProxyType(connections),
        "disabled": frozenset({"nats"} if nats == DISABLED else ()),
        "services": services,
        "required": platform.required(services),
    }
    return Environment(name, **{**found, **given})
