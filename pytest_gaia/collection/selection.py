"""Which of the collected checks run, and which apply to an environment.

What applies is decided by what the environment *declares*, never by what answered. A service that is declared and does
not answer makes its checks fail; only what an environment says it does not have makes them "not applicable".
"""

from collections.abc import Sequence

import pytest

from pytest_gaia.collection.needs import DIRECT, Needs, needs_of
from pytest_gaia.config.environment import Environment
from pytest_gaia.config.variables import variable_name
from pytest_gaia.errors import ConfigError, nearest


def by_command(items: Sequence[pytest.Item], commands: Sequence[str]) -> tuple[list[pytest.Item], list[pytest.Item]]:
    """Split ``items`` into those that stand for one of the old ``commands``, and the rest.

    Raises :class:`ConfigError` for a command that no collected check stands for.
    """
    wanted = frozenset(commands)
    stands_for = {item: needs_of(item).command for item in items}
    known = frozenset().union(*stands_for.values())
    for command in commands:
        if command not in known:
            raise ConfigError(f"--gaia-command: no collected check stands for {command!r}: {nearest(command, known)}")
    return (
        [item for item in items if stands_for[item] & wanted],
        [item for item in items if not stands_for[item] & wanted],
    )


def outside_default_selection(suite: str | None, needs: Needs, environment: Environment) -> str | None:
    """Return why a check of ``suite`` is not part of what ``environment`` runs by itself, or None where it is."""
    if suite is None:
        return None
    if environment.suites is not None and suite not in environment.suites:
        return f"{environment.name} does not run the suite {suite} unless it is selected"
    if environment.core_only and not needs.core:
        return f"{environment.name} runs only core checks unless others are selected"
    return None


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
