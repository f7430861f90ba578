"""From pytest's configuration to a run: read the options, and decide whether the run uses Gaia."""

import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from secrets import randbelow
from types import ModuleType

import pytest

from pytest_gaia.collection.needs import marker_text
from pytest_gaia.collection.suites import suite_names
from pytest_gaia.config.environment import Environment
from pytest_gaia.config.platform import SANDBOX_APIS, Platform
from pytest_gaia.config.resolve import Options, resolve, split_services
from pytest_gaia.config.variables import Sourced
from pytest_gaia.errors import ConfigError, EnvironmentUnavailable, nearest
from pytest_gaia.plugin.ending import UNUSED
from pytest_gaia.plugin.options import (
    RANDOM,
    add_settings,
    environment_settings,
    is_requested,
    runs_no_tests,
    settings_source,
    value_of,
)
from pytest_gaia.run.session import Run
from pytest_gaia.run.workers import process_name, take_credentials
from pytest_gaia.stash import RUN, project_of


def configure(config: pytest.Config) -> None:
    """Resolve the options into one environment, and start it in the background."""
    take_credentials(config)
    try:
        run = launch(config)
        if run is not None:
            from pytest_gaia.plugin.registration import register

            register(config, run)
    except ConfigError as error:
        raise pytest.UsageError(str(error)) from None
    except EnvironmentUnavailable as error:
        pytest.exit(str(error), returncode=error.exit_code)
    if run is None:
        config.stash[UNUSED] = True
        return
    config.stash[RUN] = run
    run.withhold()
    if distributes(config):
        # Workers determine their root folder again, and new files could change it.
        config.option.rootdir = str(config.rootpath)
    if not runs_no_tests(config.option):
        run.start()


def distributes(config: pytest.Config) -> bool:
    """Whether this process distributes its tests to workers."""
    option = config.option
    return not hasattr(config, "workerinput") and bool(
        getattr(option, "numprocesses", None) or getattr(option, "tx", None)
    )


def launch(config: pytest.Config) -> Run | None:
    """Return the run of this process, or None if it does not use Gaia.

    A project that names its suites' folders uses Gaia only in runs that touch them, or that give a ``--gaia-`` option.
    Raises :class:`~pytest_gaia.errors.ConfigError` for invalid options, variables and files, and
    :class:`~pytest_gaia.errors.EnvironmentUnavailable` for an address that belongs to another environment.
    """
    options = _options(config)
    project = options.project
    config.addinivalue_line("markers", marker_text(project.platform))
    if not is_requested(config.option):
        configured = project.path is not None or _is_set(project.platform) or any(environment_settings(config))
        if not (configured and _touches(config, project.suites)):
            return None
    add_settings(config)
    seed = _shuffle_seed(config.option.gaia_shuffle)
    _refuse_lost_asserts()
    if config.option.gaia_require_full and runs_no_tests(config.option):
        raise ConfigError(
            "--gaia-require-full: another option, such as --collect-only or --setup-plan, makes pytest run no test, so this run "
            "would end with exit code 0 without a verdict. Remove that option; it can also be in addopts or PYTEST_ADDOPTS."
        )
    suites = suite_names(project.suites)
    for suite in suites:
        config.addinivalue_line("markers", f"{suite}: the tests of suites/{suite}")
    environment = resolve(options)
    if project.suites:
        _refuse_unknown_suites(environment, suites)
    return Run(options, environment, project.suites, process_name(config), shuffle_seed=seed)


def _shuffle_seed(given: str | None) -> int | None:
    """Return the seed of ``--gaia-shuffle``, a new one for ``random``. Raises ``ConfigError`` for a word."""
    if not given:
        return None
    if given == RANDOM:
        # Not the module random, which code of the project may have given a seed.
        return randbelow(1_000_000)
    if not re.fullmatch("[0-9]{1,15}", given):
        raise ConfigError(
            f"--gaia-shuffle: expected a whole number, got {given!r}. Write it as --gaia-shuffle=SEED; without a seed, give the "
            "option after the paths."
        )
    return int(given)


