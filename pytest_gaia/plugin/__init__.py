"""The hooks of every pytest run in which the package is installed: options, and the question whether the run uses Gaia.

A run that does not passes through untouched. This module imports nothing but pytest and what costs nothing; everything
else is imported by the first hook that needs it (``tests/plugin/test_imports.py`` holds it).
"""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest

from pytest_gaia import hookspecs
from pytest_gaia.plugin.signs import may_use_gaia

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    """Let projects implement the hooks of this package, and offer its fixtures."""
    pluginmanager.add_hookspecs(hookspecs)
    pluginmanager.register(Fixtures(pluginmanager), "gaia-fixtures")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options, all of them under ``--gaia-``."""
    group = parser.getgroup("gaia", "tests of the Gaia Platform in one of its environments")
    add = group.addoption
    add("--gaia-env", metavar="NAME", help="the environment to test: sandbox (the default), or one that "
        "gaia.toml configures; also GAIA_ENV")  # fmt: skip
    add("--gaia-url", metavar="SERVICE=URL", action="append", default=[], help="where a service is; repeatable; without "
        "--gaia-env it makes an environment of its own. A bare URL is the gateway's; also GAIA_<SERVICE>_URL")  # fmt: skip
    add("--gaia-sandbox-without", metavar="MEMBER,…", action="append", default=[],
        help="start the sandbox with these members stopped: auth, asset, chat, nats, postgres")  # fmt: skip
    add("--gaia-sandbox-fixed", action="store_true", help="serve the sandbox without the platform's known defects")
    add("--gaia-rehearse", action="store_true", help="run the chosen environment's checks on a sandbox of its shape")
    add("--gaia-command", metavar="NAME", action="append", default=[],
        help="run the checks that stand for this command of the old test.sh; repeatable")  # fmt: skip
    add("--gaia-argument", metavar="VALUE", action="append", default=[],
        help="what the old command was given, such as a provider's name; repeatable")  # fmt: skip
    add("--gaia-record", metavar="FILE", type=Path, help="write the raw evidence of every test to FILE, as it happens "
        "(JSON Lines; `gaia replay FILE` judges it again)")  # fmt: skip
    add("--gaia-subjects", metavar="FILE", type=Path, help="write what rules can select to FILE (JSON), for `gaia "
        "policy`; use it with --collect-only")  # fmt: skip
    add("--gaia-seal", metavar="FILE", type=Path, help="write the sealed plan to FILE at the end of collection: every "
        "test that the environment runs by itself; the run, or one with --gaia-plan, then owes all of them")  # fmt: skip
    add("--gaia-plan", metavar="FILE", type=Path, help="hold the run against a plan that was sealed before: what it "
        "owes and does not pass ends in HOLD")  # fmt: skip
    add("--gaia-require-full", action="store_true", help="end a partial run, which leaves something out of the suites, "
        "with HOLD (11) instead of PARTIAL (0)")  # fmt: skip
    add("--gaia-bundle", metavar="ID", help="the bundle that is tested; it is written into plan and record")
    add("--gaia-report", metavar="FILE", type=Path, help="write the verdict and every judgement to FILE (JSON)")
    add("--gaia-deploy", action="store_true", help="deploy the environment once, after collection and before the first "
        "test; without it, what is deployed is only looked at")  # fmt: skip
    add("--gaia-deploy-services", metavar="SERVICE,…", action="append", default=[],
        help="with --gaia-deploy: only these services; repeatable; all: every one")  # fmt: skip
    add("--gaia-deploy-image", metavar="SERVICE=IMAGE", action="append", default=[],
        help="with --gaia-deploy: deploy this image instead of building one; repeatable")  # fmt: skip
    add("--gaia-deploy-region", metavar="REGION", help="with --gaia-deploy: the primary region, such as fra")
    add("--gaia-deploy-rebuild", action="store_true", help="with --gaia-deploy: build without earlier builds")
    add("--gaia-allure-expected", choices=("failed", "skipped"), default="failed", help="with --alluredir: how failures "
        "that do not gate are shown: failed, and known to be so (the default), or skipped, as Allure 2 counts them")  # fmt: skip


@pytest.hookimpl(wrapper=True)
def pytest_load_initial_conftests(early_config: pytest.Config, args: list[str]) -> Generator[None]:
    """From here on, code of the project runs, and could end the run."""
    if not _may_use_gaia(early_config, early_config.known_args_namespace):
        return (yield)
    from pytest_gaia.plugin.ending import conftests_guarded

    return (yield from conftests_guarded(early_config, args))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> Generator[None, int, int]:
    """Nothing but its verdict ends a run of Gaia with 0."""
    if not _may_use_gaia(config, config.option):
        return (yield)
    from pytest_gaia.plugin.ending import settled

    return (yield from settled(config))


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    """Register the marker, and start what a run of Gaia needs."""
    uses = _may_use_gaia(config, config.option)
    if uses or getattr(config.option, "markers", False):
        from pytest_gaia.collection.needs import MARKER

        config.addinivalue_line("markers", MARKER)
    else:
        config.addinivalue_line("markers", "gaia(...): what a check needs")
    if uses:
        from pytest_gaia.plugin.launch import configure

        configure(config)


def _may_use_gaia(config: pytest.Config, option: Any) -> bool:
    return may_use_gaia(option, config.rootpath, marked=config.inipath is not None)


class Fixtures(ModuleType):
    """The fixtures of ``pytest_gaia.fixtures``, imported when pytest's session begins.

    A run that does not use Gaia imports none: it has fixtures of the same names that say so.
    """

    NAMES = (
        "asset",
        "auth",
        "chat",
        "gaia_argument",
        "gaia_clients",
        "gaia_database",
        "gaia_deployments",
        "gaia_env",
        "gaia_loop",
        "gaia_run",
        "gaia_secret",
        "gaia_tokens",
        "gateway",
        "nats",
        "postgres",
        "postgres_fresh",
    )

    def __init__(self, pluginmanager: pytest.PytestPluginManager) -> None:
        super().__init__("pytest_gaia.fixtures")
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
        if shown or _may_use_gaia(config, config.option):
            from pytest_gaia import fixtures

            return fixtures
        unused = ModuleType("pytest_gaia.fixtures")
        vars(unused).update(dict.fromkeys(self.NAMES, _unused))
        return unused


@pytest.fixture(scope="session")
def _unused(request: pytest.FixtureRequest) -> object:
    from pytest_gaia.fixtures import without_gaia

    return without_gaia(request)
