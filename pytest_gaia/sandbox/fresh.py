"""Databases that tests ask for, use, and give back: cloned ahead, dropped when there is nothing better to do."""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from typing import TYPE_CHECKING

from pytest_gaia.errors import ConfigError, SandboxError

if TYPE_CHECKING:
    from pytest_gaia.sandbox.databases import Databases

_PREFIX = "fresh_"
_AHEAD = 2
"""clones that are kept ready, once somebody has asked for one"""
_UNWANTED = 32
"""databases that may wait to be dropped, of eight megabytes each"""


class FreshDatabases:
    """A supply of databases. Cloning goes before dropping, because somebody may wait for a clone."""

    def __init__(self, databases: Databases) -> None:
        self._databases = databases
        self._ready: asyncio.Queue[str | Exception] = asyncio.Queue()
        self._unwanted: deque[str] = deque()
        self._numbers = itertools.count(1)
        self._more = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None

    async def take(self) -> str:
        """Return the name of a database that nobody else gets. Raises ``SandboxError`` while the server is stopped."""
        if not self._databases.available:
            raise SandboxError("PostgreSQL is stopped: no database can be made until it is started again.")
        self._wake()
        taken = await self._ready.get()
        self._more.set()
        if isinstance(taken, Exception):
            raise SandboxError(f"No database could be made: {taken}") from taken
        return taken

    def give_back(self, database: str) -> None:
        """Let a database be dropped, with whoever uses it. Raises ``ConfigError`` for any that was not taken here."""
        if not database.startswith(_PREFIX):
            raise ConfigError(f"{database!r} is no database that was made to be dropped.")
        self._unwanted.append(database)
        self._wake()

    async def close(self) -> None:
        """Stop making and dropping."""
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)

    def _wake(self) -> None:
        self._more.set()
        if self._keeper is None or self._keeper.done():
            self._keeper = asyncio.ensure_future(self._keep())

    async def _keep(self) -> None:
        """Make and drop one database after the other, and sleep when there is nothing to do."""
        while True:
            await self._more.wait()
            self._more.clear()
            while self._databases.available and (self._ready.qsize() < _AHEAD or self._unwanted):
                await self._step()

    async def _step(self) -> None:
        if len(self._unwanted) > _UNWANTED or self._ready.qsize() >= _AHEAD:
            await self._databases.drop(self._unwanted.popleft())
            return
        name = f"{_PREFIX}{next(self._numbers)}"
        try:
            await self._databases.create(name)
        # Whatever it is, it is for whoever waits for the database.
        except Exception as error:  # noqa: BLE001
            await self._ready.put(error)
        else:
            await self._ready.put(name)
