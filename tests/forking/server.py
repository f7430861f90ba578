"""The forking process: it loads imports, forks for each request, and imports nothing else."""

from __future__ import annotations

import gc
import json
import os
import select
import signal
import socket
import sys
import tempfile
import time
from contextlib import suppress
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[2]
LONGEST_REQUEST = 1024 * 1024


def main(kind: str, descriptor: int) -> int:
    """Load the imports of this kind of process, fork for each request, and run the process in each fork."""
    with socket.socket(fileno=descriptor) as control:
        run = _load(kind)
        gc.collect()
        # Loaded memory is shared until it is written, which garbage collection does.
        gc.freeze()
        _serve(control)
    return run()


def _load(kind: str) -> Callable[[], int]:
    if kind == "tools":
        from ci.fakes.replay import docker, fly, kubectl

        tools = {"docker": docker, "kubectl": kubectl}
        return lambda: tools.get(Path(sys.argv[0]).name, fly).main(sys.argv[1:])
    from tests.forking.runs import load, run

    load()
    for name in [name for name in sys.modules if name.partition(".")[0] in ("tests", "test_small", "suites")]:
        del sys.modules[name]
    return run


def _serve(control: socket.socket) -> None:
    """Fork for each request, and report exit codes. Returns only in forked processes."""
    running: dict[int, socket.socket] = {}
    wake, started = os.pipe()
    os.set_blocking(wake, False)
    os.set_blocking(started, False)
    signal.set_wakeup_fd(started, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    # Ctrl-C reaches the whole group; this process ends with the one that started it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    while True:
        ready, _, _ = select.select([control.fileno(), wake], [], [])
        if wake in ready:
            with suppress(BlockingIOError):
                os.read(wake, 4096)
            _tell_ends(running)
        if control.fileno() not in ready:
            continue
        message, descriptors, _, _ = socket.recv_fds(control, LONGEST_REQUEST, 4)
        if not message:
            os._exit(0)
        connection = socket.socket(fileno=descriptors[0])
        pid = os.fork()
        if pid == 0:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.default_int_handler)
            os.close(wake)
            os.close(started)
            _become(json.loads(message), descriptors[1:])
            connection.sendall(f"{os.getpid()}\n".encode())
            for ours in (connection, control, *running.values()):
                ours.close()
            return
        for each in descriptors[1:]:
            os.close(each)
        running[pid] = connection


def _tell_ends(running: dict[int, socket.socket]) -> None:
    while running:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == 0:
            return
        with running.pop(pid) as connection, suppress(BrokenPipeError):
            connection.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())


def _become(request: dict[str, Any], streams: list[int]) -> None:
    """Reset this process to the state after a normal start."""
    if request["session"]:
        os.setsid()
    for number, descriptor in enumerate(streams):
        os.dup2(descriptor, number)
        os.close(descriptor)
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["variables"])
    sys.dont_write_bytecode = bool(os.environ.get("PYTHONDONTWRITEBYTECODE"))
    if os.environ.get("PYTHONUNBUFFERED"):
        for stream in (sys.stdout, sys.stderr):
            assert isinstance(stream, TextIOWrapper)
            stream.reconfigure(write_through=True)
    sys.argv[:] = request["words"]
    more = [each for each in os.environ.get("PYTHONPATH", "").split(os.pathsep) if each]
    sys.path[0:1] = [request["folder"], *more]
    tempfile.tempdir = None
    time.tzset()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2])))
