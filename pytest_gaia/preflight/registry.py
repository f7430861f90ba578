"""All checks, in the order in which the reference lists them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_gaia.preflight.checks import (
    artifacts,
    availability,
    containers,
    data,
    exposure,
    health,
    keys,
    names,
    parity,
    pipelines,
    secrets,
    urls,
)
from pytest_gaia.preflight.findings import Check

if TYPE_CHECKING:
    from types import ModuleType

_MODULES: tuple[ModuleType, ...] = (
    names,
    urls,
    data,
    secrets,
    health,
    availability,
    artifacts,
    exposure,
    parity,
    containers,
    keys,
    pipelines,
)

CHECKS: tuple[Check, ...] = tuple(
    value for module in _MODULES for value in vars(module).values() if isinstance(value, Check)
)

TOPICS: tuple[str, ...] = tuple(dict.fromkeys(check.topic for check in CHECKS))
