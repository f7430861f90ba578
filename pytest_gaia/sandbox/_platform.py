"""The platform of one run, and the supervisor's HTTP interface for the processes of the run.

=======================================  ==================================================================
``GET /state``                           the stacks, and whether the shared services run
``POST /stacks/{stack}``                 the endpoints of a stack, which the first call creates
``POST /stacks/{stack}/faults``          ``{"service", "kind", …}``: inject a fault into a service
``DELETE /stacks/{stack}/faults``        remove the faults of the stack
``POST /stacks/{stack}/restart``         restart its reference services
``POST /stacks/{stack}/databases``       ``{"service"}``: the ``{"dsn"}`` of a fresh database, by default of the first one
``DELETE /stacks/{stack}/databases``     ``{"dsn"}``: drop it in the background
``POST /services/{service}/stop|start``  stop or start a service that all stacks share, such as ``postgres``
=======================================  ==================================================================

Every call needs the token of the run. An invalid call returns 400, a failure of the sandbox 500, both with
``{"error": message}``.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
from collections.abc import Mapping
from functools import partial
from typing import Any

from pytest_gaia.errors import ConfigError, GaiaError, SandboxError, nearest
from pytest_gaia.sandbox._databases import Databases, FreshDatabases
from pytest_gaia.sandbox._postgres import EMPTY, TEMPLATE
from pytest_gaia.sandbox._processes import Guard
from pytest_gaia.sandbox._services import seed
from pytest_gaia.sandbox._services.app import Receive, Scope, Send, json_response
from pytest_gaia.sandbox._services.app import Request as Call
from pytest_gaia.sandbox._stacks import MAIN, Servers, Stacks
from pytest_gaia.sandbox.directories import Request

_log = logging.getLogger(__name__)


class Platform:
    """The running platform."""

    def __init__(self, request: Request, servers: Servers) -> None:
        self.guard = Guard(servers.run)
        self.stacks = Stacks(request, servers, self.guard)
        self._request = request
        self._servers = servers
        self._fresh: dict[str, FreshDatabases] = {}

    @classmethod
    async def open(cls, request: Request, servers: Servers) -> Platform:
        """Return the platform with its stack ``main``, as configured in ``request``."""
        platform = cls(request, servers)
        try:
            await platform._start()
        except SandboxError as error:
            platform.guard.close()
            raise SandboxError(platform.stacks.mask(str(error))) from None
        except BaseException:
            # The guard kills what still runs.
            platform.guard.close()
            raise
        return platform

    async def _start(self) -> None:
        request, servers = self._request, self._servers
        if servers.databases is not None:
            await self._prepare(servers.databases)
        if servers.broker is not None and request.has_broker:
            await servers.broker.ready()
        await self.stacks.get(MAIN)
        if servers.postgres is not None and not self._has_database_from_the_start:
            await self._switch_postgres(on=False)

    @property
    def _has_database_from_the_start(self) -> bool:
        there = self._request.embedded("postgres")
        return not there or any(name in self._request.running for name in there)

    def state(self) -> dict[str, Any]:
        """Return the stacks, and whether the shared services run."""
        return {"stacks": self.stacks.names, "services": {name: self._runs(name) for name in self._shared}}

    async def switch(self, service: str, *, on: bool) -> None:
        """Start or stop a shared service. Raises ``ConfigError`` for any other, ``SandboxError`` if it does not start."""
        if service not in self._shared:
            raise ConfigError(f"{service!r} is not shared by all stacks: {nearest(service, self._shared)}")
        if service in self._request.embedded("nats"):
            await self._switch_broker(on=on)
        elif service in self._request.embedded("postgres"):
            await self._switch_postgres(on=on)
        else:
            await self.stacks.existing(MAIN).switch(service, on=on)

    async def fresh_database(self, service: str | None) -> str:
        """Return the DSN of a new database of a service, by default of the first one."""
        names = self._request.embedded("postgres")
        if self._servers.databases is None or (service is not None and service not in names):
            raise ConfigError(f"The sandbox has no database {service or ''!r}: {nearest(service or '', names)}")
        chosen = service or self._request.main_database
        if chosen not in self._fresh:
            template = self.stacks.template_of(chosen)
            self._fresh[chosen] = FreshDatabases(self._servers.databases, template, f"{len(self._fresh)}")
        return self._servers.databases.dsn(await self._fresh[chosen].take())

    def drop_database(self, dsn: str) -> None:
        """Drop a fresh database in the background."""
        for supply in self._fresh.values():
            supply.give_back(dsn.rpartition("/")[2])
            return

    async def close(self) -> None:
        """Stop everything, the services first."""
        await self.stacks.close()
        await asyncio.gather(*(supply.close() for supply in self._fresh.values()))
        if self._servers.databases is not None:
            self._servers.databases.close()
        servers = (self._servers.broker, self._servers.postgres)
        await asyncio.gather(*(server.stop() for server in servers if server is not None))
        self.guard.close()

    @property
    def _shared(self) -> tuple[str, ...]:
        request = self._request
        programs = tuple(name for name in request.present if self.stacks.is_shared(name))
        return (*request.embedded("nats"), *request.embedded("postgres"), *programs)

    def _runs(self, service: str) -> bool:
        servers = self._servers
        if service in self._request.embedded("nats"):
            return servers.broker is not None and servers.broker.running
        if service in self._request.embedded("postgres"):
            return servers.postgres is not None and servers.postgres.running
        return self.stacks.existing(MAIN).programs[service].running

    async def _prepare(self, databases: Databases) -> None:
        """Create what databases are copied from."""
        if self._request.references:
            await databases.prepare(partial(seed, api=self._request.api), self._request.api_key)
        else:
            await databases.open()
        for name in self._request.embedded("postgres"):
            template = self.stacks.template_of(name)
            if template not in (TEMPLATE, EMPTY):
                from pytest_gaia.sandbox._programs import migrate

                service = self._request.services[name]
                place = self.stacks.place_of(MAIN)
                await databases.create_template(template, partial(migrate, service, place))

    async def _switch_broker(self, *, on: bool) -> None:
        broker = self._servers.broker
        if broker is None:
            return
        if not on:
            await broker.stop()
        elif not broker.running:
            broker.launch()
            await broker.ready()

    async def _switch_postgres(self, *, on: bool) -> None:
        postgres, databases = self._servers.postgres, self._servers.databases
        if postgres is None or databases is None:
            return
        if not on:
            async with databases.turn():
                await postgres.stop()
        elif not postgres.running:
            await postgres.start()
            await databases.resume()


class Control:
    """The ASGI application."""

    def __init__(self, platform: Platform, token: str) -> None:
        self._platform = platform
        self._expected = f"Bearer {token}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one call."""
        status, content = await self._respond(scope, await Call(scope, receive).body())
        await json_response(content, status)(scope, receive, send)

    async def _respond(self, scope: Mapping[str, Any], body: bytes) -> tuple[int, object]:
        if not hmac.compare_digest(dict(scope["headers"]).get(b"authorization", b""), self._expected):
            return 401, {"error": "wrong token"}
        parts = scope["path"].strip("/").split("/")
        try:
            return 200, await self._dispatch(scope["method"], parts, json.loads(body or b"{}"))
        except (ConfigError, ValueError) as error:
            return 400, {"error": str(error)}
        except GaiaError as error:
            return 500, {"error": self._platform.stacks.mask(str(error))}
        # Report any error to the caller, which waits for a response.
        except Exception as error:  # noqa: BLE001
            _log.exception("%s %s", scope["method"], scope["path"])
            return 500, {"error": f"{type(error).__name__}: {error}"}

    async def _dispatch(self, method: str, parts: list[str], content: Mapping[str, Any]) -> object:
        match (method, *parts):
            case ("GET", "state"):
                return self._platform.state()
            case ("POST", "stacks", name):
                return self._platform.stacks.endpoints(name, await self._platform.stacks.get(name)).as_json()
            case (_, "stacks", name, "faults" | "restart"):
                await self._disturb(method, parts[-1], name, content)
            case ("POST", "stacks", _, "databases"):
                return {"dsn": await self._platform.fresh_database(content.get("service"))}
            case ("DELETE", "stacks", _, "databases"):
                self._platform.drop_database(content["dsn"])
            case ("POST", "services", service, "stop" | "start" as action):
                await self._platform.switch(service, on=action == "start")
            case _:
                raise ConfigError(f"There is no {method} /{'/'.join(parts)}.")
        return {}

    async def _disturb(self, method: str, what: str, name: str, content: Mapping[str, Any]) -> None:
        stack = self._platform.stacks.existing(name)
        match (method, what):
            case ("POST", "faults"):
                await stack.fault(**content)
            case ("DELETE", "faults"):
                await stack.heal()
            case ("POST", "restart"):
                await stack.restart()
            case _:
                raise ConfigError(f"There is no {method} /stacks/{name}/{what}.")
