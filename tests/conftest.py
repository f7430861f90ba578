"""Fixtures that more than one folder of tests uses, and what the whole run says at its end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import settings

from tests import slow
from tests.browser.tools import pytest_terminal_summary
from tests.fake_tools import fake_tools
from tests.forking.client import end_of_forking, take_measuring_over
from tests.signals import heeded_signals

if TYPE_CHECKING:
    import pytest

__all__ = ["end_of_forking", "fake_tools", "heeded_signals", "pytest_terminal_summary"]

# Not timed: on a busy machine one slow example would fail a right answer. A test that asks for a number of examples gets it.
settings.register_profile("full", deadline=None)
settings.register_profile("quick", deadline=None, max_examples=20)


def pytest_configure(config: pytest.Config) -> None:
    """Take the profile of examples that the run asks for, and count what is left out."""
    settings.load_profile("quick" if config.getoption("markexpr") == "not slow" else "full")
    config.pluginmanager.register(slow)
    if config.getoption("numprocesses", None) is None or hasattr(config, "workerinput"):
        take_measuring_over()
