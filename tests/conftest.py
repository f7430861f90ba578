"""Fixtures that more than one folder of tests uses, and what the whole run says at its end."""

from __future__ import annotations

from tests.browser.tools import pytest_terminal_summary
from tests.fake_tools import fake_tools
from tests.forked import end_of_forks
from tests.signals import heeded_signals

__all__ = ["end_of_forks", "fake_tools", "heeded_signals", "pytest_terminal_summary"]
