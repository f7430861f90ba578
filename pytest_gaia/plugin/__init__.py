"""The hooks of every pytest run: options, and whether the run uses Gaia.

A run that does not use Gaia is not changed. This module imports pytest and cheap modules only; the first hook that needs
more imports it (``tests/plugin/test_imports.py`` checks this).
"""

from __future__ import annotations

import time
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest

from pytest_gaia import hookspecs
from pytest_gaia.plugin.options import add_options, may_use_gaia

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    """Register the hook specifications and the fixtures."""
    pluginmanager.add_hookspecs(hookspecs)
    pluginmanager.register(Fixtures(pluginmanager), "gaia-fixtures")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options, all of them under ``--gaia-``, and their settings."""
    add_options(parser)


@pytest.hookimpl(wrapper=True)
def pytest_load_initial_conftests(early_config: pytest.Config, args: list[str]) -> Generator[None]:
    """Guard the run, because code of the project runs from now on and could end it."""
    if not may_use_gaia(early_config, early_config.known_args_namespace):
        return (yield)
    from pytest_gaia.plugin.ending import guard_conftests

    return (yield from guard_conftests(early_config, args))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> Generator[None, int, int]:
    """Let a run that uses Gaia end with 0 only by its verdict."""
    if not may_use_gaia(config, config.option):
        return (yield)
    from pytest_gaia.plugin.ending import guard_run

    return (yield from guard_run(config))


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    """Register the marker, and start a run that uses Gaia."""
    if may_use_gaia(config, config.option):
        from pytest_gaia.plugin.launch import configure

        configure(config)
    elif getattr(config.option, "markers", False):
        from pytest_gaia.collection.needs import marker_text

        config.addinivalue_line("markers", marker_text())
    else:
        config.addinivalue_line("markers", "gaia(...): what a test needs")


class Fixtures(ModuleType):
    """The fixtures of ``pytest_gaia.fixtures.static``, imported when pytest's session starts.

    A run that does not use Gaia has fixtures with the same names that only raise an error.
    """

    NAMES = (
        "gaia_argument",
        "gaia_clients",
        "gaia_contract",
        "gaia_deployments",
        "gaia_env",
        "gaia_loop",
        "gaia_run",
        "gaia_sandbox",
        "gaia_secret",
        "gaia_tokens",
    )

    def __init__(self, pluginmanager: pytest.PytestPluginManager) -> None:
        super().__init__("pytest_gaia.fixtures.static")
        self.began = time.monotonic()
        """start of the run, for ``--gaia-deadline``"""
        self._manager = pluginmanager
        self._offered: ModuleType | None = None

    def __dir__(self) -> Sequence[str]:
        return self.NAMES

    def __getattr__(self, name: str) -> object:
        if name not in self.NAMES:
            raise AttributeError(name)
        if self._offered is None:
            self._offered = self._chosen()
        return getattr(self._offered, name)

    def _chosen(self) -> ModuleType:
        config: Any = self._manager.get_plugin("pytestconfig")
        shown = config.option.showfixtures or config.option.show_fixtures_per_test
        if shown or may_use_gaia(config, config.option):
            from pytest_gaia.fixtures import static

            return static
        unused = ModuleType("pytest_gaia.fixtures.static")
        vars(unused).update(dict.fromkeys(self.NAMES, _unused))
        return unused


@pytest.fixture(scope="session")
def _unused(request: pytest.FixtureRequest) -> object:
    from pytest_gaia.fixtures.static import without_gaia

    return without_gaia(request)
