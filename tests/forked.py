"""Runs of pytest as processes that do not import everything anew: one process of each worker has, and forks.

A run is what it is by itself: a process with its own working folder, variables, standard streams, signals and end.
It has only loaded pytest, its plugins and pytest-gaia before it begins, which is two thirds of what most runs cost.
A run that needs an interpreter of its own (it looks at what is imported, or gives variables that Python reads when
it starts) begins as usual; so does every run where forking is not safe, which is everywhere but on Linux.
"""

from __future__ import annotations

import gc
import io
import json
import os
import runpy
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

ROOT = Path(__file__).parents[1]

READ_AT_THE_START = ("PYTHON", "LC_", "LANG", "MALLOC_", "COVERAGE_")
"""what the variables begin with that Python reads only when it starts"""
MAY_DIFFER = ("PYTHONPATH", "PYTHONDONTWRITEBYTECODE")
_LONGEST_REQUEST = 1024 * 1024
_PATIENCE = 300.0

SUITE = """
import logging
import pytest
import pytest_gaia

def test_passes(): pass
async def test_waits(): logging.getLogger("one").warning("here")
def test_fails(): assert {"one": 1} == {"one": 2}
def test_raises(): raise ValueError("here")
@pytest.mark.xfail(strict=True)
def test_is_marked(): assert False
@pytest.mark.gaia(requires=["postgres"])
def test_does_not_apply(): pass
"""
"""a run of it makes pytest and pytest-gaia load most of what runs need"""

PROJECT = """
[gaia]
suites = ["suites"]
[env.small]
[env.small.tolerance]
longest_rule_days = 100000
"""
RULE = """
why = "a reason"
issue = "GAIA-1"
owner = "@team"
added = 2026-11-01
expires = 2099-01-01
environments = ["small"]
tests = ["suites/small/test_small.py::test_raises"]
match = { kind = "error", message = "here" }
"""


class Forked:
    """A run that goes on, as ``subprocess.Popen`` shows one."""

    stdin = None

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._answers = connection.makefile("r", encoding="ascii")
        self.pid = int(self._answers.readline())
        self.returncode: int | None = None

    def wait(self, timeout: float | None = None) -> int:
        """Return its exit code; negative where a signal ended it."""
        if self.returncode is None:
            readable, _, _ = select.select([self._connection], [], [], timeout)
            if not readable:
                raise subprocess.TimeoutExpired(["pytest"], timeout or 0)
            self.returncode = int(self._answers.readline())
            self._answers.close()
            self._connection.close()
        return self.returncode

    def kill(self) -> None:
        """End it."""
        if self.returncode is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)


class ForkServer:
    """The process that has loaded everything, and forks for each run."""

    def __init__(self) -> None:
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._control.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _LONGEST_REQUEST)
        # Kept in a buffer, what a run says is lost if the run ends in a way that it should not.
        inherited = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
        self._at_start = _read_at_the_start(inherited)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.forked", str(theirs.fileno())],
                cwd=ROOT,
                env=inherited,
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
            )

    def can_run(self, variables: Mapping[str, str]) -> bool:
        """Whether a run with these variables is the same when it is forked."""
        return _read_at_the_start(variables) == self._at_start

    def run(
        self, arguments: Sequence[str], folder: Path, variables: Mapping[str, str], stdout: IO[Any], stderr: IO[Any]
    ) -> Forked:
        """Begin ``pytest ARGUMENTS`` in ``folder``."""
        request = {"arguments": list(arguments), "variables": dict(variables), "folder": str(folder)}
        ours, theirs = socket.socketpair()
        with theirs, Path(os.devnull).open() as nothing:
            streams: tuple[Any, ...] = (theirs, nothing, stdout, stderr)
            socket.send_fds(self._control, [json.dumps(request).encode()], [each.fileno() for each in streams])
        return Forked(ours)

    def close(self) -> None:
        """End the process; runs that go on are not ended."""
        self._control.close()
        self._process.wait()


_server: list[ForkServer] = []


def fork(
    arguments: Sequence[str], folder: Path, variables: Mapping[str, str], stdout: IO[Any], stderr: IO[Any]
) -> Forked | None:
    """Begin ``python -m pytest ARGUMENTS`` in ``folder``; return None where it has to be started instead."""
    if sys.platform != "linux":
        return None
    if not _server:
        _server.append(ForkServer())
    server = _server[0]
    return server.run(arguments, folder, variables, stdout, stderr) if server.can_run(variables) else None


