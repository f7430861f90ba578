"""Text at the beginning or end of a project file in tests."""

from __future__ import annotations

ON_GAIA = '[gaia]\nplatform = "gaia"\n'
"""selects the built-in environments of the Gaia Platform; at the end of a file it does not move other lines"""
