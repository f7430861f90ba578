"""How an environment is deployed: the table ``[env.NAME.deploy]``, checked as a whole."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import UNSET

from pytest_gaia.config.environment import DeploySettings
from pytest_gaia.config.schema import set_values
from pytest_gaia.errors import ConfigError

if TYPE_CHECKING:
    from pytest_gaia.config.layers import Layer


def deploy_settings(name: str, layer: Layer) -> DeploySettings | None:
    """Return the settings; None for an environment that neither reads deploy files nor names a hook.

    Raises ``ConfigError`` where the table contradicts itself.
    """
    given = set_values(layer.table.deploy)
    hook = given.pop("hook", layer.table.source)
    if hook is UNSET and not given:
        return None
    if hook is UNSET:
        raise _error(name, layer, next(iter(given)), 'nothing says how to deploy; add hook = "fly", say, or `from`.')
    if hook == "command" and "command" not in given:
        raise _error(name, layer, "hook", 'the executable is missing; add command = ["ci/deploy"], say.')
    if hook != "command" and "command" in given:
        raise _error(name, layer, "command", f'the hook here is {hook}; add hook = "command", or leave this out.')
    return DeploySettings(hook=hook, **given)


def _error(name: str, layer: Layer, key: str, problem: str) -> ConfigError:
    return ConfigError(f"{layer.sources[f'deploy.{key}']}: env.{name}.deploy.{key}: {problem}")
