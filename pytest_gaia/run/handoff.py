"""What the controller has observed, for the workers to judge by.

All processes of a run must judge by one observation, and workers start before it is made. So the controller names a
file when it starts them, and writes it before it sends them the first test.

The file lies in a folder like a sandbox's: held while the controller lives, and cleared away by the next run where that
was killed.
"""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_gaia.policy.subjects import Observed

if TYPE_CHECKING:
    from pathlib import Path

_FILE = "capabilities.json"


@dataclass(slots=True)
class Handoff:
    """One end of the handing over: the controller's, or a worker's."""

    _directory: Path | None = None
    _hold: int | None = None
    """the lock of a folder of our own"""
    _observed: Observed | None = None

    def open(self) -> Path:
        """On the controller: return the folder in which workers will find the observation.

        Made at the first call; then it also clears away what killed runs have left. Raises ``OSError`` where no folder
        can be made.
        """
        if self._directory is None:
            from pytest_gaia.sandbox.directories import create_run
            from pytest_gaia.sandbox.leftovers import reclaim

            # A run against a deployed environment has no sandbox that would do it.
            reclaim()
            self._directory, self._hold = create_run()
        return self._directory

    def attach(self, directory: Path) -> None:
        """On a worker: look for the observation in ``directory``."""
        self._directory = directory

    def write(self, observed: Observed) -> None:
        """On the controller: hand over which capabilities were observed."""
        self._observed = observed
        if self._directory is not None:
            draft = self._directory / f"{_FILE}.draft"
            draft.write_text(json.dumps([sorted(each) for each in observed]), encoding="utf-8")
            draft.replace(self._directory / _FILE)

    def read(self) -> Observed:
        """Return the observed capabilities; none where nothing was observed, because what was not seen is not there."""
        if self._observed is None:
            path = self._directory / _FILE if self._directory else None
            known = json.loads(path.read_text(encoding="utf-8")) if path and path.is_file() else []
            self._observed = Observed(*map(frozenset, known))
        return self._observed

    def close(self) -> None:
        """On the controller: remove the folder."""
        if self._hold is not None and self._directory is not None:
            shutil.rmtree(self._directory, ignore_errors=True)
            os.close(self._hold)
            self._hold = None
