"""Compiled modules, kept in the user's cache where Python was told not to keep them beside the sources.

Without them a supervisor compiles everything it imports anew, which takes longer than all the rest of its start.
"""

from __future__ import annotations

import sys

from pytest_gaia.sandbox.directories import cache_directory


def keep() -> None:
    """Let what is imported from here on be kept between runs."""
    if sys.dont_write_bytecode and (cache := cache_directory()) is not None:
        sys.pycache_prefix = str(cache / "bytecode")
        sys.dont_write_bytecode = False
