"""Words that every layer shows alike, and notices for old names of options, keys and commands."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def counted(count: int, thing: str) -> str:
    """Return ``count`` of ``thing``, whose plural takes an s, such as ``1 day`` and ``3 days``."""
    return f"{count} {thing}" if count == 1 else f"{count} {thing}s"


def listed(names: Sequence[str], shown: int = 5) -> str:
    """Return ``names`` as a list in a sentence; of many, the first and how many more there are."""
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(names[:shown]) + more


def environment_label(name: str, *, simulated: bool) -> str:
    """Return the name of an environment for people, which marks a simulation."""
    return f"{name} (SIMULATED on the sandbox)" if simulated else name


_REMOVED_IN = "0.4"
"""release after which old names no longer work"""

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
