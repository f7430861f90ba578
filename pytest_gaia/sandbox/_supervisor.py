"""The supervisor: start the platform of one run, publish its addresses, and stop it at the end of the run.

It stops when its standard input ends, when the process that started it is gone, or at a signal. The servers are
started first, and become ready while the supervisor imports its libraries.
"""

from __future__ import annotations

import gc
import json
import logging
import os
import shutil
import signal
import sys
import time
from collections.abc import Awaitable
from contextlib import suppress
from importlib.util import find_spec, module_from_spec
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_gaia.errors import SandboxError
from pytest_gaia.sandbox._broker import Broker
from pytest_gaia.sandbox._postgres import Cluster
from pytest_gaia.sandbox._processes import Child
from pytest_gaia.sandbox.binaries import (
    INSTALL,
    PostgresBinaries,
    find_nats,
    find_postgres,
    reachable,
    server_account,
)
from pytest_gaia.sandbox.directories import ERROR, READY, TABLES, Request, write_private
from pytest_gaia.sandbox.leftovers import clear, end_children, free_shared_memory, reclaim

if TYPE_CHECKING:
    # Its imports are slow; the servers start before them.
    from pytest_gaia.sandbox._platform import Platform

_log = logging.getLogger(__name__)

_PARENT_SECONDS = 0.2

# Read by path, because importing the services takes as long as starting PostgreSQL.
_SERVICES = Path(__file__).parent / "_services"


class Supervisor:
    """Supervises the sandbox of one run in ``directory``, which contains its request and its lock."""

    def __init__(self, directory: Path) -> None:
        self._began = time.monotonic()
        self._directory = directory
        self._request = Request.read(directory)
        self._timings: dict[str, float] = {}

    def run(self) -> int:
        """Start, serve until the end of the run, and clean up. Return the exit code: 1 if the start failed."""
        gc.disable()
        logging.basicConfig(format="%(asctime)s %(name)s %(levelname)s %(message)s")
        try:
            launched = self._launch()
            import asyncio

            asyncio.run(self._supervise(*launched))
        except SandboxError as error:
            self._report(str(error))
            return 1
        except Exception as error:
            self._report(f"The sandbox could not start: {type(error).__name__}: {error}")
            raise
        return 0

    def _launch(self) -> tuple[Broker | None, Cluster | None, Child | None]:
        """Find the programs, and start those that need no library. Only servers for the project's services are needed."""
        request = self._request
        nats = find_nats() if request.embedded("nats") else None
        postgres = find_postgres() if request.needs_postgres else None
        broker = None if nats is None else Broker(nats, self._directory)
        if broker is not None and request.has_broker:
            broker.launch()
        cluster = None if postgres is None else self._cluster(postgres)
        unpacking = None if cluster is None else cluster.unpack()
        self._mark("launched")
        return broker, cluster, unpacking

    def _cluster(self, postgres: PostgresBinaries) -> Cluster:
        schema = "\n".join((_SERVICES / name).read_text("utf-8") for name in TABLES[self._request.api])
        account = server_account()
        if account is not None:
            # PostgreSQL's user must reach its own folder. The name of this folder is random, and private files in it
            # have their own permissions.
            self._directory.chmod(0o711)
        return Cluster(reachable(postgres, account), account, self._directory, schema)

    async def _supervise(self, broker: Broker | None, cluster: Cluster | None, unpacking: Child | None) -> None:
        import asyncio

        ended = asyncio.ensure_future(_end_of_run())
        starting = asyncio.ensure_future(self._start(broker, cluster, unpacking))
        await asyncio.wait((ended, starting), return_when=asyncio.FIRST_COMPLETED)
        if not starting.done():
            starting.cancel()
            await asyncio.gather(starting, return_exceptions=True)
        else:
            await self._serve(starting.result(), ended)
        clear(self._directory)

    async def _serve(self, platform: Platform, ended: Awaitable[None]) -> None:
        """Serve until the end of the run, then stop everything. Errors are only logged, because the run is over."""
        import asyncio

        gc.freeze()
        gc.enable()
        during: tuple[object, ...] = await asyncio.gather(asyncio.to_thread(reclaim), ended, return_exceptions=True)
        after: tuple[object, ...] = await asyncio.gather(platform.close(), return_exceptions=True)
        for error in (*during, *after):
            if isinstance(error, BaseException):
                _log.error("at the end of the run", exc_info=error)

    async def _start(self, broker: Broker | None, cluster: Cluster | None, unpacking: Child | None) -> Platform:
        """Start the platform and publish its addresses."""
        import asyncio

        from pytest_gaia.sandbox._postgres import started_server

        libraries = asyncio.ensure_future(asyncio.to_thread(load))
        server = None if cluster is None else await started_server(cluster, unpacking, libraries)
        self._mark("postgres")
        await libraries
        self._mark("libraries")
        from pytest_gaia.sandbox._databases import Databases
        from pytest_gaia.sandbox._platform import Platform
        from pytest_gaia.sandbox._stacks import Servers

        databases = None if server is None or cluster is None else Databases(server, cluster.password)
        platform = await Platform.open(self._request, Servers(self._directory, broker, server, databases))
        self._mark("platform")
        await self._publish(platform)
        return platform

    async def _publish(self, platform: Platform) -> None:
        """Open the control interface and write the file that the run waits for."""
        from pytest_gaia.sandbox._platform import Control
        from pytest_gaia.sandbox._processes import ReservedPort
        from pytest_gaia.sandbox._stacks import MAIN
        from pytest_gaia.sandbox._web import HttpServer

        token = os.urandom(16).hex()
        port = ReservedPort()
        await HttpServer(Control(platform, token), port).start()
        stack = platform.stacks.endpoints(MAIN, await platform.stacks.get(MAIN)).as_json()
        self._mark("ready")
        content = {"control": port.number, "token": token, "stacks": {MAIN: stack}, "timings": self._timings}
        write_private(self._directory / READY, json.dumps(content))

    def _mark(self, stage: str) -> None:
        self._timings[stage] = round(time.monotonic() - self._began, 4)

    def _report(self, message: str) -> None:
        """Write the error message for the run, and delete everything except the logs."""
        end_children(self._directory)
        free_shared_memory(self._directory)
        for entry in self._directory.iterdir():
            if entry.is_dir():
                shutil.rmtree(entry, ignore_errors=True)
        write_private(self._directory / ERROR, message)


