"""A real nats-server that a test can restart on the same port."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import urllib.request
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pytest_gaia.sandbox.binaries import find_nats
from tests.clients.peers import unused_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

_CONFIG = """
listen: "127.0.0.1:{port}"
http: "127.0.0.1:{monitor}"
jetstream {{ store_dir: "{folder}" }}
{more}
"""


@dataclass
class NatsServer:
    """One server; ``more`` is added to its configuration."""

    folder: Path
    more: str = ""
    port: int = field(default_factory=unused_port)
    monitor: int = field(default_factory=unused_port)
    _child: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    async def start(self) -> None:
        self._spawn()
        for _ in range(3000):
            if await self._greets():
                return
            await asyncio.sleep(0.01)
        raise AssertionError(f"nats-server did not start: {(self.folder / 'nats.log').read_text()}")

    async def stop(self) -> None:
        child, self._child = self._child, None
        if child is not None:
            child.kill()
            await asyncio.to_thread(child.wait, 5)

    async def pause(self) -> None:
        """Freeze the server: its connections stay open without any data."""
        assert self._child is not None
        self._child.send_signal(signal.SIGSTOP)
        # The signal takes a moment, in which the server still responds.
        await asyncio.to_thread(os.waitpid, self._child.pid, os.WUNTRACED)

    async def connections(self) -> list[dict[str, Any]]:
        """Return the server's list of clients."""

        def ask() -> list[dict[str, Any]]:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.monitor}/connz?subs=1") as response:
                found: list[dict[str, Any]] = json.load(response)["connections"]
                return found

        return await asyncio.to_thread(ask)

    def _spawn(self) -> None:
        config = self.folder / "nats.conf"
        text = _CONFIG.format(port=self.port, monitor=self.monitor, folder=self.folder / "js", more=self.more)
        config.write_text(text)
        with (self.folder / "nats.log").open("ab") as log:
            self._child = subprocess.Popen([find_nats(), "-c", config], stdout=log, stderr=log)

    async def _greets(self) -> bool:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        except OSError:
            return False
        try:
            return (await reader.readline()).startswith(b"INFO ")
        finally:
            writer.close()
            await writer.wait_closed()


@contextlib.asynccontextmanager
async def nats_server(folder: Path, more: str = "") -> AsyncIterator[NatsServer]:
    """Run a server during the context."""
    server = NatsServer(folder, more)
    try:
        await server.start()
        yield server
    finally:
        await server.stop()
