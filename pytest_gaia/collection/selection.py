"""Which of the collected checks run: the old commands, and the suites that an environment runs by default."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_gaia.collection.needs import needs_of
from pytest_gaia.errors import ConfigError, nearest

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pytest

    from pytest_gaia.collection.needs import Needs
    from pytest_gaia.config.environment import Environment


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
