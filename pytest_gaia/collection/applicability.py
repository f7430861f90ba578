"""Whether a check applies to an environment. Decided by what the environment *declares*, never by what answered.

A service that is declared and does not answer makes its checks fail; only what an environment says it does not have
makes them "not applicable".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_gaia.collection.marker import DIRECT
from pytest_gaia.config.variables import variable_name

if TYPE_CHECKING:
    from pytest_gaia.collection.needs import Needs
    from pytest_gaia.config.environment import Environment


def why_not(needs: Needs, environment: Environment) -> str | None:
    """Return why a check with these ``needs`` does not apply to ``environment``, or None where it does."""
    name = environment.name
    if needs.writes and not environment.writes:
        return f"it writes, and {name} forbids writing"
    if needs.experimental and not environment.experimental:
        return f"it is experimental, and {name} runs no experimental checks"
    return next((why for each in sorted(needs.requires) if (why := _missing(each, environment))), None)


def _missing(required: str, environment: Environment) -> str | None:
    name = environment.name
    if required.endswith(DIRECT):
        service = required.removesuffix(DIRECT)
        return None if service in environment.urls else f"{name} gives {service} no URL of its own"
    if required == "nats" and not environment.has_nats:
        return f"{name} has no broker (nats = {environment.nats or 'not configured'})"
    if required == "postgres" and environment.database is None:
        return f"no database is configured for {name}: set {variable_name(name, 'DATABASE_URL')}"
    if required == "api_key" and environment.api_key is None:
        return f"no API key is configured for {name}: set {variable_name(name, 'API_KEY')}"
    if required == "jwt" and environment.jwt_secret is None:
        return f"no user tokens can be made for {name}: set {variable_name(name, 'JWT_SECRET')}"
    return None
