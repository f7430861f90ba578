"""One NATS server with JetStream, and one account for each stack."""

import json
import os
import signal
import time
from pathlib import Path

from pytest_gaia.errors import SandboxError
from pytest_gaia.sandbox._processes import HOST, Child, ReservedPort, failed, spawn

_ACCOUNTS = 16
"""accounts in one step; more accounts make the start slower"""
_START_SECONDS = 10.0
_ATTEMPTS = 3
_STOP_SECONDS = 3.0
_GREETING_SECONDS = 0.5
_RELOADED = b"Reloaded server configuration"


class Broker:
    """The NATS server of one run. It starts immediately and is awaited later."""

    def __init__(self, program: Path, run: Path) -> None:
        self.port = ReservedPort()
        self._program = program
        self._folder = run / "nats"
        self._run = run
        self._passwords: list[str] = []
        self._stacks: dict[str, int] = {}
        self._child: Child | None = None
        self._started = False
        self._folder.mkdir(mode=0o700)
        self._declare()

    @property
    def running(self) -> bool:
        """Whether the server's process runs."""
        return self._child is not None and self._child.running

    def launch(self) -> None:
        """Start the server without waiting for it. Raises ``SandboxError``."""
        try:
            self._child = spawn(self._run, "nats", (self._program, "-c", self._folder / "nats.conf"))
        except OSError as error:
            raise SandboxError(f"{self._program} cannot be started: {error}") from error

    async def ready(self) -> None:
        """Wait until the server accepts connections. Raises ``SandboxError`` with the end of its log.

        If another process has taken the port, the server moves to another one, unless it already had clients.
        """
        for attempt in range(1, _ATTEMPTS + 1):
            if await self._accepts():
                self._started = True
                return
            log = self._child.tail() if self._child else ""
            if self._started or "address already in use" not in log or attempt == _ATTEMPTS:
                raise failed(f"NATS did not start ({self._program})", log)
            self.port.release()
            self.port = ReservedPort()
            self._write()
            self.launch()

    async def stop(self) -> None:
        """Stop the server; streams in files survive."""
        from pytest_gaia.sandbox._processes import ended

        if self._child is not None:
            await ended(self._child, signal.SIGTERM, _STOP_SECONDS)

    async def url(self, stack: str) -> str:
        """Return the URL of the stack's account; declare more accounts if all are in use."""
        number = self._stacks.setdefault(stack, len(self._stacks))
        if number >= len(self._passwords):
            self._declare()
            if self.running:
                await self._reload()
        return f"nats://stack{number}:{self._passwords[number]}@{HOST}:{self.port.number}"

    async def _accepts(self) -> bool:
        """Wait until the server accepts connections; False if it exits, or is not ready in time."""
        import asyncio

        deadline = time.monotonic() + _START_SECONDS
        while not await self._listens():
            if not self.running or time.monotonic() > deadline:
                return False
            await asyncio.sleep(0.002)
        return True

    def _declare(self) -> None:
        """Add some accounts to the configuration."""
        self._passwords += [os.urandom(16).hex() for _ in range(_ACCOUNTS)]
        self._write()

    def _write(self) -> None:
        accounts = "\n".join(
            f'  stack{number}: {{ jetstream: enabled, users: [ {{ user: "stack{number}", password: "{password}" }} ] }}'
            for number, password in enumerate(self._passwords)
        )
        configuration = self._folder / "nats.conf"
        configuration.touch(mode=0o600)
        configuration.write_text(
            f'listen: "{HOST}:{self.port.number}"\n'
            f"server_name: gaia_sandbox\n"
            f"jetstream {{ store_dir: {json.dumps(str(self._folder), ensure_ascii=False)}, max_memory_store: 256MB, max_file_store: 256MB }}\n"
            f"accounts {{\n{accounts}\n}}\n",
            "utf-8",
        )

    async def _reload(self) -> None:
        """Reload the configuration of the running server, and wait until its log confirms it."""
        import asyncio

        if self._child is None:
            return
        before = self._child.log.read_bytes().count(_RELOADED)
        self._child.process.send_signal(signal.SIGHUP)
        deadline = time.monotonic() + _START_SECONDS
        while self._child.log.read_bytes().count(_RELOADED) == before:
            if time.monotonic() > deadline:
                raise failed("NATS did not reload its accounts", self._child.tail())
            await asyncio.sleep(0.002)

    async def _listens(self) -> bool:
        """Whether the server sends its greeting; another process on the port does not."""
        import asyncio

        try:
            async with asyncio.timeout(_GREETING_SECONDS):
                reader, writer = await asyncio.open_connection(HOST, self.port.number)
                try:
                    return (await reader.readline()).startswith(b"INFO ")
                finally:
                    writer.close()
        except OSError:
            return False
