"""Notices for old names of options, keys and commands, which keep working for two releases."""

from __future__ import annotations

import os
import sys

_REMOVED_IN = "0.4"

_printed: set[tuple[str, str]] = set()


def note_renamed(old: str, new: str, where: str = "") -> None:
    """Print one line on stderr: ``old`` is now called ``new``.

    Prints each pair of names once per process, and nothing in a worker of pytest-xdist, whose controller prints it.
    ``where`` is the file and line of the old name, such as ``gaia.toml:12``.
    """
    # A run that a test starts inherits both variables; a worker has only the first one when it reads its settings.
    is_worker = "PYTEST_XDIST_WORKER" in os.environ and "PYTEST_CURRENT_TEST" not in os.environ
    if (old, new) in _printed or is_worker:
        return
    _printed.add((old, new))
    place = f"{where}: " if where else ""
    sys.stderr.write(f"gaia: note: {place}{old} is now {new}; the old name will be removed in {_REMOVED_IN}.\n")
