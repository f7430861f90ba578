"""All imports of ``allure_commons``, and all uses of its private members."""

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
    """Return Allure's logger, which writes its files in this process; None without one."""
    return next((each for each in plugin_manager.get_plugins() if isinstance(each, AllureFileLogger)), None)


def keep_items(listener: Any, items: object) -> None:
    """Make allure-pytest's ``listener`` keep open items in ``items``. Other versions of it are not changed."""
    reporter: Any = getattr(listener, "allure_logger", None)
    if hasattr(reporter, "_items"):
        reporter._items = items  # noqa: SLF001 - it has no other way in
