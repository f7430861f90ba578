"""Where a measured project is written, so that the disk is not what is measured."""

from __future__ import annotations

import tempfile
from pathlib import Path

# The place for files in memory on Linux, not a temporary file with a fixed name.
MEMORY = Path("/dev/shm")  # noqa: S108


def folder_in_memory() -> tempfile.TemporaryDirectory[str]:
    """Return a temporary folder, in memory where the system has such a place."""
    return tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None)
