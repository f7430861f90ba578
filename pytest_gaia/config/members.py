"""The members that an environment is expected to run, and those without which nothing is run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import UNSET

from pytest_gaia.config.platform import HTTP_SERVICES, MEMBERS, NATS_DISABLED
from pytest_gaia.config.reader import ADHOC
from pytest_gaia.errors import ConfigError

if TYPE_CHECKING:
    from pytest_gaia.config.layers import Layer


def expected_members(name: str, layer: Layer, *, has_database: bool) -> tuple[str, ...]:
    """Return the members to expect, in the order of ``MEMBERS``.

    An address given by name says that its member is there, whatever the topology says.
    """
    table = layer.table
    if table.services is not UNSET:
        expected: set[str] = set(table.services)
    elif name == ADHOC:
        # Behind a gateway nobody knows of there may be everything; the checks will tell.
        expected = set(HTTP_SERVICES) if "gateway" in layer.named else set()
        expected |= {"postgres"} if has_database else set()
    else:
        expected = {"gateway", "postgres"} if table.topology == "gateway-only" else set(MEMBERS)
    if table.nats == NATS_DISABLED:
        expected.discard("nats")
    elif table.nats is not UNSET:
        expected.add("nats")
    expected |= layer.named
    return tuple(member for member in MEMBERS if member in expected)


def required_members(name: str, layer: Layer, services: tuple[str, ...]) -> tuple[str, ...]:
    """Return the members without which nothing is run; raises ``ConfigError`` for one that is not expected at all."""
    if layer.table.required is UNSET:
        return ("gateway",) if "gateway" in services else services[:1]
    for member in layer.table.required:
        if member not in services:
            raise ConfigError(
                f"{layer.sources['required']}: env.{name}.required: {member} is not among the services of this "
                f"environment ({', '.join(services)}); add it to `services` or take it out of `required`."
            )
    return layer.table.required
