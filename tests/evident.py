"""A ``conftest.py`` for projects in tests that are about something else: each of their tests has evidence.

A hook around tests would make them run alone.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pytest


def give_evidence(folder: Path, more: str = "") -> None:
    """Copy this file into a folder of tests, followed by ``more`` code."""
    (folder / "conftest.py").write_text(f"{Path(__file__).read_text()}\n{more}")


def pytest_collection_modifyitems(session: pytest.Session) -> None:
    """Count one completed statement in each test that begins."""
    # pytest would warn about an import before its own.
    from pytest_gaia.stash import RUN

    run = session.config.stash.get(RUN, None)
    if run is None:
        return
    recorder: Any = run.recorder
    begin = recorder.begin

    def begin_with_evidence(test: Any) -> None:
        begin(test)
        test.completed[1] += 1

    recorder.begin = begin_with_evidence
