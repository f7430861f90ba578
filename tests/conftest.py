"""Fixtures for several folders of tests, and the summary at the end of the run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import settings

from tests import slow
from tests.fake_tools import fake_tools
from tests.forking.client import end_of_forking, take_measuring_over
from tests.left_out import pytest_terminal_summary
from tests.signals import unignored_signals

if TYPE_CHECKING:
    import pytest

__all__ = ["end_of_forking", "fake_tools", "pytest_terminal_summary", "unignored_signals"]

# No deadline: on a busy machine, one slow example would fail a correct result. Explicit numbers of examples are kept.
settings.register_profile("full", deadline=None)
settings.register_profile("quick", deadline=None, max_examples=20)


def pytest_configure(config: pytest.Config) -> None:
    """Load the profile of hypothesis, and count skipped tests."""
    settings.load_profile("quick" if config.getoption("markexpr") == "not slow" else "full")
    config.pluginmanager.register(slow)
    if config.getoption("numprocesses", None) is None or hasattr(config, "workerinput"):
        take_measuring_over()