async def _end_of_run() -> None:
    """Return at the end of the run: at the end of standard input, at a signal, or without the parent process.

    The parent is checked too, because a forked child of it may keep the pipe open.
    """
    import asyncio

    loop = asyncio.get_running_loop()
    over = asyncio.Event()
    parent = os.getppid()

    def read() -> None:
        if not os.read(sys.stdin.fileno(), 4096):
            loop.remove_reader(sys.stdin.fileno())
            over.set()

    loop.add_reader(sys.stdin.fileno(), read)
    for each in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(each, over.set)
    while not over.is_set() and os.getppid() == parent:
        with suppress(TimeoutError):
            await asyncio.wait_for(over.wait(), _PARENT_SECONDS)


def load() -> None:
    """Import the HTTP servers and the PostgreSQL client. Raises ``SandboxError`` for a missing package."""
    try:
        _import_uvicorn()

        # Imported now, so that later imports are fast.
        import httptools  # noqa: F401

        import pytest_gaia.clients.database.driver
        import pytest_gaia.sandbox._platform  # noqa: F401
    except ModuleNotFoundError as error:
        raise SandboxError(f"The sandbox needs {error.name}, which is not installed. Install it: {INSTALL}") from error


def _import_uvicorn() -> None:
    """Import uvicorn's configuration without its command line.

    ``import uvicorn`` also loads click, a process supervisor and a reloader, which doubles the time. So create the
    package module without running it, and add the one name that its submodules use.
    """
    spec = find_spec("uvicorn")
    if spec is None:
        raise ModuleNotFoundError("No module named 'uvicorn'", name="uvicorn")
    package = sys.modules.setdefault("uvicorn", module_from_spec(spec))
    try:
        import uvicorn.config

        package.Config = uvicorn.config.Config  # type: ignore[attr-defined]  # what uvicorn/__init__.py does
        import uvicorn.lifespan.off
        import uvicorn.protocols.http.httptools_impl
    except ImportError:
        for name in [each for each in sys.modules if each.partition(".")[0] == "uvicorn"]:
            del sys.modules[name]
        import uvicorn
