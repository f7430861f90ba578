"""Processes for tests: which run, what they hold, and a run that can be killed."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_gaia.sandbox._processes import RECORDS, started_at

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

HOLD = """
import sys
from pytest_gaia.run.sandbox import Sandbox
from pytest_gaia.sandbox import directories
from tests.projects import gaia_platform
if "TMPDIR" in sys.argv:
    directories.ENOUGH = 1 << 60
sandbox = Sandbox.start(gaia_platform())
if "ready" in sys.argv:
    sandbox.ready()
if "fork" in sys.argv:
    import os, time
    child = os.fork()
    if child == 0:
        # Keeps the other end of the supervisor's pipe open, like a process pool of a test.
        os.closerange(0, 3)
        time.sleep(120)
        os._exit(0)
    print(child)
print(sandbox.directory, flush=True)
sys.stdin.read()
"""
"""a run that starts a sandbox and waits"""


@contextmanager
def holder(*words: str, environ: Mapping[str, str] | None = None) -> Iterator[tuple[subprocess.Popen[str], list[str]]]:
    """Run ``HOLD`` in a process; yield the process and its output, whose last line is the sandbox's folder.

    Its words: wait until the sandbox is ``ready``; ``fork`` a child; live in ``TMPDIR`` instead of in memory.
    """
    command = (sys.executable, "-c", HOLD, *words)
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=dict(environ or os.environ)
    )
    assert process.stdout is not None
    try:
        yield process, [process.stdout.readline().strip() for _ in range(2 if "fork" in words else 1)]
    finally:
        process.kill()
        process.communicate()


def eventually(condition: Callable[[], object], within: float = 30.0) -> bool:
    """Whether ``condition`` becomes true in time."""
    deadline = time.monotonic() + within
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True


def children(directory: Path) -> dict[str, int]:
    """Return the running recorded processes of a sandbox: name → id."""
    records = {record.name: record.read_text().split() for record in (directory / RECORDS).iterdir()}
    return {name: int(pid) for name, (pid, started) in records.items() if started_at(int(pid)) == started}


def mentioning(directory: Path) -> list[int]:
    """Return the processes with the directory in their command lines: the supervisor, the servers and their helpers."""
    listing = subprocess.run(
        ("ps", "-eww", "-o", "pid=,stat=,args="), capture_output=True, text=True, check=True
    ).stdout
    rows = (line.split(maxsplit=2) for line in listing.splitlines())
    return [int(pid) for pid, state, arguments in rows if not state.startswith("Z") and directory.name in arguments]


def descendants(pid: int) -> set[int]:
    """Return the ids of all descendants of a process."""
    listing = subprocess.run(("ps", "-eo", "pid=,ppid="), capture_output=True, text=True, check=True).stdout
    parents = {int(child): int(parent) for child, parent in (line.split() for line in listing.splitlines())}
    found = {pid}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return found - {pid}


def shared_memory_of(pids: set[int]) -> set[str]:
    """Return the System V segments of the processes."""
    try:
        lines = Path("/proc/sysvipc/shm").read_text().splitlines()[1:]
    except FileNotFoundError:
        return set()
    return {fields[1] for fields in map(str.split, lines) if int(fields[4]) in pids}
