"""The client for forked processes."""

from __future__ import annotations

import json
import math
import os
import select
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from threading import Lock
from typing import IO, TYPE_CHECKING, Any

import pytest

from tests.forking.server import LONGEST_REQUEST, ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

READ_AT_THE_START = ("PYTHON", "LC_", "LANG", "MALLOC_", "COVERAGE_")
"""prefix of variables that Python reads only at its start"""
MAY_DIFFER = ("PYTHONPATH", "PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED")

MEASURED = "COVERAGE_PROCESS_START"
"""the variable that makes coverage.py measure a process from its start on; its value is the file of settings"""

# The test that forks first may have set others. Only processes that fork are measured, so the variable is no difference.
_AT_IMPORT = {name: value for name, value in os.environ.items() if name != MEASURED}

_measuring: dict[str, str] = {}
_servers: dict[str, ForkServer] = {}
_starting = Lock()


class Forked:
    """A forked process with the interface of ``subprocess.Popen``."""

    stdin = None
    stdout: IO[str] | None = None
    stderr: IO[str] | None = None

    def __init__(self, words: Sequence[str], connection: socket.socket) -> None:
        self.args = words
        self._connection = connection
        self._answers = connection.makefile("r", encoding="ascii")
        self._asking = Lock()
        self.pid = int(self._answers.readline())
        self.returncode: int | None = None

    def wait(self, timeout: float | None = None) -> int:
        """Return its exit code; negative if a signal ended it."""
        with self._asking:
            if self.returncode is None:
                limit = None if timeout == math.inf else timeout
                readable, _, _ = select.select([self._connection], [], [], limit)
                if not readable:
                    raise subprocess.TimeoutExpired(self.args, timeout or 0)
                self.returncode = int(self._answers.readline())
                self._answers.close()
                self._connection.close()
            return self.returncode

    def poll(self) -> int | None:
        """Return its exit code; None while it runs."""
        with suppress(subprocess.TimeoutExpired):
            return self.wait(0)
        return None

    def kill(self) -> None:
        """End it."""
        if self.returncode is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)


class ForkServer:
    """A process that has loaded the imports of one kind of process, and forks for each."""

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._control.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, LONGEST_REQUEST)
        # The output of a run is buffered, unless its variables disable that.
        inherited = {name: value for name, value in _AT_IMPORT.items() if name != "PYTHONUNBUFFERED"}
        self._at_start = _read_at_the_start(inherited)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.forking.server", kind, str(theirs.fileno())],
                cwd=ROOT,
                env=inherited | (_measuring if kind == "runs" else {}),
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
            )

    def can_run(self, variables: Mapping[str, str]) -> bool:
        """Whether a process with these variables can be forked."""
        return self._kind == "tools" or _read_at_the_start(variables) == self._at_start

    def run(
        self,
        words: Sequence[str],
        folder: Path,
        variables: Mapping[str, str],
        streams: Sequence[IO[Any] | int],
        *,
        session: bool,
    ) -> Forked:
        """Start a process with these standard streams, in its own session if ``session``."""
        request = {
            "words": [str(word) for word in words],
            "folder": str(folder),
            "variables": dict(variables),
            "session": session,
        }
        ours, theirs = socket.socketpair()
        with theirs:
            numbers = [each if isinstance(each, int) else each.fileno() for each in streams]
            socket.send_fds(self._control, [json.dumps(request).encode()], [theirs.fileno(), *numbers])
        return Forked(words, ours)

    def close(self) -> None:
        """End the process, but not the processes that it has forked."""
        self._control.close()
        self._process.wait()


def take_measuring_over() -> None:
    """Measure coverage only in processes that fork runs of pytest: others would print about it, or be slow."""
    if MEASURED in os.environ:
        _measuring[MEASURED] = os.environ.pop(MEASURED)


def fork_server(kind: str, variables: Mapping[str, str]) -> ForkServer | None:
    """Return the process that forks this kind of process; None if these variables need a real start."""
    if sys.platform != "linux":
        return None
    with _starting:
        if kind not in _servers:
            _servers[kind] = ForkServer(kind)
    return _servers[kind] if _servers[kind].can_run(variables) else None


@pytest.fixture(scope="session", autouse=True)
def end_of_forking() -> Iterator[None]:
    """End the forking processes."""
    yield
    while _servers:
        _servers.popitem()[1].close()


def _read_at_the_start(variables: Mapping[str, str]) -> dict[str, str]:
    return {
        name: value
        for name, value in variables.items()
        if name.startswith(READ_AT_THE_START) and name not in MAY_DIFFER
    }
