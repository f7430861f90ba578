"""Measure the cost of the plugin for a pytest run that does not use Gaia, with and without it in turn."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

from ci.bench.processes import instructions_of, seconds_of

ROUNDS = 15


def added_milliseconds() -> float:
    """Return by how many ms the fastest run with the plugin is slower than the fastest run without it."""
    with _project() as project:
        pairs = [(seconds_of(project), seconds_of(project, "-p", "no:gaia")) for _ in range(ROUNDS)]
    with_plugin, without = zip(*pairs, strict=True)
    return 1000 * (min(with_plugin) - min(without))


def added_percent() -> float:
    """Return how many more instructions a run with the plugin takes. Needs ``valgrind``."""
    with _project() as project:
        # The first run compiles the modules.
        seconds_of(project)
        return 100 * (instructions_of(project) / instructions_of(project, "-p", "no:gaia") - 1)


@contextlib.contextmanager
def _project() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        project = Path(folder)
        (project / "pytest.ini").write_text("[pytest]\nasyncio_default_fixture_loop_scope = session\n")
        (project / "test_trivial.py").write_text("def test_trivial(): pass\n")
        yield project
