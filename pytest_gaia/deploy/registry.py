"""From the settings of an environment to the hook that deploys it."""

from pathlib import Path

from pytest_gaia.config.environment import Environment
from pytest_gaia.deploy.contract import DeployHook
from pytest_gaia.errors import ConfigError, nearest

BUILT_IN = ("compose", "fly")
"""the adapters that come with this package, by name"""


def hook_for(environment: Environment, plugin_hook: DeployHook | None = None, *, rootdir: Path) -> DeployHook:
    """Return the hook of ``environment``. ``plugin_hook`` stands for ``hook = "plugin"``; ``rootdir`` has gaia.toml.

    Raises ``ConfigError``: the environment has no deployment, its command is not there, nobody implements its hook.
    """
    settings = environment.deploy
    if settings is None:
        raise ConfigError(
            f"{environment.name} has no deployment: add `from` to [env.{environment.name}] of gaia.toml, "
            f"or a hook to [env.{environment.name}.deploy]."
        )
    if settings.hook == "command":
        from pytest_gaia.deploy.custom import CommandHook

        return CommandHook(settings.command, rootdir)
    if settings.hook == "plugin":
        return plugin_hook if plugin_hook is not None else _nobody(environment)
    return built_in(settings.hook)


def built_in(name: str) -> DeployHook:
    """Return the adapter ``name``. Raises ``ConfigError`` for an unknown one."""
    if name == "fly":
        from pytest_gaia.deploy.fly.hook import FlyHook

        return FlyHook()
    if name == "compose":
        from pytest_gaia.deploy.compose.hook import ComposeHook

        return ComposeHook()
    raise ConfigError(f"there is no built-in hook {name!r}; {nearest(name, BUILT_IN)}")


def _nobody(environment: Environment) -> DeployHook:
    source = environment.sources.get("deploy.hook", "gaia.toml")
    raise ConfigError(
        f'{source}: env.{environment.name}.deploy.hook is "plugin", and there is no pytest_gaia_deploy to ask: it stands '
        f"in a conftest.py, which pytest alone loads. Run `pytest --gaia-env={environment.name} --gaia-deploy`, in a "
        "project whose root conftest.py implements it."
    )
