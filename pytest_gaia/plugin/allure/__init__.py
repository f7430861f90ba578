"""The bridge to Allure. It is imported and registered only with ``--alluredir``."""

from collections.abc import Callable

import pytest

from pytest_gaia.plugin.allure.files import Masks, RedactedFiles
from pytest_gaia.plugin.allure.library import file_logger, keep_steps_in_context, plugin_manager
from pytest_gaia.plugin.allure.rewriter import ResultRewriter
from pytest_gaia.plugin.checks.result import Evaluator, Result
from pytest_gaia.plugin.options import runs_no_tests
from pytest_gaia.run.session import Run


def bridge(config: pytest.Config, run: Run, evaluating: Evaluator, result: Result | None) -> None:
    """Register the bridge between pytest and Allure; ``result`` is None in an xdist worker."""
    logger = file_logger()
    if logger is None or runs_no_tests(config.option):
        return
    rewriter = ResultRewriter(config, run, evaluating)
    files = RedactedFiles(logger, Masks(run))
    plugin_manager.unregister(logger)
    for each in (rewriter, files):
        plugin_manager.register(each)
    config.add_cleanup(_undo(logger, rewriter, files))
    if config.pluginmanager.register(rewriter, "gaia-allure") is None:
        return
    early = keep_steps_in_context(config.pluginmanager.get_plugin("allure_listener"))
    if early is not None:
        config.pluginmanager.register(early, "gaia-allure-early")
    if result is not None:
        from pytest_gaia.plugin.allure.ending import EndingHooks

        config.pluginmanager.register(EndingHooks(config, run, result), "gaia-allure-ending")


def _undo(logger: object, *ours: object) -> Callable[[], None]:
    """Return a function that restores Allure's logger, for its own cleanup and for later runs in this process."""

    def undo() -> None:
        for each in ours:
            plugin_manager.unregister(each)
        plugin_manager.register(logger)

    return undo
