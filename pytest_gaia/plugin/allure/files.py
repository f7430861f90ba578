"""What Allure writes passes here, and nothing that is text leaves unmasked."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import allure_commons
from allure_commons.logger import AllureFileLogger

from pytest_gaia.outputs import private_files
from pytest_gaia.plugin.allure.masking import mask_container, mask_globals

if TYPE_CHECKING:
    from collections.abc import Callable

    from allure_commons.model2 import Globals, TestResult, TestResultContainer


def file_logger() -> Any | None:
    """Return what writes Allure's files in this process: None where nothing does."""
    plugins = allure_commons.plugin_manager.get_plugins()
    return next((each for each in plugins if isinstance(each, AllureFileLogger)), None)


class RedactedFiles:
    """Stands in for Allure's logger, which then writes what is left."""

    def __init__(self, logger: Any, redact: Callable[[str], str]) -> None:
        self._logger = logger
        self._redact = redact

    @allure_commons.hookimpl
    def report_result(self, result: TestResult) -> None:
        """A result: the seam has been through it."""
        with private_files():
            self._logger.report_result(result=result)

    @allure_commons.hookimpl
    def report_container(self, container: TestResultContainer) -> None:
        """What fixtures did."""
        mask_container(container, self._redact)
        with private_files():
            self._logger.report_container(container=container)

    @allure_commons.hookimpl
    def report_attached_data(self, body: str | bytes, file_name: str) -> None:
        """An attachment: text, or bytes that are text."""
        with private_files():
            self._logger.report_attached_data(body=self._masked(body), file_name=file_name)

    @allure_commons.hookimpl
    def report_attached_file(self, source: str, file_name: str) -> None:
        """A file that a test attaches; one that is no text is copied as it is."""
        content = Path(source).read_bytes()
        masked = self._masked(content)
        if masked == content:
            with private_files():
                self._logger.report_attached_file(source=source, file_name=file_name)
        else:
            with private_files():
                self._logger.report_attached_data(body=masked, file_name=file_name)

    @allure_commons.hookimpl
    def report_globals(self, globals_item: Globals) -> None:
        """What belongs to no test."""
        mask_globals(globals_item, self._redact)
        with private_files():
            self._logger.report_globals(globals_item=globals_item)

    def _masked(self, body: str | bytes) -> str | bytes:
        if isinstance(body, str):
            return self._redact(body)
        try:
            return self._redact(body.decode()).encode()
        except UnicodeDecodeError:
            return body
