"""A folder in memory for measured projects, so that the disk does not count."""

from __future__ import annotations

import tempfile
from pathlib import Path

# The file system in memory of Linux, not a temporary file with a fixed name.
MEMORY = Path("/dev/shm")  # noqa: S108


def folder_in_memory() -> tempfile.TemporaryDirectory[str]:
    """Return a temporary folder, in memory if possible."""
    return tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None)
