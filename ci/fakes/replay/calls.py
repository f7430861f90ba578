"""What was called, in the state file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .state import Store

SHOWN = ("FLY_", "COMPOSE_", "DOCKER_", "NO_COLOR")


def note(store: Store, tool: str, words: Sequence[str], code: int) -> None:
    """Add one call. Of its variables only those that steer the tool are kept, and no token's value."""
    known = {key: value for key, value in os.environ.items() if key.startswith(SHOWN)}
    hidden = {key: "set" if "TOKEN" in key else value for key, value in known.items()}
    entry = {"tool": tool, "argv": list(words), "exit": code, "env": hidden, "cwd": str(Path.cwd())}
    with store.change() as state:
        state["calls"].append(entry)
