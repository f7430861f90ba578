"""The state file: apps, machines, containers, injected faults, and every call.

Its path is ``$GAIA_FAKE_STATE``, otherwise ``state.json`` in the folder of the executable (so that a folder of links has
its own state), otherwise a file in the temporary folder. Readers and writers take a lock; the file is replaced, never
changed in place.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

VARIABLE = "GAIA_FAKE_STATE"
EMPTY: dict[str, Any] = {
    "calls": [],
    "faults": {},
    "apps": {},
    "source": "v1",
    "docker": {},
    "kubernetes": {},
}


def state_file() -> Path:
    """Return the path of the state file of this process."""
    named = os.environ.get(VARIABLE)
    if named:
        return Path(named)
    beside = Path(sys.argv[0]).absolute().with_name("state.json")
    if beside.exists():
        return beside
    # Import it only here, because most calls are faster than this import.
    import tempfile

    return Path(tempfile.gettempdir()) / f"gaia-fakes-{os.getuid()}" / "state.json"


class Store:
    """The state file, and its lock."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @contextmanager
    def change(self) -> Iterator[dict[str, Any]]:
        """Yield the state to change while holding the lock. An exception does not undo changes."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with _uninterrupted(), self.path.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            state = self._load()
            try:
                yield state
            finally:
                self._save(state)

    def read(self) -> dict[str, Any]:
        """Return a copy of the state."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with _uninterrupted(), self.path.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH)
            return self._load()

    def _load(self) -> dict[str, Any]:
        text = self.path.read_text(encoding="utf-8") if self.path.exists() else ""
        return {**json.loads(json.dumps(EMPTY)), **(json.loads(text) if text.strip() else {})}

    def _save(self, state: dict[str, Any]) -> None:
        # The lock is held, so no other process writes.
        new = self.path.with_suffix(".new")
        new.write_text(json.dumps(state), encoding="utf-8")
        new.replace(self.path)


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Delay signals while the lock is held, so that it cannot stay locked."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
