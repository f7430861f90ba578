"""The platform of one run: the servers that all stacks share, and one stack for each process of the run."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from pytest_gaia.config.platform import HTTP_SERVICES, NATS_DISABLED
from pytest_gaia.errors import ConfigError, nearest
from pytest_gaia.sandbox._broker import Broker
from pytest_gaia.sandbox._databases import Databases, FreshDatabases
from pytest_gaia.sandbox._ports import ReservedPort
from pytest_gaia.sandbox._postgres import PostgresServer
from pytest_gaia.sandbox._services import StackApps, StackSettings, build_stack, seed
from pytest_gaia.sandbox._web import HttpServer
from pytest_gaia.sandbox.directories import Request

SHARED = ("nats", "postgres")
"""services that all stacks share"""

MAIN = "main"
"""the stack that every run has"""

_NAME = re.compile(r"[A-Za-z0-9_-]{1,40}")
STOP = "stop"
"""the kind of fault that stops a server: connections are refused"""


class Platform:
    """The running platform."""

    def __init__(self, postgres: PostgresServer, broker: Broker, databases: Databases, stacks: Stacks) -> None:
        self.postgres = postgres
        self.broker = broker
        self.databases = databases
        self.fresh = FreshDatabases(databases)
        self.stacks = stacks

    @classmethod
    async def open(cls, request: Request, broker: Broker, postgres: PostgresServer, password: str) -> Platform:
        """Return the platform with its stack ``main``, as configured in ``request``."""
        databases = Databases(postgres, password)
        await databases.prepare(seed, request.api_key)
        if request.has_broker:
            await broker.ready()
        platform = cls(postgres, broker, databases, Stacks(request, databases, broker))
        await platform.stacks.get(MAIN)
        if "postgres" in request.without:
            await platform.switch("postgres", on=False)
        return platform

    def state(self) -> dict[str, Any]:
        """Return the stacks, and whether the shared services run."""
        return {
            "stacks": self.stacks.names,
            "services": {"nats": self.broker.running, "postgres": self.postgres.running},
        }

    async def switch(self, service: str, *, on: bool) -> None:
        """Start or stop a shared service. Raises ``ConfigError`` for any other, ``SandboxError`` if it does not start."""
        if service not in SHARED:
            raise ConfigError(f"{service!r} is not shared by all stacks: {nearest(service, SHARED)}")
        if service == "nats":
            await self._switch_broker(on=on)
        else:
            await self._switch_postgres(on=on)

    async def close(self) -> None:
        """Stop everything, the services first."""
        await self.stacks.close()
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


@dataclass(frozen=True, slots=True)
class Endpoints:
    """The addresses and credentials of a stack."""

    name: str
    urls: Mapping[str, str]
    nats: str = field(repr=False)
    dsn: str = field(repr=False)
    api_key: str = field(repr=False)
    jwt_secret: str = field(repr=False)

    def as_json(self) -> dict[str, Any]:
        """Return the fields as JSON."""
        return asdict(self)


@dataclass(slots=True)
class Stack:
    """A running stack."""

    endpoints: Endpoints
    apps: StackApps
    servers: Mapping[str, HttpServer]
    stopped: set[str] = field(default_factory=set)
    """services that a fault has stopped"""

    async def stop(self, service: str) -> None:
        """Refuse connections to ``service``."""
        if self.servers[service].running:
            await self.apps.stopping(service)
            self.servers[service].stop()
            self.stopped.add(service)

    async def heal(self) -> None:
        """Start stopped services and remove all other faults."""
        self.apps.faults.clear()
        while self.stopped:
            service = self.stopped.pop()
            await self.servers[service].start()
            await self.apps.started(service)

    async def close(self) -> None:
        """Stop all services permanently."""
        for server in self.servers.values():
            server.stop()
        await self.apps.stop()


class Stacks:
    """Creates stacks on demand. A stack lives until the end of the run."""

    def __init__(self, request: Request, databases: Databases, broker: Broker) -> None:
        self._request = request
        self._databases = databases
        self._broker = broker
        self._stacks: dict[str, asyncio.Task[Stack]] = {}
        self._announcements: set[asyncio.Task[None]] = set()

    @property
    def names(self) -> list[str]:
        """The names of the stacks."""
        return sorted(self._stacks)

    async def get(self, name: str) -> Stack:
        """Return the stack, which the first call creates. Raises ``SandboxError`` if that fails."""
        if not _NAME.fullmatch(name):
            raise ConfigError(f"{name!r} cannot name a stack: use up to 40 letters, digits, dashes and underscores.")
        if name not in self._stacks:
            self._stacks[name] = asyncio.ensure_future(self._make(name))
        try:
            return await asyncio.shield(self._stacks[name])
        except Exception:
            self._stacks.pop(name, None)
            raise

    def existing(self, name: str) -> Stack:
        """Return a running stack. Raises ``ConfigError`` if there is none of that name."""
        task = self._stacks.get(name)
        if task is None or not task.done():
            raise ConfigError(f"There is no stack {name!r}: {nearest(name, self._stacks)}")
        return task.result()

    async def close(self) -> None:
        """Stop all services of all stacks."""
        stacks = [task.result() for task in self._stacks.values() if task.done() and not task.exception()]
        for stack in stacks:
            await stack.close()
        for announcement in self._announcements:
            announcement.cancel()

    async def _make(self, name: str) -> Stack:
        database = f"gaia_{name}"
        await self._databases.create(database)
        ports = {service: ReservedPort() for service in HTTP_SERVICES}
        urls = {service: port.url for service, port in ports.items()}
        nats = NATS_DISABLED if self._request.topology == "gateway-only" else await self._broker.url(name)
        endpoints = Endpoints(
            name, urls, nats, self._databases.dsn(database), self._request.api_key, self._request.jwt_secret
        )
        apps = build_stack(self._settings(endpoints))
        servers = {service: HttpServer(apps.apps[service], ports[service]) for service in HTTP_SERVICES}
        for service in self._request.running:
            await servers[service].start()
        self._announce(apps)
        return Stack(endpoints, apps, servers)

    def _settings(self, endpoints: Endpoints) -> StackSettings:
        return StackSettings(
            name=endpoints.name,
            dsn=endpoints.dsn,
            jwt_secret=endpoints.jwt_secret,
            api_key=endpoints.api_key,
            backends={service: url for service, url in endpoints.urls.items() if service != "gateway"},
            nats_url=endpoints.nats,
            running=self._request.running,
            fixed=self._request.fixed,
        )

    def _announce(self, apps: StackApps) -> None:
        """Publish the start of the services on NATS in the background."""
        task = asyncio.ensure_future(apps.start())
        self._announcements.add(task)
        task.add_done_callback(self._announcements.discard)
