"""What the plugin costs a pytest run that does not use Gaia: the same trivial run with it and without it, in turn."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

from ci.bench.processes import instructions_of, seconds_of

ROUNDS = 15


def added_milliseconds() -> float:
    """Return by how much the quickest run with the plugin is slower than the quickest without, in ms."""
    with _project() as project:
        pairs = [(seconds_of(project), seconds_of(project, "-p", "no:gaia")) for _ in range(ROUNDS)]
    with_plugin, without = zip(*pairs, strict=True)
    return 1000 * (min(with_plugin) - min(without))


def added_percent() -> float:
    """Return by how much a run with the plugin takes more instructions than one without. Needs ``valgrind``."""
    with _project() as project:
        # The first run compiles.
        seconds_of(project)
        return 100 * (instructions_of(project) / instructions_of(project, "-p", "no:gaia") - 1)


@contextlib.contextmanager
def _project() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        project = Path(folder)
        (project / "pytest.ini").write_text("[pytest]\nasyncio_default_fixture_loop_scope = session\n")
        (project / "test_trivial.py").write_text("def test_trivial(): pass\n")
        yield project
