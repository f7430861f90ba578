"""What the plugin costs a pytest run that does not use Gaia: the same trivial run with it and without it, in turn."""

from __future__ import annotations

import tempfile
from pathlib import Path

from ci.bench.processes import seconds_of

ROUNDS = 15


def added_milliseconds() -> float:
    """Return by how much the quickest run with the plugin is slower than the quickest without, in ms."""
    with tempfile.TemporaryDirectory() as folder:
        project = Path(folder)
        (project / "pytest.ini").write_text("[pytest]\nasyncio_default_fixture_loop_scope = session\n")
        (project / "test_trivial.py").write_text("def test_trivial(): pass\n")
        pairs = [(seconds_of(project), seconds_of(project, "-p", "no:gaia")) for _ in range(ROUNDS)]
    with_plugin, without = zip(*pairs, strict=True)
    return 1000 * (min(with_plugin) - min(without))
