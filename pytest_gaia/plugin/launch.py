"""From pytest's configuration to a run: read every option once, and decide whether this run uses Gaia at all."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from pytest_gaia.collection.suites import suite_names
from pytest_gaia.config.environment import Environment
from pytest_gaia.config.resolve import Options, resolve, split_services
from pytest_gaia.config.variables import Sourced
from pytest_gaia.errors import ConfigError, EnvironmentUnavailable, nearest
from pytest_gaia.plugin.ending import UNUSED
from pytest_gaia.plugin.options import (
    add_settings,
    environment_settings,
    is_requested,
    runs_no_tests,
    settings_source,
    value_of,
)
from pytest_gaia.run.session import Run
from pytest_gaia.run.workers import process_name
from pytest_gaia.stash import RUN, project_of


def configure(config: pytest.Config) -> None:
    """Resolve every option into one environment, and start what it needs in the background."""
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
    if distributes(config):
        # Workers look for their root folder anew, and could find another one: files have come since.
        config.option.rootdir = str(config.rootpath)
    if not runs_no_tests(config.option):
        run.start()


def distributes(config: pytest.Config) -> bool:
    """Whether this process gives its tests to workers."""
    option = config.option
    return not hasattr(config, "workerinput") and bool(
        getattr(option, "numprocesses", None) or getattr(option, "tx", None)
    )


def launch(config: pytest.Config) -> Run | None:
    """Return this process's side of the run, or None where nothing asks for Gaia.

    A project that names its suites' folders uses Gaia only in runs that touch them, or that give a ``--gaia-`` option.
    Raises :class:`~pytest_gaia.errors.ConfigError` for any mistake in options, variables and files, and
    :class:`~pytest_gaia.errors.EnvironmentUnavailable` for an environment that is not what it claims.
    """
    options = _options(config)
    project = options.project
    if not is_requested(config.option):
        configured = project.path is not None or _is_set() or any(environment_settings(config))
        if not (configured and _touches(config, project.suites)):
            return None
    add_settings(config)
    _refuse_lost_asserts()
    suites = suite_names(project.suites)
    for suite in suites:
        config.addinivalue_line("markers", f"{suite}: the checks of suites/{suite}")
    environment = resolve(options)
    if project.suites:
        _refuse_unknown_suites(environment, suites)
    return Run(options, environment, project.suites, process_name(config))


def _refuse_unknown_suites(environment: Environment, suites: Sequence[str]) -> None:
    """Refuse a project's own choice of suites that names one which is not there: it would silently not be run."""
    source = environment.sources.get("suites", "default")
    for suite in environment.suites or ():
        if source != "default" and suite not in suites:
            raise ConfigError(
                f"{source}: env.{environment.name}.suites: there is no suite {suite!r}: {nearest(suite, suites)}"
            )


def _refuse_lost_asserts() -> None:
    """Refuse ``python -O``: pytest brings back the asserts of test files, and no others."""
    if sys.flags.optimize:
        raise ConfigError(
            "python runs with -O (or PYTHONOPTIMIZE is set), which drops every assert outside of test files: "
            "checks would pass that check nothing. Run pytest without it."
        )


def selects_nothing(config: pytest.Config, roots: Sequence[Path]) -> bool:
    """Whether the user left the choice of checks to the environment: no expression, no folder inside of a suite."""
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
        sandbox_without=split_services(value_of(config, option, "gaia_sandbox_without")),
        sandbox_fixed=value_of(config, option, "gaia_sandbox_no_known_bugs"),
        simulate=value_of(config, option, "gaia_simulate"),
        project=project_of(config),
        environ=os.environ,
    )


def _is_set() -> bool:
    """Whether a variable names an environment or an address."""
    return any(name == "GAIA_ENV" or (name.startswith("GAIA_") and name.endswith("_URL")) for name in os.environ)


def _touches(config: pytest.Config, roots: Sequence[Path]) -> bool:
    """Whether the run's paths and the suites' folders meet. A project that names no folders may use Gaia anywhere."""
    if not roots:
        return True
    related = ((path, root) for path in paths_of(config) for root in roots)
    return any(path == root or path in root.parents or root in path.parents for path, root in related)


def paths_of(config: pytest.Config) -> list[Path]:
    """Return what is to be collected, without the names of single tests."""
    directory = config.invocation_params.dir
    return [Path(os.path.normpath(directory / argument.partition("::")[0])) for argument in config.args]
