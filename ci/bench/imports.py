"""Measure the cost of the plugin for a pytest run that does not use Gaia, with and without it in turn."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from ci.bench.processes import instructions_of, seconds_of

ROUNDS = 15
GAIA = str(Path(sys.executable).with_name("gaia"))


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


def command_seconds() -> dict[str, float]:
    """Return the CPU seconds of ``import typer``, ``gaia --version`` and ``gaia --help``: the best of several runs each."""
    lines = {
        "import typer": [sys.executable, "-c", "import typer"],
        "gaia --version": [GAIA, "--version"],
        "gaia --help": [GAIA, "--help"],
    }
    found: dict[str, list[float]] = {name: [] for name in lines}
    for _ in range(ROUNDS):
        for name, line in lines.items():
            child = subprocess.Popen(line, stdout=subprocess.DEVNULL)
            _, _, usage = os.wait4(child.pid, 0)
            found[name].append(usage.ru_utime + usage.ru_stime)
    return {name: min(seconds) for name, seconds in found.items()}


@contextlib.contextmanager
def _project() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        project = Path(folder)
        (project / "pytest.ini").write_text("[pytest]\nasyncio_default_fixture_loop_scope = session\n")
        (project / "test_trivial.py").write_text("def test_trivial(): pass\n")
        yield project
