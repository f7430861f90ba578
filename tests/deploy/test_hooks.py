from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import pytest

from pytest_gaia.config.environment import DeploySettings
from pytest_gaia.config.platform import Platform
from pytest_gaia.deploy.hooks import BUILT_IN, PluginHook, built_in, hook_for
from pytest_gaia.errors import ConfigError
from tests.deploy.executables import executable
from tests.projects import gaia_environment

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("name", BUILT_IN)
def test_the_built_in_adapters_go_by_their_names(name: Literal["compose", "fly"], tmp_path: Path) -> None:
    environment = gaia_environment("staging", deploy=DeploySettings(hook=name))

    assert hook_for(environment, rootdir=tmp_path).name == name


def test_a_command_is_looked_for_in_the_folder_of_the_project(tmp_path: Path) -> None:
    executable(tmp_path / "ci" / "deploy", "exit 0")
    environment = gaia_environment("staging", deploy=DeploySettings(hook="command", command=("ci/deploy",)))

    assert hook_for(environment, rootdir=tmp_path).name == "command"
    with pytest.raises(ConfigError, match="file ci/deploy not found"):
        hook_for(environment, rootdir=tmp_path / "ci")


def test_the_plugin_hook_stands_only_for_its_own_name(tmp_path: Path) -> None:
    own = PluginHook(lambda _request, _log: {}, "pytest_gaia_deploy")
    plugin = gaia_environment("staging", deploy=DeploySettings(hook="plugin"))
    compose = gaia_environment("staging", deploy=DeploySettings(hook="compose"))

    assert hook_for(plugin, own, rootdir=tmp_path) is own
    assert hook_for(compose, own, rootdir=tmp_path).name == "compose"


def test_a_plugin_that_nobody_has_written_is_a_usage_error(tmp_path: Path) -> None:
    environment = gaia_environment(
        "staging", deploy=DeploySettings(hook="plugin"), sources={"deploy.hook": "gaia.toml:7"}
    )

    with pytest.raises(ConfigError, match=r'gaia\.toml:7: env\.staging\.deploy\.hook is "plugin".*--gaia-deploy'):
        hook_for(environment, rootdir=tmp_path)


def test_an_environment_without_a_deployment_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"staging has no deployment. Add `from` to \[env\.staging\]"):
        hook_for(gaia_environment("staging"), rootdir=tmp_path)


def test_a_name_that_is_nearly_right_is_offered() -> None:
    with pytest.raises(ConfigError, match="unknown built-in hook 'flyio'; did you mean fly"):
        built_in("flyio", Platform())
