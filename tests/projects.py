"""What a project file of a test begins or ends with."""

from __future__ import annotations

ON_GAIA = '[gaia]\nplatform = "gaia"\n'
"""makes the built-in environments those of the Gaia Platform; at the end of a file it moves no line of the others"""
