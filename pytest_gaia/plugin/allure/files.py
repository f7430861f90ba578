"""Mask all text that Allure writes. Values are changed in place, as Allure expects."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

from pytest_gaia.files.writing import private_files
from pytest_gaia.plugin.allure.library import (
    ExecutableItem,
    Globals,
    StatusDetails,
    TestResult,
    TestResultContainer,
    hookimpl,
)
from pytest_gaia.run.session import Run

Redact: TypeAlias = Callable[[str], str]


class RedactedFiles:
    """Masks text, then passes it on to Allure's logger, which writes the files."""

    def __init__(self, logger: Any, redact: Callable[[str], str]) -> None:
        self._logger = logger
        self._redact = redact

    @hookimpl
    def report_result(self, result: TestResult) -> None:
        """Write a result, which is masked already."""
        with private_files():
            self._logger.report_result(result=result)

    @hookimpl
    def report_container(self, container: TestResultContainer) -> None:
        """Write a container with the results of fixtures."""
        mask_container(container, self._redact)
        with private_files():
            self._logger.report_container(container=container)

    @hookimpl
    def report_attached_data(self, body: str | bytes, file_name: str) -> None:
        """Write an attachment, masked if it is text."""
        with private_files():
            self._logger.report_attached_data(body=self._masked(body), file_name=file_name)

    @hookimpl
    def report_attached_file(self, source: str, file_name: str) -> None:
        """Write a file that a test attached, masked if it is text."""
        content = Path(source).read_bytes()
        masked = self._masked(content)
        if masked == content:
            with private_files():
                self._logger.report_attached_file(source=source, file_name=file_name)
        else:
            with private_files():
                self._logger.report_attached_data(body=masked, file_name=file_name)

    @hookimpl
    def report_globals(self, globals_item: Globals) -> None:
        """Write errors and attachments that belong to no test."""
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


_SHORT = 200
"""maximum length of texts that are cached: labels, folders, names of fixtures"""
_MANY = 4096


class Masks:
    """Masks text for one run. Short texts are cached, because all tests of a file share their labels."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._known: dict[str, str] = {}
        self._learnt = 0

    def __call__(self, text: str) -> str:
        """Return ``text`` with secrets masked and every character visible."""
        if len(text) > _SHORT:
            return self._run.shown(text)
        if self._learnt != (learnt := len(self._run.redactor.values)) or len(self._known) > _MANY:
            self._known.clear()
            self._learnt = learnt
        if text not in self._known:
            self._known[text] = self._run.shown(text)
        return self._known[text]


def mask_result(result: TestResult, redact: Redact) -> None:
    """Mask a result, its steps, names, labels and links."""
    mask_item(result, redact)
    result.fullName = _text(result.fullName, redact)
    result.titlePath = [redact(each) for each in result.titlePath]
    for label in result.labels:
        label.value = _text(label.value, redact)
    for link in result.links:
        link.url, link.name = _text(link.url, redact), _text(link.name, redact)


def mask_item(item: ExecutableItem, redact: Redact) -> None:
    """Mask a result, a step or a fixture, and the steps in it."""
    item.name = _text(item.name, redact)
    if item.description:
        item.description = redact(item.description)
    if item.descriptionHtml:
        item.descriptionHtml = redact(item.descriptionHtml)
    if item.statusDetails is not None:
        mask_details(item.statusDetails, redact)
    for parameter in item.parameters:
        parameter.value = _text(parameter.value, redact)
    for attachment in item.attachments:
        attachment.name = _text(attachment.name, redact)
    for step in item.steps:
        mask_item(step, redact)


def mask_details(details: StatusDetails, redact: Redact) -> None:
    """Mask message and trace."""
    details.message, details.trace = _text(details.message, redact), _text(details.trace, redact)


def mask_container(container: TestResultContainer, redact: Redact) -> None:
    """Mask the results of fixtures."""
    for fixture in (*container.befores, *container.afters):
        mask_item(fixture, redact)


def mask_globals(item: Globals, redact: Redact) -> None:
    """Mask errors and attachments that belong to no test."""
    for error in item.errors:
        mask_details(error, redact)
    for attachment in item.attachments:
        attachment.name = _text(attachment.name, redact)


def _text(value: object, redact: Redact) -> object:
    # A label can be any value; numbers and booleans contain no secrets.
    return redact(value) if isinstance(value, str) and value else value
