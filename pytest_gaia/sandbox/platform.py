"""The whole platform of one run: the servers that all cells share, and the cells."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from pytest_gaia.errors import ConfigError, nearest
from pytest_gaia.sandbox.cells import Cells
from pytest_gaia.sandbox.databases import Databases
from pytest_gaia.sandbox.fresh import FreshDatabases
from pytest_gaia.sandbox.services import seed

if TYPE_CHECKING:
    from pytest_gaia.sandbox.broker import Broker
    from pytest_gaia.sandbox.postgres import PostgresServer
    from pytest_gaia.sandbox.request import Request

SHARED = ("nats", "postgres")
"""members that all cells share"""

MAIN = "main"
"""the cell that every run has"""


class Platform:
    """What the supervisor runs, once it runs."""

    def __init__(self, postgres: PostgresServer, broker: Broker, databases: Databases, cells: Cells) -> None:
        self.postgres = postgres
        self.broker = broker
        self.databases = databases
        self.fresh = FreshDatabases(databases)
        self.cells = cells

    @classmethod
    async def open(cls, request: Request, broker: Broker, postgres: PostgresServer, password: str) -> Platform:
        """Return the platform with its cell ``main``, in the shape that ``request`` asks for."""
        databases = Databases(postgres, password)
        await databases.prepare(seed, request.api_key)
        if request.has_broker:
            await broker.ready()
        platform = cls(postgres, broker, databases, Cells(request, databases, broker))
        await platform.cells.get(MAIN)
        if "postgres" in request.without:
            await platform.switch("postgres", on=False)
        return platform

    def state(self) -> dict[str, Any]:
        """Return which cells there are and which shared members run."""
        return {
            "cells": self.cells.names,
            "members": {"nats": self.broker.running, "postgres": self.postgres.running},
        }

    async def switch(self, member: str, *, on: bool) -> None:
        """Start or stop a shared member. Raises ``ConfigError`` for any other, ``SandboxError`` if it does not start."""
        if member not in SHARED:
            raise ConfigError(f"{member!r} is not shared by all cells: {nearest(member, SHARED)}")
        if member == "nats":
            await self._switch_broker(on=on)
        else:
            await self._switch_postgres(on=on)

    async def close(self) -> None:
        """Stop everything, the services first."""
        await self.cells.close()
        await self.fresh.close()
        self.databases.close()
        await asyncio.gather(self.broker.stop(), self.postgres.stop())

    async def _switch_broker(self, *, on: bool) -> None:
        if not on:
            await self.broker.stop()
        elif not self.broker.running:
            self.broker.launch()
            await self.broker.ready()

    async def _switch_postgres(self, *, on: bool) -> None:
        if not on:
            async with self.databases.turn():
                await self.postgres.stop()
        elif not self.postgres.running:
            await self.postgres.start()
            await self.databases.resume()
