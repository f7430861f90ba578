"""One JSON file is the whole cloud: apps, machines, containers, faults to show, and every call that was made.

Its place is ``$GAIA_FAKE_STATE``, else ``state.json`` beside the executable as it was called (so that a folder of
links to the fakes has a state of its own, whatever happens to the environment), else a file in the temporary folder.
Readers and writers take one lock; the file is replaced, never written in place.
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
EMPTY: dict[str, Any] = {"calls": [], "faults": {}, "apps": {}, "clusters": [], "source": "v1", "docker": {}}


def state_file() -> Path:
    """Return where the state of this process is."""
    named = os.environ.get(VARIABLE)
    if named:
        return Path(named)
    beside = Path(sys.argv[0]).absolute().with_name("state.json")
    if beside.exists():
        return beside
    # Only this case needs it, and most calls are over sooner than it is loaded.
    import tempfile

    return Path(tempfile.gettempdir()) / f"gaia-fakes-{os.getuid()}" / "state.json"


class Store:
    """The state file, and a lock around each change of it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @contextmanager
    def change(self) -> Iterator[dict[str, Any]]:
        """Give the state to change; nobody else reads or writes meanwhile. An exception keeps what was changed."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with _uninterrupted(), self.path.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            state = self._load()
            try:
                yield state
            finally:
                self._save(state)

    def read(self) -> dict[str, Any]:
        """Return a copy of the state as it is."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with _uninterrupted(), self.path.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH)
            return self._load()

    def _load(self) -> dict[str, Any]:
        text = self.path.read_text(encoding="utf-8") if self.path.exists() else ""
        return {**json.loads(json.dumps(EMPTY)), **(json.loads(text) if text.strip() else {})}

    def _save(self, state: dict[str, Any]) -> None:
        # Nobody else writes it: the lock is held.
        new = self.path.with_suffix(".new")
        new.write_text(json.dumps(state), encoding="utf-8")
        new.replace(self.path)


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Let signals wait: one that came just as the lock was taken would leave it locked, and the tool waiting for itself."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
