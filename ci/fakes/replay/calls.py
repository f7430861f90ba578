"""Record calls in the state file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .state import Store

SHOWN = ("FLY_", "COMPOSE_", "DOCKER_C", "DOCKER_HOST", "KUBE", "NO_COLOR")


def note(store: Store, tool: str, words: Sequence[str], code: int) -> None:
    """Add one call, with the variables that control the tool, but without values of tokens."""
    known = {key: value for key, value in os.environ.items() if key.startswith(SHOWN)}
    hidden = {key: "set" if "TOKEN" in key else value for key, value in known.items()}
    entry = {"tool": tool, "argv": list(words), "exit": code, "env": hidden, "cwd": str(Path.cwd())}
    with store.change() as state:
        state["calls"].append(entry)