def run_pytest(folder: Path, *arguments: str, variables: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Run ``python -m pytest ARGUMENTS`` in ``folder`` with these variables and no others."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        command = [sys.executable, "-m", "pytest", *arguments]
        run = fork(arguments, folder, variables, out, err) or subprocess.Popen(
            command, cwd=folder, env=variables, stdin=subprocess.DEVNULL, stdout=out, stderr=err
        )
        try:
            code = run.wait(_PATIENCE)
        finally:
            run.kill()
            run.wait()
        out.seek(0)
        err.seek(0)
        return subprocess.CompletedProcess(arguments, code, out.read().decode(), err.read().decode())


def fork_runs_of(pytester: pytest.Pytester) -> None:
    """Let ``pytester.runpytest_subprocess`` fork."""
    start = pytester.popen

    def begin(command: Sequence[str], stdout: Any, stderr: Any, **more: Any) -> Any:
        variables = dict(os.environ)
        variables["PYTHONPATH"] = os.pathsep.join(filter(None, [str(Path.cwd()), variables.get("PYTHONPATH")]))
        run = None
        if tuple(command[:2]) == (sys.executable, "-mpytest"):
            run = fork(command[2:], Path.cwd(), variables, stdout, stderr)
        return run or start(command, stdout=stdout, stderr=stderr, **more)

    # The only place where a run begins.
    pytester.popen = begin  # type: ignore[assignment, method-assign]


@pytest.fixture(scope="session", autouse=True)
def end_of_forks() -> Iterator[None]:
    """End the process that forks, if there is one."""
    yield
    while _server:
        _server.pop().close()


def _read_at_the_start(variables: Mapping[str, str]) -> dict[str, str]:
    return {
        name: value
        for name, value in variables.items()
        if name.startswith(READ_AT_THE_START) and name not in MAY_DIFFER
    }


def _serve(control: socket.socket) -> None:
    """Fork for each request, and tell how each run ends. Return in the processes that run, and exit in this one."""
    runs: dict[int, socket.socket] = {}
    wake, woken = os.pipe()
    os.set_blocking(wake, False)
    os.set_blocking(woken, False)
    signal.set_wakeup_fd(woken, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    # Ctrl-C reaches the whole group; this process ends with the one that started it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    while True:
        ready, _, _ = select.select([control.fileno(), wake], [], [])
        if wake in ready:
            with suppress(BlockingIOError):
                os.read(wake, 4096)
            _tell_ends(runs)
        if control.fileno() not in ready:
            continue
        message, descriptors, _, _ = socket.recv_fds(control, _LONGEST_REQUEST, 4)
        if not message:
            os._exit(0)
        connection = socket.socket(fileno=descriptors[0])
        pid = os.fork()
        if pid == 0:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.default_int_handler)
            for ours in (connection, control, *runs.values()):
                ours.close()
            os.close(wake)
            os.close(woken)
            _become(json.loads(message), descriptors[1:])
            return
        for each in descriptors[1:]:
            os.close(each)
        runs[pid] = connection
        connection.sendall(f"{pid}\n".encode())


def _tell_ends(runs: dict[int, socket.socket]) -> None:
    while runs:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == 0:
            return
        with runs.pop(pid) as connection, suppress(BrokenPipeError):
            connection.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())


def _become(request: dict[str, Any], streams: list[int]) -> None:
    """Make this process what it would be if it had just been started with ``python -m pytest``."""
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["variables"])
    sys.dont_write_bytecode = bool(os.environ.get("PYTHONDONTWRITEBYTECODE"))
    sys.argv[:] = ["pytest", *request["arguments"]]
    more = [each for each in os.environ.get("PYTHONPATH", "").split(os.pathsep) if each]
    sys.path[0:1] = [request["folder"], *more]
    tempfile.tempdir = None
    time.tzset()


def _load() -> None:
    """Load what runs need, by a run in a folder of its own. What it left in this process is what a run may leave."""
    from tests.plugin.conftest import SETTINGS, ScriptedServer

    folder = Path(tempfile.mkdtemp())
    small = folder / "suites" / "small"
    small.mkdir(parents=True)
    (small / "test_small.py").write_text(SUITE)
    (folder / "suites" / "expectations").mkdir()
    (folder / "suites" / "expectations" / "the-rule.toml").write_text(RULE)
    (folder / "gaia.toml").write_text(PROJECT)
    (folder / "pyproject.toml").write_text(SETTINGS)
    server = ScriptedServer()
    variables, streams = dict(os.environ), (sys.stdout, sys.stderr)
    for name in [name for name in variables if name.startswith(("GAIA_", "GITHUB_", "PYTEST_"))]:
        del os.environ[name]
    os.chdir(folder)
    said = io.StringIO()
    sys.stdout = sys.stderr = said
    try:
        code = pytest.main(["--gaia-env=small", f"--gaia-url=gateway={server.url}", "--gaia-report=verdict.json"])
    finally:
        sys.stdout, sys.stderr = streams
        server.close()
        os.chdir(ROOT)
        os.environ.clear()
        os.environ.update(variables)
        shutil.rmtree(folder)
    if code != pytest.ExitCode.TESTS_FAILED:
        raise SystemExit(f"what loads everything was to fail in one test, but ended with {code!r}:\n{said.getvalue()}")
    for name in [name for name in sys.modules if name.partition(".")[0] in ("tests", "test_small", "suites")]:
        del sys.modules[name]


def main() -> None:
    """Load everything, fork for each request, and be one run of pytest in each process that is forked."""
    with socket.socket(fileno=int(sys.argv[1])) as control:
        _load()
        gc.collect()
        # What is loaded is shared with the runs as long as nobody writes to it, and collecting garbage does.
        gc.freeze()
        _serve(control)
    runpy.run_module("pytest", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
