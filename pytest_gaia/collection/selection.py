"""Select tests, and decide which apply to an environment.

The declaration of an environment decides what applies, not the state of its services. Tests of a declared service that is
unreachable fail. Tests of a service that the environment does not have are "not applicable".
"""

from collections.abc import Sequence

import pytest

from pytest_gaia.clients.reasons import absent
from pytest_gaia.collection.needs import DIRECT, Needs, needs_of
from pytest_gaia.config.environment import Environment
from pytest_gaia.config.platform import Platform
from pytest_gaia.config.variables import variable_name
from pytest_gaia.errors import ConfigError, nearest


def by_command(
    items: Sequence[pytest.Item], commands: Sequence[str], platform: Platform
) -> tuple[list[pytest.Item], list[pytest.Item]]:
    """Split ``items`` into those that replace one of the old ``commands``, and the rest.

    Raises :class:`ConfigError` for a command that no collected test replaces.
    """
    wanted = frozenset(commands)
    replaces = {item: needs_of(item, platform).command for item in items}
    known = frozenset().union(*replaces.values())
    for command in commands:
        if command not in known:
            raise ConfigError(
                f"--gaia-command: no selected test belongs to the old command {command!r}; {nearest(command, known)}"
            )
    return (
        [item for item in items if replaces[item] & wanted],
        [item for item in items if not replaces[item] & wanted],
    )


def outside_default_selection(suite: str | None, needs: Needs, environment: Environment) -> str | None:
    """Return why ``environment`` does not run a test of ``suite`` by default; None if it does."""
    if suite is None:
        return None
    if environment.suites is not None and suite not in environment.suites:
        return f"{environment.name} runs the suite {suite!r} only if it is selected"
    if environment.core_only and not needs.core:
        return f"{environment.name} runs only core tests by default"
    return None


def not_applicable_reason(needs: Needs, environment: Environment) -> str | None:
    """Return why a test with ``needs`` does not apply to ``environment``; None if it applies."""
    name = environment.name
    if needs.writes and not environment.writes:
        return f"the test writes, and {name} forbids writes"
    if needs.experimental and not environment.experimental:
        return f"the test is experimental, and {name} runs no experimental tests"
    return next((reason for each in sorted(needs.requires) if (reason := _missing(each, environment))), None)


def _missing(required: str, environment: Environment) -> str | None:
    name = environment.name
    if required.endswith(DIRECT):
        service = required.removesuffix(DIRECT)
        return None if service in environment.urls else f"{service} has no URL of its own in {name}"
    if required == "api_key":
        known = environment.api_key is not None or any(key.endswith(".api_key") for key in environment.credentials)
        return None if known else f"no API key is configured for {name}: set {variable_name(name, 'API_KEY')}"
    if required == "jwt":
        known = environment.jwt_secret is not None
        return None if known else f"no JWT secret is configured for {name}: set {variable_name(name, 'JWT_SECRET')}"
    via = environment.platform[required].via
    # A test may use such a service through the other one, which decides whether it forwards the request.
    return None if via is not None and environment.has(via) else absent(environment, required)
