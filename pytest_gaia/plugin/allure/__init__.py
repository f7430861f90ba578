"""The bridge to Allure. Registered only where ``--alluredir`` is given; without it, nothing here is imported."""

from collections.abc import Callable

import pytest

from pytest_gaia.plugin.allure.files import Masks, RedactedFiles
from pytest_gaia.plugin.allure.library import file_logger, plugin_manager
from pytest_gaia.plugin.allure.seam import Seam
from pytest_gaia.plugin.allure.steps import keep_steps_in_context
from pytest_gaia.plugin.checks.result import Evaluator, Result
from pytest_gaia.plugin.options import only_looks
from pytest_gaia.run.session import Run


def bridge(config: pytest.Config, run: Run, evaluating: Evaluator, result: Result | None) -> None:
    """Stand between pytest, Allure's listener and its files; ``result`` is that of the process which talks to the user."""
    logger = file_logger()
    if logger is None or only_looks(config.option):
        return
    seam = Seam(config, run, evaluating)
    files = RedactedFiles(logger, Masks(run))
    plugin_manager.unregister(logger)
    for each in (seam, files):
        plugin_manager.register(each)
    config.add_cleanup(_undo(logger, seam, files))
    if config.pluginmanager.register(seam, "gaia-allure") is None:
        return
    keep_steps_in_context(config.pluginmanager.get_plugin("allure_listener"))
    if result is not None:
        from pytest_gaia.plugin.allure.ending import EndingHooks

        config.pluginmanager.register(EndingHooks(config, run, result), "gaia-allure-ending")


def _undo(logger: object, *ours: object) -> Callable[[], None]:
    """Allure's own clean-up, which comes later, looks for its logger; other runs of this process must not meet ours."""

    def undo() -> None:
        for each in ours:
            plugin_manager.unregister(each)
        plugin_manager.register(logger)

    return undo
