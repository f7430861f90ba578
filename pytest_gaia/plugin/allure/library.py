"""What the bridge uses of Allure's libraries: every import of ``allure_commons``, and every private member."""

from typing import Any

from allure_commons import hookimpl, plugin_manager
from allure_commons.logger import AllureFileLogger
from allure_commons.model2 import (
    Attachment,
    ExecutableItem,
    Globals,
    Label,
    Link,
    Parameter,
    StatusDetails,
    TestResult,
    TestResultContainer,
    TestStepResult,
)
from allure_commons.types import ParameterMode

__all__ = [
    "Attachment",
    "ExecutableItem",
    "Globals",
    "Label",
    "Link",
    "Parameter",
    "ParameterMode",
    "StatusDetails",
    "TestResult",
    "TestResultContainer",
    "TestStepResult",
    "hookimpl",
    "plugin_manager",
]


def file_logger() -> Any | None:
    """Return what writes Allure's files in this process: None where nothing does."""
    return next((each for each in plugin_manager.get_plugins() if isinstance(each, AllureFileLogger)), None)


def keep_items(listener: Any, items: object) -> None:
    """Let allure-pytest's ``listener`` keep what is open in ``items``. A version that keeps it otherwise is left."""
    reporter: Any = getattr(listener, "allure_logger", None)
    if hasattr(reporter, "_items"):
        reporter._items = items  # noqa: SLF001 - it has no other way in