def _refuse_unknown_suites(environment: Environment, suites: Sequence[str]) -> None:
    """Refuse an unknown suite in the settings of an environment, because it would silently not run."""
    source = environment.sources.get("suites", "default")
    for suite in environment.suites or ():
        if source != "default" and suite not in suites:
            raise ConfigError(
                f"{source}: env.{environment.name}.suites: unknown suite {suite!r}; {nearest(suite, suites)}"
            )


def _refuse_lost_asserts() -> None:
    """Refuse ``python -O``, because pytest restores only the asserts of test files."""
    if sys.flags.optimize:
        raise ConfigError(
            "python runs with -O (or PYTHONOPTIMIZE is set), which removes every assert outside of test files, so that "
            "tests would pass without checking anything. Run pytest without it."
        )


def selects_nothing(config: pytest.Config, roots: Sequence[Path]) -> bool:
    """Whether the environment selects the tests: no expression, and no path below a suite's folder is given."""
    option = config.option
    if option.markexpr or option.keyword or option.gaia_command:
        return False
    return all(any(path == root or path in root.parents for root in roots) for path in paths_of(config))


def _options(config: pytest.Config) -> Options:
    option = config.option
    environment, urls = environment_settings(config)
    return Options(
        env=option.gaia_env,
        urls=tuple(option.gaia_url),
        env_setting=Sourced(environment, settings_source(config, "gaia_env")) if environment else None,
        url_settings=tuple(Sourced(url, settings_source(config, "gaia_url")) for url in urls),
        sandbox_without=split_services(value_of(config, option, "gaia_sandbox_without"), project_of(config).platform),
        sandbox_fixed=value_of(config, option, "gaia_sandbox_no_known_bugs"),
        sandbox_api=value_of(config, option, "gaia_sandbox_api") or SANDBOX_APIS[0],
        sandbox_faults=option.gaia_sandbox_faults,
        simulate=value_of(config, option, "gaia_simulate"),
        concurrency=_concurrency(config),
        project=project_of(config),
        # A copy, because credentials are removed from it, and tests can change it.
        environ=dict(os.environ),
    )


def _concurrency(config: pytest.Config) -> Sourced | None:
    given = config.option.gaia_concurrency
    if given is not None:
        return Sourced(given, "--gaia-concurrency")
    setting = config.getini("gaia_concurrency")
    return Sourced(setting, settings_source(config, "gaia_concurrency")) if setting else None


def _is_set(platform: Platform) -> bool:
    """Whether a variable names an environment, or the address of a service of ``platform``."""
    ends = tuple(f"_{service.variable}_URL" for service in platform.services.values())
    return any(name == "GAIA_ENV" or (name.startswith("GAIA_") and name.endswith(ends)) for name in os.environ)


def _touches(config: pytest.Config, roots: Sequence[Path]) -> bool:
    """Whether the run's paths overlap the suites' folders. A project without suites uses Gaia everywhere."""
    if not roots:
        return True
    related = ((path, root) for path in paths_of(config) for root in roots)
    return any(path == root or path in root.parents or root in path.parents for path, root in related)


def paths_of(config: pytest.Config) -> list[Path]:
    """Return the paths to collect, without the names of single tests."""
    directory = config.invocation_params.dir
    return [Path(os.path.normpath(directory / argument.partition("::")[0])) for argument in config.args]


def plugins_of(manager: pytest.PytestPluginManager) -> tuple[str, ...]:
    """Return the loaded plugins: distributions with versions, and modules of no distribution."""
    distributions = manager.list_plugin_distributions()
    known = {_package(plugin) for plugin, _ in distributions} | {"_pytest", "pytest_gaia"}
    modules = {
        name
        for name, plugin in manager.list_name_plugin()
        if isinstance(plugin, ModuleType) and _package(plugin) not in known and not name.endswith("conftest.py")
    }
    return (*sorted({f"{each.name} {each.version}" for _, each in distributions}), *sorted(modules))


def _package(plugin: object) -> str:
    return getattr(plugin, "__name__", "").partition(".")[0]
