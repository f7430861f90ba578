"""Fixtures that more than one folder of tests uses."""

from __future__ import annotations

from tests.fake_tools import fake_tools

__all__ = ["fake_tools"]
